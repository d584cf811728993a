//! What the tests share: an engine in a directory of its own, ids that count, a clock that can be set.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kith_domain::id::{DefinitionId, ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_embedded::{Embedded, OpenError, Options};
use kith_profiles::ports::{
    CellBatch, CellRead, CellRows, CellWrite, Cells, Durability, LogEvent, LogRecord, NewRecord,
    Select, TraitSource,
};
use tempfile::TempDir;
use uuid::Uuid;

/// Longer than anything takes that works.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A data directory that goes with the test.
pub(crate) struct Home {
    dir: TempDir,
    /// What the clock says.
    pub(crate) now: Arc<AtomicI64>,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            now: Arc::new(AtomicI64::new(1_000_000_000_000_000)),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn options(&self) -> Options {
        options(&self.path(), &self.now)
    }

    pub(crate) fn open(&self) -> Embedded {
        open(&self.options())
    }

    pub(crate) fn try_open(&self) -> Result<Embedded, OpenError> {
        Embedded::open(self.options())
    }
}

/// What a directory says once nobody else has it. A child that another test starts holds our locks, too, until it is another program:
/// on a busy machine that takes a while.
pub(crate) fn once_free<T>(open: impl Fn() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match open() {
            Err(OpenError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

/// Opens a directory that nobody else has.
pub(crate) fn open(options: &Options) -> Embedded {
    once_free(|| Embedded::open(options.clone())).unwrap()
}

pub(crate) fn options(dir: &Path, now: &Arc<AtomicI64>) -> Options {
    let now = Arc::clone(now);
    Options::new(
        dir,
        Arc::new(move || Micros::from_micros(now.load(Ordering::Relaxed))),
    )
}

/// A number that no other call gets.
pub(crate) fn count() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn uuid() -> Uuid {
    Uuid::from_u128(u128::from(count()) << 64)
}

pub(crate) fn store() -> StoreId {
    StoreId::from_uuid(Uuid::nil())
}

pub(crate) fn at(profile: u128) -> ProfileKey {
    ProfileKey {
        store: store(),
        profile: ProfileId::from_uuid(Uuid::from_u128(profile)),
    }
}

pub(crate) fn micros(micros: i64) -> Micros {
    Micros::from_micros(micros)
}

pub(crate) fn definition(id: u128) -> DefinitionId {
    DefinitionId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn text(value: &str) -> CellBytes {
    CellBytes::from(&TraitWrite::Set(TraitValue::String(value.into())))
}

/// Writes one batch.
pub(crate) async fn write(
    engine: &Embedded,
    at: ProfileKey,
    time: i64,
    writes: Vec<CellWrite>,
    durability: Durability,
) {
    let batch = CellBatch {
        at,
        time: micros(time),
        writes,
    };
    Cells::write(engine, &[batch], durability).await.unwrap();
}

/// Reads all cells of a profile.
pub(crate) async fn cells(engine: &Embedded, at: ProfileKey) -> CellRows {
    let select = vec![
        Select::Clock,
        Select::Root,
        Select::Idents,
        Select::LinksAndMembers,
        Select::Traits,
    ];
    let read = CellRead { at, select };
    Cells::read(engine, &[read]).await.unwrap().remove(0)
}

pub(crate) fn record(key: &str, payload: &str) -> NewRecord {
    NewRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        headers: vec![("traceparent".into(), Bytes::from_static(b"00-1"))],
    }
}

/// The next event, within the limit.
pub(crate) async fn event(source: &mut impl TraitSource) -> LogEvent {
    tokio::time::timeout(LIMIT, source.next())
        .await
        .expect("an event should come")
        .unwrap()
}

/// Records until there are so many.
pub(crate) async fn records(source: &mut impl TraitSource, count: usize) -> Vec<LogRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        match event(source).await {
            LogEvent::Records(more) => records.extend(more),
            LogEvent::Assigned(_) => {}
            event @ (LogEvent::Revoked(_) | LogEvent::Lost(_)) => panic!("{event:?}"),
        }
    }
    assert_eq!(records.len(), count);
    records
}

/// Whether nothing comes for a while.
pub(crate) async fn is_quiet(source: &mut impl TraitSource) -> bool {
    tokio::time::timeout(Duration::from_millis(200), source.next())
        .await
        .is_err()
}

pub(crate) fn payloads(records: &[LogRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8(record.payload.to_vec()).unwrap())
        .collect()
}
