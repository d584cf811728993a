//! The room on the disk: shown, warned about, and kept in reserve.
//!
//! A disk that fills up in the middle of a commit ends the engine, because nobody knows what of it is there. So the engine stops
//! taking writes a good while before: what was taken finds its room, and so do the flushes and compactions that it leads to. Callers hear
//! that the database is unavailable, reads go on, and writes do again once there is room. Whoever fills a disk faster than it is looked at
//! still gets the end of the process, and a start that finds everything acknowledged.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::gauge;

use crate::engine::Shared;
use crate::options::DiskLimits;
use crate::telemetry;

/// How often the disk is looked at. At a gigabyte a second, a disk gets as much in between as the least reserve.
const EVERY: Duration = Duration::from_millis(250);

type Find = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// How many bytes are free where a directory is.
#[derive(Clone)]
pub struct FreeBytes(Arc<Find>);

impl FreeBytes {
    /// What the file system says of the space that this user may still fill.
    #[must_use]
    pub fn of_the_system() -> Self {
        Self::new(|dir| {
            let found = rustix::fs::statvfs(dir)?;
            Ok(found.f_bavail.saturating_mul(found.f_frsize))
        })
    }

    /// Any other source, such as a test's.
    #[must_use]
    pub fn new(find: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    fn find(&self, dir: &Path) -> io::Result<u64> {
        (self.0)(dir)
    }
}

impl fmt::Debug for FreeBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FreeBytes").finish_non_exhaustive()
    }
}

/// Whether there is room, for whoever hands in a write.
#[derive(Debug, Default)]
pub(crate) struct Room {
    is_short: AtomicBool,
}

impl Room {
    /// Whether writes are refused.
    pub(crate) fn is_short(&self) -> bool {
        self.is_short.load(Ordering::Relaxed)
    }
}

/// How much room there is, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Only the reserve is left.
    Short,
    /// Somebody should look after it.
    Low,
    Enough,
}

impl Level {
    /// A level is left upwards only well above its bound, so that a disk that stands at a bound does not go to and fro.
    fn after(self, free: u64, limits: &DiskLimits) -> Self {
        let bounded = |bound: u64, is_below: bool| {
            let bound = if is_below {
                bound.saturating_add(bound / 8)
            } else {
                bound
            };
            free < bound
        };
        if bounded(limits.reserve_bytes, self == Self::Short) {
            Self::Short
        } else if bounded(limits.warn_bytes, self <= Self::Low) {
            Self::Low
        } else {
            Self::Enough
        }
    }
}

/// Looks at the disk now and then.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    level: Level,
    /// Whether the last look failed, which is told once.
    is_blind: bool,
}

impl Watch {
    /// Looks for the first time, so that an engine that opens on a full disk refuses its first write already.
    pub(crate) fn begin(shared: Arc<Shared>) -> Self {
        let mut watch = Self {
            shared,
            level: Level::Enough,
            is_blind: false,
        };
        watch.look();
        watch
    }

    /// Runs until the engine closes or fails.
    pub(crate) fn run(mut self) {
        while !self.shared.queue.is_closed() {
            std::thread::park_timeout(EVERY);
            self.look();
        }
    }

    fn look(&mut self) {
        let options = &self.shared.options;
        let free = match options.free_bytes.find(&options.dir) {
            Ok(free) => free,
            Err(error) => {
                if !std::mem::replace(&mut self.is_blind, true) {
                    tracing::warn!(dir = %options.dir.display(), %error, "the room on the disk cannot be told");
                }
                return;
            }
        };
        self.is_blind = false;
        gauge!(telemetry::DISK_FREE_BYTES).set(as_f64(free));
        gauge!(telemetry::DISK_FREE_BYTES_MIN).set(as_f64(options.disk.reserve_bytes));
        let level = self.level.after(free, &options.disk);
        let before = std::mem::replace(&mut self.level, level);
        if level != before {
            tell(level, free, options.disk, &options.dir);
        }
        let room = &self.shared.room;
        room.is_short
            .store(level == Level::Short, Ordering::Relaxed);
    }
}

fn tell(level: Level, free: u64, limits: DiskLimits, dir: &Path) {
    let dir = dir.display();
    let DiskLimits {
        warn_bytes,
        reserve_bytes,
    } = limits;
    match level {
        Level::Short => tracing::error!(
            %dir,
            free,
            reserve_bytes,
            "the disk is full up to the reserve: writes are refused until there is room"
        ),
        Level::Low => tracing::warn!(
            %dir,
            free,
            warn_bytes,
            reserve_bytes,
            "the disk gets full: writes will be refused when only the reserve is left"
        ),
        Level::Enough => tracing::info!(%dir, free, "there is room on the disk again"),
    }
}

/// For a gauge, where the last digits of a petabyte do not matter.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float, and rounds what no disk has"
)]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_entered_at_their_bound_and_left_an_eighth_above_it() {
        let limits = DiskLimits {
            warn_bytes: 800,
            reserve_bytes: 80,
        };
        let walk = [
            (1000, Level::Enough),
            (800, Level::Enough),
            (799, Level::Low),
            (899, Level::Low),
            (900, Level::Enough),
            (79, Level::Short),
            (89, Level::Short),
            (90, Level::Low),
            (0, Level::Short),
            (u64::MAX, Level::Enough),
        ];
        let mut level = Level::Enough;
        for (free, expected) in walk {
            level = level.after(free, &limits);
            assert_eq!(level, expected, "at {free}");
        }
    }

    #[test]
    fn limits_of_nothing_are_none() {
        let limits = DiskLimits {
            warn_bytes: 0,
            reserve_bytes: 0,
        };
        assert_eq!(Level::Enough.after(0, &limits), Level::Enough);
    }

    #[test]
    fn the_system_knows_the_room_of_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let free = FreeBytes::of_the_system();
        assert!(free.find(dir.path()).unwrap() > 0);
        assert!(free.find(&dir.path().join("missing")).is_err());
    }
}
