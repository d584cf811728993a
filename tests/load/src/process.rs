//! The standalone as a process that is measured.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::process::{Launch, Process, free_address};

use crate::caller::Caller;

/// Bytes of a MiB.
pub const MIB: f64 = 1024.0 * 1024.0;
/// Whoever uses no more than this of a core does nothing that a request would notice.
const IDLE_PART: f64 = 0.03;
/// For how long it must be so.
const IDLE_FOR: Duration = Duration::from_millis(300);
/// Ticks of `/proc` in a second: fixed on Linux, whatever the kernel's own rate is.
const TICKS: f64 = 100.0;

/// `kith` on a data directory.
#[derive(Debug)]
pub struct Standalone {
    /// The process.
    pub process: Process,
    /// Where it answers.
    pub address: SocketAddr,
    /// Its caller.
    pub caller: Caller,
    /// From its start to its first yes on `/readyz`, asked for every 20 ms.
    pub ready: Duration,
}

impl Standalone {
    /// Starts it with the settings that it has by default, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start(data: &Path, logs: &Path) -> Result<Self> {
        let listen = free_address()?;
        let launch = Launch::new("kith")?
            .with("KITH_LISTEN", listen)
            .with("KITH_DATA_DIR", data.display())
            .with("RUST_LOG", "info");
        let began = Instant::now();
        let mut process = Process::start(launch, logs)?;
        process.ready().await?;
        Ok(Self {
            ready: began.elapsed(),
            caller: Caller::new(&format!("http://{listen}"))?,
            address: listen,
            process,
        })
    }

    /// Ends it as an operator would.
    ///
    /// # Errors
    /// When it does not end with success.
    pub async fn stop(mut self) -> Result<()> {
        let status = self.process.terminate().await?;
        ensure!(status.success(), "{status}: {}", self.process.log());
        Ok(())
    }

    /// Ends it without warning.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}

/// Memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now, in MiB.
    pub resident: f64,
    /// The most that was resident, in MiB.
    pub peak: f64,
}

/// What a process holds.
///
/// # Errors
/// When it is gone.
pub fn memory(process: &Process) -> Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let field = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kib.context("a figure")?.parse::<f64>()? / 1024.0)
    };
    Ok(Memory {
        resident: field("VmRSS:")?,
        peak: field("VmHWM:")?,
    })
}

/// Processor time that a process has used, of all its threads.
///
/// # Errors
/// When it is gone.
pub fn processor_seconds(process: &Process) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    // The name may hold anything; what follows its last bracket does not.
    let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |place: usize| -> Result<f64> {
        Ok(fields
            .get(place)
            .context("too few fields")?
            .parse::<f64>()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// Waits until a process does nothing: until what it owes in the background is done.
///
/// # Errors
/// When it is not idle within two minutes.
pub async fn idle(process: &Process) -> Result<()> {
    let began = Instant::now();
    loop {
        let before = processor_seconds(process)?;
        tokio::time::sleep(IDLE_FOR).await;
        let used = processor_seconds(process)? - before;
        if used <= IDLE_PART * IDLE_FOR.as_secs_f64() + 0.5 / TICKS {
            return Ok(());
        }
        ensure!(
            began.elapsed() < Duration::from_secs(120),
            "the process does not become idle"
        );
    }
}
