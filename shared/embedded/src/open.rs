//! Opening: lock, make what is not there, check, and only then let the storage engine at it.
//!
//! ```text
//! dir/lock                  held while the engine runs; its content means nothing
//! dir/store/layout          which layout this is
//! dir/store/acknowledged    see `acknowledged`
//! dir/store/database/       fjall's own
//! dir/making/               a store that is being made; renamed when it is whole, removed if it never became that
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::watch;
use uuid::Uuid;

use crate::acknowledged::{self, Acknowledged};
use crate::audit::{self, Audit};
use crate::database::Store;
use crate::disk::{self, Room};
use crate::engine::{Counters, Embedded, Shared};
use crate::error::{FailureCell, OpenError};
use crate::inject::Faults;
use crate::journal_file::JournalSync;
use crate::layout::row::{Number, Row};
use crate::layout::{self, Space, key};
use crate::leader::Leader;
use crate::log::groups::Groups;
use crate::log::state::LogState;
use crate::options::Options;
use crate::queue::Queue;
use crate::retired::InUse;
use crate::scrub;
use crate::seal::{Seal, Tip};
use crate::syncer::Syncer;
use crate::telemetry;

/// Groups of answers that may wait for the disk. Beyond it commits wait, and then the queue fills.
const PENDING_SYNCS: usize = 1024;
/// The name of the file that is locked.
pub(crate) const LOCK: &str = "lock";
const STAMP: &str = "kith embedded layout ";

/// Where a store's files are.
pub(crate) struct Paths {
    store: PathBuf,
}

impl Paths {
    /// Those of a data directory.
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            store: dir.join("store"),
        }
    }

    /// Those of a store that is being made there.
    pub(crate) fn making(dir: &Path) -> Self {
        Self {
            store: dir.join("making"),
        }
    }

    /// The store itself: everything but the lock.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.store.join("database")
    }

    pub(crate) fn acknowledged(&self) -> PathBuf {
        self.store.join(acknowledged::NAME)
    }

    fn layout(&self) -> PathBuf {
        self.store.join("layout")
    }
}

pub(crate) fn open(options: Options) -> Result<Embedded, OpenError> {
    let opened = Instant::now();
    telemetry::describe();
    let lock = lock(&options.dir)?;
    let paths = Paths::of(&options.dir);
    let is_there = paths
        .store
        .try_exists()
        .map_err(|error| OpenError::io(&paths.store, error))?;
    if !is_there {
        make(&options.dir, &paths)?;
    }
    let (store, tip, audit) = checked(&paths, options.check_bytes, options.cache_bytes)?;
    start(options, &paths, lock, store, tip, audit, opened)
}

/// Checks the files of a store, up to so many bytes of its tables, and has the storage engine open it if they are sound.
pub(crate) fn checked(
    paths: &Paths,
    check_bytes: u64,
    cache_bytes: u64,
) -> Result<(Store, Tip, Audit), OpenError> {
    let audit = check_files(paths, check_bytes)?;
    cut_torn_end(&audit)?;
    let store =
        Store::open(&paths.database(), cache_bytes).map_err(|source| OpenError::Engine {
            dir: paths.database(),
            source,
        })?;
    let tip = check_replay(paths, &store, &audit)?;
    Ok((store, tip, audit))
}

/// Checks the files of a store and changes nothing.
pub(crate) fn check_files(paths: &Paths, check_bytes: u64) -> Result<Audit, OpenError> {
    check_stamp(paths)?;
    audit::audit(paths, check_bytes)
}

/// Takes the directory for this process.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    make_dir(dir).map_err(|error| OpenError::io(dir, error))?;
    let path = dir.join(LOCK);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| OpenError::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, error)),
    }
}

/// A directory for its owner only: it holds personal data.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes an empty store beside its place, and moves it there when it is whole.
pub(crate) fn make(dir: &Path, paths: &Paths) -> Result<(), OpenError> {
    let making = Paths::making(dir);
    let io_error = |error| OpenError::io(&making.store, error);
    match fs::remove_dir_all(&making.store) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
        _ => {}
    }
    make_dir(&making.store).map_err(io_error)?;
    Store::create(&making.database()).map_err(|source| OpenError::Engine {
        dir: making.database(),
        source,
    })?;
    Acknowledged::create(&making.acknowledged()).map_err(io_error)?;
    File::create_new(making.layout())
        .and_then(|mut file| {
            writeln!(file, "{STAMP}{}", layout::VERSION)?;
            file.sync_all()
        })
        .map_err(io_error)?;
    sync_dir(&making.store)
        .and_then(|()| fs::rename(&making.store, &paths.store))
        .and_then(|()| sync_dir(dir))
        .map_err(io_error)
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Looks whether the layout is one that this version reads.
pub(crate) fn check_stamp(paths: &Paths) -> Result<(), OpenError> {
    let file = paths.layout();
    let text = fs::read_to_string(&file).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            OpenError::damaged(&file, "it is missing")
        } else {
            OpenError::io(&file, error)
        }
    })?;
    let found = text
        .strip_prefix(STAMP)
        .and_then(|version| version.trim_end().parse().ok())
        .ok_or_else(|| OpenError::damaged(&file, "it is not the stamp of a layout"))?;
    if found > layout::VERSION {
        return Err(OpenError::Newer {
            file,
            found,
            supported: layout::VERSION,
        });
    }
    Ok(())
}

/// Cuts off what a crash left at the end of the last journal. fjall would do it, too, except where the half batch has an end: then
/// it would not open.
fn cut_torn_end(audit: &Audit) -> Result<(), OpenError> {
    let Some((path, sound)) = &audit.torn else {
        return Ok(());
    };
    tracing::info!(
        journal = %path.display(),
        sound_bytes = sound,
        "cutting an unfinished commit off the end of the journal"
    );
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| {
            file.set_len(*sound)?;
            file.sync_all()
        })
        .map_err(|error| OpenError::io(path, error))
}

/// Looks whether the storage engine found what the check found.
fn check_replay(paths: &Paths, store: &Store, audit: &Audit) -> Result<Tip, OpenError> {
    let damaged = |detail: String| OpenError::damaged(paths.database(), detail);
    let tip = store
        .latest(Space::Meta, key::COMMIT)
        .map_err(|source| OpenError::Engine {
            dir: paths.database(),
            source,
        })?
        .map(|bytes| Seal::decode(&bytes).map(|seal| seal.tip()))
        .transpose()
        .map_err(|error| damaged(error.to_string()))?
        .unwrap_or_default();
    let expected = audit.tip.unwrap_or(tip);
    if tip != expected || tip.sequence < audit.acknowledged.tip.sequence {
        return Err(damaged(format!(
            "commit {} is the last after replay, but the journals end at {} and {} was acknowledged",
            tip.sequence, expected.sequence, audit.acknowledged.tip.sequence
        )));
    }
    Ok(tip)
}

/// Starts the threads.
fn start(
    options: Options,
    paths: &Paths,
    lock: File,
    store: Store,
    tip: Tip,
    audit: Audit,
    opened: Instant,
) -> Result<Embedded, OpenError> {
    let unreadable =
        |error: crate::error::ReadError| OpenError::damaged(paths.database(), error.to_string());
    let view = store.view();
    let log = LogState::load(&view, options.log_partitions).map_err(unreadable)?;
    let groups = Groups::load(&view).map_err(unreadable)?;
    let journal = JournalSync::open(&paths.database())
        .map_err(|error| OpenError::io(paths.database(), error))?;
    let acknowledged = Acknowledged::open(&paths.acknowledged(), &audit.acknowledged)
        .map_err(|error| OpenError::io(paths.acknowledged(), error))?;
    let partitions = Number(u64::from(log.partitions()));
    let shared = Arc::new(Shared {
        store,
        queue: Queue::new(options.queue_jobs_max, options.queue_bytes_max),
        failure: Arc::new(FailureCell::new()),
        faults: Faults::default(),
        room: Room::default(),
        groups,
        heads: log.heads(),
        options,
        tip: Mutex::new(tip),
        counters: Counters::default(),
        busy_since: 0.into(),
        opened,
        stopped: watch::Sender::new(false),
        lock,
    });
    let (to_syncer, from_leader) = sync_channel(PENDING_SYNCS);
    let (in_use, freer) = InUse::new();
    let mut leader = Leader::new(Arc::clone(&shared), log, to_syncer, in_use);
    leader
        .before_start(move |group| {
            let stored = group.staged.row::<Number>(Space::Meta, key::PARTITIONS);
            if !matches!(stored, Ok(Some(stored)) if stored == partitions) {
                group
                    .staged
                    .put_row(Space::Meta, key::PARTITIONS.to_vec(), &partitions);
            }
            if matches!(group.staged.get(Space::Meta, key::TOKEN_KEY), Ok(None)) {
                // 122 random bits at least in each half.
                let halves = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
                group
                    .staged
                    .put(Space::Meta, key::TOKEN_KEY.to_vec(), halves.concat());
            }
        })
        .map_err(|failure| OpenError::io(paths.database(), io::Error::other(failure)))?;
    let syncer = Syncer::new(Arc::clone(&shared), from_leader, journal, acknowledged);

    let watch = disk::Watch::begin(Arc::clone(&shared));

    let mut threads = Vec::with_capacity(5);
    let embedded = |threads| Embedded::new(Arc::clone(&shared), threads);
    let spawned = (|| {
        threads.push(spawn("kith-commit", move || leader.run())?);
        threads.push(spawn("kith-sync", move || syncer.run())?);
        threads.push(spawn("kith-disk", move || watch.run())?);
        threads.push(spawn("kith-freer", move || freer.run())?);
        if !audit.unchecked.is_empty() {
            let shared = Arc::clone(&shared);
            threads.push(spawn("kith-check", move || {
                scrub::run(&shared, &audit.unchecked);
            })?);
        }
        Ok(())
    })();
    // Made before the error is looked at, so that threads that run are ended.
    let embedded = embedded(threads);
    spawned.map_err(|error| OpenError::io(&paths.store, error))?;
    Ok(embedded)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(work)
}
