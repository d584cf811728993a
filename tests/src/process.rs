//! Processes under test: the binaries as they are shipped, on ports of their own.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use uuid::Uuid;

use crate::api::{ACCOUNT, TOKEN};
use crate::poll::until;
use crate::privacy;

/// A binary of this workspace, as the last build left it.
///
/// # Errors
/// When it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("KITH_TEST_BIN_DIR") {
        return Ok(PathBuf::from(dir).join(name));
    }
    let own = std::env::current_exe()?;
    let beside = own.parent().context("no target folder")?;
    // A test is target/<profile>/deps/<test>, a binary of the workspace is where the others are.
    let dir = match beside.ends_with("deps") {
        true => beside.parent().context("no target folder")?,
        false => beside,
    };
    let path = dir.join(name);
    ensure!(
        path.exists(),
        "{} is missing: build the workspace first",
        path.display()
    );
    Ok(path)
}

/// A port of loopback that nobody listens on now.
///
/// # Errors
/// When none can be had.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The binary's name.
    pub binary: String,
    /// The folder where it is, if it is not of this build.
    pub folder: Option<PathBuf>,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Environment; nothing else of ours is inherited.
    pub environment: Vec<(String, String)>,
    /// The operator's address.
    pub admin: SocketAddr,
    /// A command that starts the binary and watches it, with its arguments; none, if empty.
    pub watch: Vec<String>,
}

impl Launch {
    /// A launch of `binary` with an operator's address of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn new(binary: &str) -> Result<Self> {
        let admin = free_address()?;
        Ok(Self {
            binary: binary.into(),
            folder: None,
            arguments: Vec::new(),
            environment: vec![
                ("KITH_ADMIN_LISTEN".into(), admin.to_string()),
                (
                    "RUST_LOG".into(),
                    "info,kith=debug,ingest_api=debug,trait_worker=debug".into(),
                ),
            ],
            admin,
            watch: Vec::new(),
        })
    }

    /// Under a command that starts the binary as its own process id and watches it, such as `strace -D`.
    #[must_use]
    pub fn under(mut self, watch: &[String]) -> Self {
        self.watch = watch.to_vec();
        self
    }

    /// Of another build, whose binaries are in this folder.
    #[must_use]
    pub fn of(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// With these arguments.
    #[must_use]
    pub fn told(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        self
    }

    /// With one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.into(), value.to_string()));
        self
    }

    /// With what only a process that answers HTTP needs: an address, and a file in `dir` with the development account.
    ///
    /// # Errors
    /// When no port can be had, or the file not be written.
    pub fn answering(self, dir: &Path) -> Result<Self> {
        // Of its own: others may be reading theirs.
        let credentials = dir.join(format!("credentials-{}.toml", Uuid::new_v4().as_simple()));
        let account = format!("[[account]]\nsid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\n");
        std::fs::write(&credentials, account)?;
        Ok(self
            .with("KITH_LISTEN", free_address()?)
            .with("KITH_CREDENTIALS", credentials.display()))
    }

    /// Where it will answer HTTP.
    ///
    /// # Errors
    /// When it is not told where, or that is no address.
    pub fn listen(&self) -> Result<SocketAddr> {
        let mut told = self.environment.iter().rev();
        let listen = told.find(|(name, _)| name == "KITH_LISTEN");
        let (_, address) = listen.with_context(|| format!("{} answers no HTTP", self.binary))?;
        Ok(address.parse()?)
    }

    /// Runs it to its end as a command; how it ended, and what it said.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn output(&self) -> Result<Output> {
        let mut command = self.command()?;
        Ok(tokio::task::spawn_blocking(move || command.output()).await??)
    }

    /// The command, without what a developer's shell may have set.
    ///
    /// # Errors
    /// When the binary was not built.
    pub fn command(&self) -> Result<Command> {
        let binary = match &self.folder {
            Some(folder) => folder.join(&self.binary),
            None => binary(&self.binary)?,
        };
        let mut command = match self.watch.split_first() {
            None => Command::new(binary),
            Some((watch, arguments)) => {
                let mut command = Command::new(watch);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.args(&self.arguments).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("KITH_") || text.starts_with("OTEL_") || text.starts_with("TWILIO_")
            {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// A process under test. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a process; its output goes to a file in `logs`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(launch: Launch, logs: &Path) -> Result<Self> {
        let log = logs.join(format!(
            "{}-{}.log",
            launch.binary,
            Uuid::new_v4().as_simple()
        ));
        let file = File::create(&log)?;
        let child = launch
            .command()?
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", launch.binary))?;
        Ok(Self { launch, child, log })
    }

    /// The same, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`] and [`Self::ready`].
    pub async fn started(launch: Launch, logs: &Path) -> Result<Self> {
        let mut process = Self::start(launch, logs)?;
        process.ready().await?;
        Ok(process)
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// When the process ends, or the time does; with the end of its log.
    pub async fn ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.launch.admin);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended with {status}: {}",
                    self.launch.binary,
                    self.log_tail()
                );
            }
            let answer = reqwest::get(&url).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if start.elapsed() > Duration::from_secs(60) {
                bail!("{} is not ready: {}", self.launch.binary, self.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `/metrics` as it is now.
    ///
    /// # Errors
    /// When the process does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.launch.admin);
        Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
    }

    /// The operator's address.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.launch.admin
    }

    /// Where it answers HTTP.
    ///
    /// # Errors
    /// As [`Launch::listen`].
    pub fn listen(&self) -> Result<SocketAddr> {
        self.launch.listen()
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory now, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that was resident, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak_bytes(&self) -> Result<u64> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .with_context(|| format!("no {field}"))?;
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .context("no figure")?
            .parse()?;
        Ok(kib * 1024)
    }

    /// Sockets that are open now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn sockets(&self) -> Result<usize> {
        let mut sockets = 0;
        for entry in std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))? {
            // One that is closed meanwhile is none.
            let leads = std::fs::read_link(entry?.path()).unwrap_or_default();
            sockets += usize::from(leads.to_string_lossy().starts_with("socket:"));
        }
        Ok(sockets)
    }

    /// Threads that there are now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn threads(&self) -> Result<usize> {
        let path = format!("/proc/{}/task", self.child.id());
        Ok(std::fs::read_dir(path)?.count())
    }

    /// Kills without warning, and starts the same again.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        let logs = self.log.parent().context("a log in a folder")?.to_owned();
        let next = Self::start(self.launch.clone(), &logs)?;
        let old = std::mem::replace(self, next);
        old.check_log()?;
        drop(old);
        self.ready().await
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            self.child.kill()?;
        }
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal by its name, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status()?;
        ensure!(status.success(), "kill -{name}: {status}");
        Ok(())
    }

    /// Whether the kernel says that the process stands still after `STOP`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn is_stopped(&self) -> Result<bool> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name may hold anything; what follows its last bracket does not.
        let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
        Ok(rest.trim_start().starts_with('T'))
    }

    /// SIGTERM, and waits for the end. Searches what it wrote for values that were sent.
    ///
    /// # Errors
    /// When it does not end in time, or said too much.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let metrics = self.metrics().await.unwrap_or_default();
        self.signal("TERM")?;
        let status = self.exit(Duration::from_secs(40)).await?;
        privacy::search(&format!("the metrics of {}", self.launch.binary), &metrics)?;
        self.check_log()?;
        Ok(status)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                start.elapsed() < limit,
                "{} did not end: {}",
                self.launch.binary,
                self.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Searches what it wrote for values that were sent, and for a panic.
    ///
    /// # Errors
    /// When it said too much, or panicked.
    pub fn check_log(&self) -> Result<()> {
        let log = self.log();
        privacy::search(&format!("the log of {}", self.launch.binary), &log)?;
        if let Some(line) = log.lines().find(|line| line.contains("panicked at")) {
            bail!("{} panicked: {line}", self.launch.binary);
        }
        Ok(())
    }

    /// Waits until a metric, summed over its labels, satisfies `holds`.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn until_metric(&self, name: &str, holds: impl Fn(f64) -> bool) -> Result<f64> {
        until(Duration::from_secs(60), name, || async {
            let value = metric(&self.metrics().await?, name);
            Ok(holds(value).then_some(value))
        })
        .await
    }
}

/// The value of a metric in a page of `/metrics`, summed over its labels.
#[must_use]
pub fn metric(page: &str, name: &str) -> f64 {
    page.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// Whether a status says that the process was killed by this signal.
#[must_use]
pub fn was_signalled(status: ExitStatus, signal: i32) -> bool {
    status.signal() == Some(signal)
}
