//! The process itself, from Linux' `/proc/self`. Elsewhere these metrics are absent.

use std::fs;
use std::sync::OnceLock;

use ::metrics::{counter, gauge};

use super::names;

/// Ticks of processor time a second in `/proc`, on every Linux that we build for (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// When this process started, as found first.
static STARTED: OnceLock<f64> = OnceLock::new();

/// Reads and sets the metrics of the process. A few microseconds; called for each scrape.
#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
pub(super) fn observe() {
    if let Ok(status) = fs::read_to_string("/proc/self/status") {
        if let Some(kib) = field(&status, "VmRSS:") {
            gauge!(names::PROCESS_RESIDENT_MEMORY).set((kib * 1024) as f64);
        }
        if let Some(threads) = field(&status, "Threads:") {
            gauge!(names::PROCESS_THREADS).set(threads as f64);
        }
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat")
        && let Some(times) = times(&stat)
    {
        counter!(names::PROCESS_CPU).absolute(times.cpu / TICKS_PER_SECOND);
        if let Some(boot) = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|s| field(&s, "btime"))
        {
            let after_boot = times.started as f64 / TICKS_PER_SECOND as f64;
            // The kernel works out the time of its start anew each time, and goes to and fro by a second: whoever counts
            // starts by changes must not see those.
            let started = *STARTED.get_or_init(|| boot as f64 + after_boot);
            gauge!(names::PROCESS_START_TIME).set(started);
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        gauge!(names::PROCESS_OPEN_FDS).set(files.count() as f64);
    }
    // Without a limit there is nothing to show; the kernel's word for that is no number.
    if let Ok(limits) = fs::read_to_string("/proc/self/limits")
        && let Some(files) = field(&limits, "Max open files")
    {
        gauge!(names::PROCESS_MAX_FDS).set(files as f64);
    }
}

/// The number behind a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time of the process, and when after the machine it started, both in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Times {
    cpu: u64,
    started: u64,
}

/// Reads `/proc/self/stat` (proc(5)). The program's name comes second, in brackets, and may hold anything.
fn times(stat: &str) -> Option<Times> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // The third field of the line is the first here.
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Times {
        cpu: number(14)? + number(15)?,
        started: number(22)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let status = "Name:\tkith\nVmRSS:\t   12345 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(12_345));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "VmSwap:"), None);
    }

    #[test]
    fn the_soft_limit_is_the_first_of_its_line() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(field(limits, "Max open files"), Some(1024));
        let none = "Max open files            unlimited            unlimited            files\n";
        assert_eq!(field(none, "Max open files"), None);
    }

    #[test]
    fn times_are_read_whatever_the_program_is_called() {
        let stat = "17 (a) b (c) S 1 17 17 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 987 1000 10";
        let expected = Times {
            cpu: 300,
            started: 987,
        };
        assert_eq!(times(stat), Some(expected));
        assert_eq!(times("17 (short) S 1"), None);
    }
}
