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
        Self::start_under(&[], data, logs).await
    }

    /// The same under a command that watches it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn start_under(watch: &[String], data: &Path, logs: &Path) -> Result<Self> {
        let listen = free_address()?;
        let launch = Launch::new("kith")?
            .under(watch)
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
    Ok(Stat::of(process.id())?.own_seconds)
}

/// The same of a process, the processes that it started, and those of them that ended and were waited for.
///
/// # Errors
/// When it is gone.
pub fn family_seconds(id: u32) -> Result<f64> {
    let own = Stat::of(id)?;
    let mut seconds = own.own_seconds + own.ended_seconds;
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that ends meanwhile is in its parent's account the next time.
        if let Ok(stat) = Stat::of(other)
            && stat.parent == id
        {
            seconds += stat.own_seconds + stat.ended_seconds;
        }
    }
    Ok(seconds)
}

/// What `/proc` says of a process.
struct Stat {
    parent: u32,
    own_seconds: f64,
    ended_seconds: f64,
}

impl Stat {
    fn of(id: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name may hold anything; what follows its last bracket does not.
        let (_, rest) = stat.rsplit_once(')').context("a name in brackets")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |place: usize| fields.get(place).context("too few fields");
        let seconds = |place: usize| -> Result<f64> { Ok(field(place)?.parse::<f64>()? / TICKS) };
        Ok(Self {
            parent: field(1)?.parse()?,
            own_seconds: seconds(11)? + seconds(12)?,
            ended_seconds: seconds(13)? + seconds(14)?,
        })
    }
}

/// Waits until a process does nothing: until what it owes in the background is done.
///
/// # Errors
/// When it is not idle within two minutes.
pub async fn idle(process: &Process) -> Result<()> {
    idle_by(|| processor_seconds(process)).await
}

/// The same of whatever uses this processor time.
///
/// # Errors
/// When it is not idle within two minutes.
pub async fn idle_by(seconds: impl Fn() -> Result<f64>) -> Result<()> {
    let began = Instant::now();
    loop {
        let before = seconds()?;
        tokio::time::sleep(IDLE_FOR).await;
        let used = seconds()? - before;
        if used <= IDLE_PART * IDLE_FOR.as_secs_f64() + 0.5 / TICKS {
            return Ok(());
        }
        ensure!(
            began.elapsed() < Duration::from_secs(120),
            "the process does not become idle"
        );
    }
}
