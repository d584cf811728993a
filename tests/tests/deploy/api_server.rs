//! A real Kubernetes API server: the program of `tests/deploy/apiserver`, with the definitions that the overlays need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use kith_tests::process::free_address;
use kith_tests::servers::workspace;

use crate::tools::{prints, runs, tool};

/// By then it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// The one that all tests share. It ends when this process does: its standard input is a pipe of ours.
static RUNNING: LazyLock<Result<ApiServer, String>> =
    LazyLock::new(|| ApiServer::start().map_err(|error| format!("{error:#}")));

/// A running server.
#[derive(Debug)]
pub(crate) struct ApiServer {
    directory: PathBuf,
    child: Child,
}

/// What `kubectl` said, and whether it was content.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The server, which is started by whoever comes first.
pub(crate) fn api_server() -> Result<&'static ApiServer> {
    RUNNING.as_ref().map_err(|error| anyhow!("{error}"))
}

impl ApiServer {
    fn start() -> Result<Self> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apiserver");
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let program = workspace().join("tests/deploy/bin/apiserver");
        let child = Command::new(&program)
            .arg(&directory)
            .arg(free_address()?.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.join("log"))?)
            .spawn()
            .with_context(|| format!("{}: run `make verify-deploy`", program.display()))?;
        let mut server = Self { directory, child };
        server.ready()?;
        server.define()?;
        Ok(server)
    }

    /// `kubectl` as the server's operator.
    fn kubectl(&self, arguments: &[&str]) -> Result<Command> {
        let mut kubectl = tool("venv/bin/kubectl")?;
        kubectl
            .arg("--kubeconfig")
            .arg(self.directory.join("kubeconfig"))
            // What another server had is none of this one's.
            .arg("--cache-dir")
            .arg(self.directory.join("cache"))
            // It builds its descriptions again after new definitions: seconds, or more on a busy machine.
            .arg(format!("--request-timeout={}s", PATIENCE.as_secs()))
            .args(arguments);
        Ok(kubectl)
    }

    /// What `kubectl` says that is given this to read.
    pub(crate) fn asked(&self, arguments: &[&str], input: &str) -> Result<Said> {
        let output = runs(&mut self.kubectl(arguments)?, input)?;
        Ok(Said {
            success: output.status.success(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }

    /// What `kubectl` prints that is given this to read. It has to be content, and the server may have nothing to warn of.
    pub(crate) fn takes(&self, arguments: &[&str], input: &str) -> Result<String> {
        let said = self.asked(arguments, input)?;
        ensure!(
            said.success && said.err.is_empty(),
            "{arguments:?}: {said:?}"
        );
        Ok(said.out)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a thread of a test may sleep between two questions"
    )]
    fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        loop {
            let said = self.asked(&["get", "--raw", "/readyz"], "")?;
            if said.success {
                return Ok(());
            }
            let ended = self.child.try_wait()?;
            let log = || fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            ensure!(
                ended.is_none() && start.elapsed() < PATIENCE,
                "no API server: {ended:?} {}\n{}",
                said.err,
                log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Makes the kinds of other projects known.
    fn define(&self) -> Result<()> {
        let definitions = workspace().join("tests/deploy/bin/definitions");
        let definitions = definitions.display().to_string();
        // On the server, since some are too large for what `kubectl` would note down in them.
        prints(
            self.kubectl(&["apply", "--server-side", "--filename", &definitions])?,
            "",
        )?;
        let known = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "crd",
            "--all",
        ];
        prints(self.kubectl(&known)?, "").map(drop)
    }
}
