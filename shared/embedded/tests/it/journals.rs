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

/// A row that lies in memory, and is in the first journal only, would keep that until the next one is full.
#[tokio::test]
async fn a_full_journal_goes_though_what_else_is_in_it_is_seldom_written() {
    let home = Home::new();
    let engine = home.open();
    let kept = vec![CellWrite::Trait(definition(1), text("kept"))];
    write(&engine, at(1), 1, kept, Durability::Durable).await;
    let log = engine.log();
    let payload = "x".repeat(4 << 20);
    let until = Instant::now() + LIMIT;
    // Full is after 64 MB.
    for _ in 0..18 {
        log.publish(record("k", &payload)).await.unwrap();
    }
    while journals(&home) > 1 {
        assert!(Instant::now() < until, "{} journals", journals(&home));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(engine);

    let engine = home.open();
    assert_eq!(cells(&engine, at(1)).await.traits.len(), 1);
    let mut source = engine.log().consumer("worker");
    drop(event(&mut source).await);
    assert_eq!(source.lag().iter().map(|lag| lag.records).sum::<u64>(), 18);
}
