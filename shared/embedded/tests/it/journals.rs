use std::time::{Duration, Instant};

use kith_profiles::ports::{CellWrite, Durability, TraitLog, TraitSource};

use crate::harness::{Home, LIMIT, at, cells, definition, event, record, text, write};

fn journals(home: &Home) -> usize {
    let files = std::fs::read_dir(home.path().join("store/database")).unwrap();
    files
        .filter(|file| {
            let path = file.as_ref().unwrap().path();
            path.extension().is_some_and(|extension| extension == "jnl")
        })
        .count()
}

/// What lies in memory, and is in the first journal only, would keep that until the next one is full: fjall ends a journal after 64
/// MB, and has the others written only if it ended after 64 MiB. This one is ended between them, by the fourth 12 MiB of the log.
#[tokio::test]
async fn a_full_journal_goes_though_what_else_is_in_it_is_seldom_written() {
    let home = Home::new();
    let engine = home.open();
    let value = "x".repeat(1_000_000);
    for profile in 0..15 {
        let kept = vec![CellWrite::Trait(definition(1), text(&value))];
        write(&engine, at(profile), 1, kept, Durability::Durable).await;
    }
    let log = engine.log();
    let payload = "x".repeat(100_000);
    let until = Instant::now() + LIMIT;
    let mut published = 0;
    while journals(&home) == 1 {
        assert!(Instant::now() < until, "no journal is full");
        log.publish(record("k", &payload)).await.unwrap();
        published += 1;
    }
    while journals(&home) > 1 {
        assert!(Instant::now() < until, "{} journals", journals(&home));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    engine.close().await.unwrap();
    drop((engine, log));

    let engine = home.open();
    for profile in 0..15 {
        assert_eq!(cells(&engine, at(profile)).await.traits.len(), 1);
    }
    let mut source = engine.log().consumer("worker");
    drop(event(&mut source).await);
    let waiting: u64 = source.lag().iter().map(|lag| lag.records).sum();
    assert_eq!(waiting, published);
}
