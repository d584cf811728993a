use std::time::Duration;

use kith_embedded::{Injection, Inspection, OpenError, inspect};
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{
    CellBatch, CellWrite, Cells, Conditional, Durability, Identity, Outcome, TraitLog,
};
use tokio::task::JoinSet;

use crate::harness::{
    Home, LIMIT, at, cells, definition, micros, once_free, open, record, text, write,
};

fn a_trait(value: &str) -> Vec<CellWrite> {
    vec![CellWrite::Trait(definition(1), text(value))]
}

fn batch(profile: u128) -> CellBatch {
    CellBatch {
        at: at(profile),
        time: micros(1),
        writes: a_trait("v"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_writes_share_syncs_and_ordered_ones_need_none() {
    let home = Home::new();
    let engine = home.open();
    for n in 0..50 {
        write(&engine, at(n), 1, a_trait("v"), Durability::Ordered).await;
    }
    let ordered = engine.statistics();
    assert!(ordered.commits >= 50, "one after another: {ordered:?}");
    assert!(
        ordered.syncs < 10,
        "only those of an idle engine: {ordered:?}"
    );

    let mut tasks = JoinSet::new();
    for task in 0..64u128 {
        let engine = engine.clone();
        tasks.spawn(async move {
            for n in 0..20u128 {
                let at = at(1000 + task * 100 + n);
                write(&engine, at, 1, a_trait("v"), Durability::Durable).await;
            }
        });
    }
    tasks.join_all().await;
    let durable = engine.statistics();
    let syncs = durable.syncs - ordered.syncs;
    assert!(
        (1..640).contains(&syncs),
        "1280 durable writes took {syncs} syncs"
    );
}

#[tokio::test]
async fn what_was_written_is_there_after_a_close_and_after_a_mere_drop() {
    let home = Home::new();
    for round in 0..3u128 {
        let engine = home.open();
        for before in 0..round {
            assert_eq!(cells(&engine, at(before)).await.traits.len(), 1);
        }
        write(&engine, at(round), 1, a_trait("v"), Durability::Ordered).await;
        if round == 1 {
            engine.close().await.unwrap();
            let error = Cells::write(&engine, &[batch(9)], Durability::Ordered).await;
            assert!(
                matches!(error, Err(PortError::Unavailable { .. })),
                "{error:?}"
            );
            let error = engine.log().publish(record("k", "p")).await;
            assert!(
                matches!(error, Err(PublishError::Unavailable(_))),
                "{error:?}"
            );
            // Reads go on for as long as there are handles.
            assert_eq!(cells(&engine, at(round)).await.traits.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_second_process_is_refused_and_the_directory_is_free_after_the_last_handle() {
    let home = Home::new();
    assert_eq!(inspect(&home.path()).unwrap(), Inspection::Empty);
    assert!(!home.path().exists(), "who only looks makes nothing");
    let engine = home.open();
    let failed = engine.failed();
    assert!(matches!(home.try_open(), Err(OpenError::InUse { .. })));
    let log = engine.log();
    drop(engine);
    assert!(matches!(home.try_open(), Err(OpenError::InUse { .. })));
    let seen = inspect(&home.path());
    assert!(matches!(seen, Err(OpenError::InUse { .. })), "{seen:?}");
    drop(log);
    let seen = once_free(|| inspect(&home.path())).unwrap();
    assert_eq!(seen, Inspection::Sound);
    drop(home.open());
    drop(failed);
}

#[tokio::test]
async fn a_failed_sync_answers_fatal_and_ends_the_engine() {
    let home = Home::new();
    let engine = home.open();
    write(&engine, at(1), 1, a_trait("v"), Durability::Durable).await;
    engine.inject(Injection::SyncFails);
    let error = Cells::write(&engine, &[batch(2)], Durability::Durable).await;
    assert!(matches!(error, Err(PortError::Fatal { .. })), "{error:?}");
    let failure = tokio::time::timeout(LIMIT, engine.failed()).await.unwrap();
    assert_eq!(failure.to_string(), "embedded engine stopped: sync");
    let error = Cells::write(&engine, &[batch(3)], Durability::Ordered).await;
    assert!(matches!(error, Err(PortError::Fatal { .. })), "{error:?}");
    let error = Cells::read(&engine, &[]).await;
    assert!(matches!(error, Err(PortError::Fatal { .. })), "{error:?}");
    assert!(engine.close().await.is_err());
    drop(engine);

    // Its threads have it until they end.
    let engine = home.open();
    assert_eq!(cells(&engine, at(1)).await.traits.len(), 1);
}

#[tokio::test]
async fn what_is_there_already_is_on_the_disk_before_it_is_written_again_as_durable() {
    let home = Home::new();
    let engine = home.open();
    Cells::write(&engine, &[batch(1)], Durability::Durable)
        .await
        .unwrap();
    let commits = engine.statistics().commits;
    engine.inject(Injection::SyncFails);
    // Handed to the system only.
    Cells::write(&engine, &[batch(2)], Durability::Ordered)
        .await
        .unwrap();
    let again = Cells::write(&engine, &[batch(2)], Durability::Durable).await;
    assert!(matches!(again, Err(PortError::Fatal { .. })), "{again:?}");
    assert_eq!(engine.statistics().commits, commits + 1, "written once");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let home = Home::new();
    let mut options = home.options();
    options.queue_jobs_max = 2;
    let engine = open(&options);
    engine.inject(Injection::Delay(Duration::from_millis(1500)));
    let mut tasks = JoinSet::new();
    for n in 0..20u128 {
        let engine = engine.clone();
        tasks.spawn(async move {
            let batch = [batch(n)];
            // The first one, taken alone, holds the leader up.
            tokio::time::sleep(Duration::from_millis(if n == 0 { 0 } else { 100 })).await;
            Cells::write(&engine, &batch, Durability::Ordered).await
        });
    }
    let results = tasks.join_all().await;
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(PortError::Unavailable { .. })));
    assert_eq!(refused.count(), 17);

    engine.inject(Injection::Delay(Duration::from_millis(1500)));
    let log = engine.log();
    let mut tasks = JoinSet::new();
    for n in 0..4u64 {
        let (engine, log) = (engine.clone(), log.clone());
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_millis(n * 50)).await;
            if n < 3 {
                write(
                    &engine,
                    at(u128::from(n)),
                    2,
                    a_trait("w"),
                    Durability::Ordered,
                )
                .await;
                return;
            }
            let full = log.publish(record("k", "p")).await;
            assert!(matches!(full, Err(PublishError::Full)), "{full:?}");
            let kill = Conditional::Kill {
                profile: at(1),
                expected: None,
                id: kith_domain::id::DeleteId::from_uuid(uuid::Uuid::nil()),
            };
            let outcomes = engine.attempt(&[kill], Durability::Ordered).await;
            assert_eq!(outcomes, [Outcome::Unknown]);
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_never_see_half_a_commit() {
    let home = Home::new();
    let engine = home.open();
    let writer = {
        let engine = engine.clone();
        async move {
            for n in 1..300i64 {
                let value = text(&"x".repeat(20_000 + usize::try_from(n).unwrap()));
                let writes = (0..4)
                    .map(|d| CellWrite::Trait(definition(d), value.clone()))
                    .chain([CellWrite::Clock])
                    .collect();
                write(&engine, at(1), n, writes, Durability::Ordered).await;
            }
        }
    };
    let mut tasks = JoinSet::new();
    let mut readers = JoinSet::new();
    tasks.spawn(writer);
    for _ in 0..2 {
        let engine = engine.clone();
        readers.spawn(async move {
            let mut newest = micros(0);
            while newest < micros(299) {
                let rows = cells(&engine, at(1)).await;
                let Some(clock) = rows.clock else {
                    tokio::task::yield_now().await;
                    continue;
                };
                assert!(clock >= newest, "reads are monotone");
                assert!(rows.traits.iter().all(|cell| cell.time == clock));
                newest = clock;
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    readers.join_all().await;
}
