//! A PostgreSQL server of the benchmark's own: Debian's binaries, on a folder and a socket that go with it. It listens on no
//! port.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::process::family_seconds;

/// The oldest version that counts its syncs and tells on demand.
const VERSION_MIN: u32 = 15;
/// How long it may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a good engineer tunes it for many small durable writes on one machine. What makes an answer durable is as it is by
/// default, and said once more. Plans are those for large tables from the first row on.
const TUNED: &str = "
listen_addresses = ''
max_connections = 300
shared_buffers = 512MB
wal_buffers = 64MB
min_wal_size = 1GB
max_wal_size = 8GB
checkpoint_timeout = 30min
checkpoint_completion_target = 0.9
wal_level = minimal
max_wal_senders = 0
wal_compression = lz4
fsync = on
full_page_writes = on
wal_sync_method = fdatasync
commit_siblings = 5
jit = off
max_parallel_workers_per_gather = 0
random_page_cost = 1.1
enable_seqscan = off
enable_hashjoin = off
enable_mergejoin = off
update_process_title = off
log_min_messages = fatal
log_min_error_statement = panic
log_error_verbosity = terse
";

/// What of the server's settings is chosen by measuring, or made wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commits {
    /// For how long a commit waits for others to share its sync, in microseconds.
    pub delay_us: u32,
    /// Whether a commit is answered only once it is on the disk.
    pub are_durable: bool,
}

/// A server. Dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    child: Child,
    data: PathBuf,
    socket: TempDir,
    owner: Option<Owner>,
}

/// Who runs the server, where we are root: it refuses to be run by root.
#[derive(Debug, Clone, Copy)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Makes a database in a folder that is not there yet, and starts it, under a command that watches it if there is one.
    ///
    /// # Errors
    /// When the package is missing, or the server does not start.
    pub async fn start(dir: &Path, commits: Commits, watch: &[String]) -> Result<Self> {
        let owner = Owner::needed()?;
        let socket = tempfile::tempdir()?;
        std::fs::create_dir_all(dir)?;
        // Seen from its own folder, wherever it is.
        let dir = std::fs::canonicalize(dir)?;
        for folder in [socket.path(), dir.as_path()] {
            owned(folder, owner)?;
        }
        let data = dir.join("postgres");
        let mut making = run_by(owner, &program("initdb")?, &[]);
        making
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8"])
            .args(["--no-locale", "--pgdata"])
            .arg(&data)
            .current_dir(&dir);
        finish("initdb", &mut making)?;
        configure(&data, socket.path(), commits)?;

        let log = File::create(dir.join("postgres.log"))?;
        let child = run_by(owner, &program("postgres")?, watch)
            .arg("-D")
            .arg(&data)
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("postgres")?;
        let mut server = Self {
            child,
            data,
            socket,
            owner,
        };
        server.ready(&dir.join("postgres.log")).await?;
        Ok(server)
    }

    /// The folder of its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        self.socket.path()
    }

    /// Takes other settings on, while it runs.
    ///
    /// # Errors
    /// When they cannot be written, or the server is gone.
    pub fn set(&self, commits: Commits) -> Result<()> {
        configure(&self.data, self.socket.path(), commits)?;
        self.signal("HUP")
    }

    /// Has it count what is in its tables, by which it plans. By itself it does so about once a minute, and until then it was seen to answer
    /// a tenth of the requests.
    ///
    /// # Errors
    /// When it does not.
    pub fn analyze(&self) -> Result<()> {
        let mut asking = run_by(self.owner, &program("psql")?, &[]);
        asking
            .args(["--no-psqlrc", "--quiet", "--username=postgres", "--host"])
            .arg(self.socket.path())
            .args(["--command=ANALYZE", "postgres"])
            .current_dir(self.socket.path());
        finish("psql", &mut asking)
    }

    /// Processor time of all its processes.
    ///
    /// # Errors
    /// When it is gone.
    pub fn processor_seconds(&self) -> Result<f64> {
        family_seconds(self.child.id())
    }

    /// Ends it, without waiting for its clients.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn stop(mut self) -> Result<()> {
        self.signal("INT")?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "postgres: {status}");
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "postgres does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has opened its socket and says that it is ready.
    async fn ready(&mut self, log: &Path) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("postgres ended with {status}: {said}");
            }
            // The last line of this file says how far it is.
            let state = std::fs::read_to_string(self.data.join("postmaster.pid"));
            if state.is_ok_and(|state| state.lines().any(|line| line.trim() == "ready")) {
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "postgres does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal(&self, name: &str) -> Result<()> {
        let status = run_by(self.owner, Path::new("kill"), &[])
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()?;
        ensure!(status.success(), "kill -{name}: {status}");
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // QUIT ends its processes with it; those of a server that is killed notice by themselves.
            if self.signal("QUIT").is_err() {
                drop(self.child.kill());
            }
            drop(self.child.wait());
        }
    }
}

impl Owner {
    /// The user of the Debian package, if we are root.
    fn needed() -> Result<Option<Self>> {
        if std::fs::metadata("/proc/self")?.uid() != 0 {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")?;
        Self::named("postgres", &users)
            .context("no user `postgres`: install Debian's package postgresql")
            .map(Some)
    }

    fn named(name: &str, users: &str) -> Option<Self> {
        let fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))?;
        Some(Self {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    }
}

fn owned(path: &Path, owner: Option<Owner>) -> Result<()> {
    if let Some(owner) = owner {
        chown(path, Some(owner.uid), Some(owner.gid))
            .with_context(|| format!("giving {} away", path.display()))?;
    }
    Ok(())
}

/// Runs a command to its end; what it said is told if that is not a good one.
fn finish(name: &'static str, command: &mut Command) -> Result<()> {
    let done = command.output().context(name)?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{name}: {}: {said}", done.status);
    Ok(())
}

/// A command as the server's owner.
fn run_by(owner: Option<Owner>, program: &Path, watch: &[String]) -> Command {
    let mut command = match watch.split_first() {
        None => Command::new(program),
        Some((watch, arguments)) => {
            let mut command = Command::new(watch);
            command.args(arguments).arg(program);
            command
        }
    };
    if let Some(owner) = owner {
        command.uid(owner.uid).gid(owner.gid);
    }
    command
}

fn configure(data: &Path, socket: &Path, commits: Commits) -> Result<()> {
    let mut text = TUNED.to_owned();
    let durable = if commits.are_durable { "on" } else { "off" };
    writeln!(text, "unix_socket_directories = '{}'", socket.display())?;
    writeln!(text, "commit_delay = {}", commits.delay_us)?;
    writeln!(text, "synchronous_commit = {durable}")?;
    // The file stays its owner's.
    std::fs::write(data.join("postgresql.conf"), text)?;
    Ok(())
}

/// One of the server's programs: those of the newest version that Debian has installed, or on the path.
fn program(name: &str) -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let newest = versions
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max();
    match newest {
        Some(version) => {
            ensure!(version >= VERSION_MIN, "PostgreSQL {version} is too old");
            Ok(format!("/usr/lib/postgresql/{version}/bin/{name}").into())
        }
        None => Ok(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users =
            "postgres2:x:7:8::/:\npostgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        let owner = Owner::named("postgres", users).unwrap();
        assert_eq!((owner.uid, owner.gid), (101, 104));
        assert!(Owner::named("post", users).is_none());
    }
}
