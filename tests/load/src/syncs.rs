//! Whether answers wait for the disk: syncs as the system sees them, independent of what the measured process says.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// A file in which `strace` notes every sync of a process, of its threads, and of the processes that it starts.
#[derive(Debug)]
pub struct Trace(PathBuf);

impl Trace {
    /// Notes into a file that is not there yet.
    #[must_use]
    pub fn at(file: &Path) -> Self {
        Self(file.to_owned())
    }

    /// The command that a process is started under. The process keeps the id that the command would have; a line is
    /// written before the process learns that its sync is done.
    #[must_use]
    pub fn watch(&self) -> Vec<String> {
        let file = self.0.display().to_string();
        let calls = "trace=fdatasync,fsync";
        ["strace", "-D", "-f", "-q", "-e", calls, "-o", file.as_str()]
            .map(str::to_owned)
            .to_vec()
    }

    /// Syncs that are done by now.
    ///
    /// # Errors
    /// When nothing was noted, which is so where a process may not watch another.
    pub fn done(&self) -> Result<u64> {
        Ok(done(&std::fs::read_to_string(&self.0)?))
    }
}

/// Counts the syncs that came back without an error.
fn done(trace: &str) -> u64 {
    let is_done = |line: &&str| {
        let of_sync = line.contains(" fdatasync(") || line.contains(" fsync(");
        let resumed = line.contains(" fdatasync resumed>") || line.contains(" fsync resumed>");
        (of_sync || resumed) && line.ends_with(" = 0")
    };
    trace.lines().filter(is_done).count() as u64
}

/// So many callers, each of whom waits for an answer before the next request, got so many answers with so many syncs. A
/// sync covers one request of each caller at most.
///
/// # Errors
/// When some were answered before they were on the disk.
pub fn cover(callers: usize, answers: usize, syncs: f64) -> Result<()> {
    // One more for what was on its way when the count began.
    let most = (syncs + 1.0) * callers as f64;
    ensure!(
        syncs > 0.0 && answers as f64 <= most,
        "{answers} answers to {callers} callers with {syncs} syncs: not all were on the disk"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_counts_once_it_is_done() {
        let trace = "7 fdatasync(3)                      = 0\n\
                     7 fsync(3 <unfinished ...>\n\
                     8 fdatasync(4)  = -1 EIO (Input/output error)\n";
        assert_eq!(done(trace), 1);
        let resumed =
            format!("{trace}7 <... fsync resumed>)            = 0\n7 +++ exited with 0 +++\n");
        assert_eq!(done(&resumed), 2);
    }

    #[test]
    fn a_sync_covers_one_request_of_each_caller() {
        assert!(cover(64, 640, 9.0).is_ok());
        assert!(cover(64, 641, 9.0).is_err());
        assert!(cover(64, 1, 0.0).is_err());
    }
}
