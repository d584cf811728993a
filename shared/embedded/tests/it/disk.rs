use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kith_embedded::{DiskLimits, Embedded, FreeBytes};
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::ports::{CellBatch, CellWrite, Cells, Durability, TraitLog, TraitSource};

use crate::harness::{
    Home, LIMIT, at, cells, definition, micros, open, record, records, text, write,
};

/// A disk whose room the test decides.
#[derive(Clone, Default)]
struct Disk(Arc<AtomicU64>);

impl Disk {
    fn has(&self, free: u64) {
        self.0.store(free, Ordering::SeqCst);
    }

    fn open(&self, home: &Home) -> Embedded {
        let mut options = home.options();
        options.disk = DiskLimits {
            warn_bytes: 2000,
            reserve_bytes: 1000,
        };
        let free = Arc::clone(&self.0);
        options.free_bytes = FreeBytes::new(move |_| Ok(free.load(Ordering::SeqCst)));
        open(&options)
    }
}

async fn try_write(engine: &Embedded, profile: u128) -> Result<(), PortError> {
    let batch = CellBatch {
        at: at(profile),
        time: micros(1),
        writes: vec![CellWrite::Trait(definition(1), text("v"))],
    };
    Cells::write(engine, &[batch], Durability::Durable).await
}

/// Writes until one is refused, or is not any more. Every one that was answered is noted.
async fn write_until(engine: &Embedded, is_refused: bool, written: &mut Vec<u128>) {
    let until = Instant::now() + LIMIT;
    loop {
        let profile = written.len() as u128;
        let result = try_write(engine, profile).await;
        match &result {
            Ok(()) => written.push(profile),
            Err(PortError::Unavailable { .. }) => {}
            Err(error @ (PortError::Corrupt { .. } | PortError::Fatal { .. })) => {
                panic!("{error}")
            }
        }
        if result.is_err() == is_refused {
            return;
        }
        assert!(Instant::now() < until, "{result:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn writes_are_refused_while_only_the_reserve_is_left_and_taken_again_afterwards() {
    let (home, disk) = (Home::new(), Disk::default());
    disk.has(1_000_000);
    let engine = disk.open(&home);
    let log = engine.log();
    let mut written = Vec::new();
    write_until(&engine, false, &mut written).await;
    log.publish(record("k", "p")).await.unwrap();

    // Low is told and nothing else.
    disk.has(1500);
    tokio::time::sleep(Duration::from_millis(600)).await;
    try_write(&engine, 1_000_000).await.unwrap();

    disk.has(999);
    write_until(&engine, true, &mut written).await;
    let refused = log.publish(record("k", "p")).await;
    assert!(
        matches!(refused, Err(PublishError::Unavailable(_))),
        "{refused:?}"
    );
    // Reads go on, and so does the worker with what it has: its commits are from the reserve.
    assert_eq!(cells(&engine, at(0)).await.traits.len(), 1);
    let mut source = log.consumer("group");
    let read = records(&mut source, 1).await;
    source
        .commit(&[(read[0].partition, read[0].offset.next())])
        .unwrap();
    source.close(LIMIT).await.unwrap();

    // Just above the bound is not enough, so that it does not go to and fro.
    disk.has(1100);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(try_write(&engine, 1_000_001).await.is_err());
    disk.has(1200);
    write_until(&engine, false, &mut written).await;
    engine.close().await.unwrap();
    drop((log, engine));

    // A start on a full disk answers reads, and refuses the first write already.
    disk.has(0);
    let engine = disk.open(&home);
    assert!(try_write(&engine, 1_000_002).await.is_err());
    for profile in written {
        assert_eq!(cells(&engine, at(profile)).await.traits.len(), 1);
    }
    drop(engine);

    let engine = home.open();
    write(
        &engine,
        at(1),
        2,
        vec![CellWrite::Clock],
        Durability::Durable,
    )
    .await;
}
