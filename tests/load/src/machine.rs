//! The machine that figures come from, and how busy it was with other things.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cases::Case;
use crate::settings::Settings;
use crate::spread::Times;
use crate::steadiness::{Wakes, slowed_percent, wakes};
use crate::versions::versions;

/// Syncs that are measured.
const SYNCS: usize = 100;

/// Where and how figures were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that a process may use.
    pub processors: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel.
    pub kernel: String,
    /// The median time of writing 4 KiB and syncing them (`fdatasync`) where the data is, in milliseconds.
    pub sync_ms: f64,
    /// The percentage of slices of 5 ms in which the machine was slowed, before anything was measured (`steadiness`).
    #[serde(default)]
    pub slowed_percent: Option<f64>,
    /// How late sleepers woke, before anything was measured.
    #[serde(default)]
    pub wakes: Option<Wakes>,
    /// The compiler, and the servers that the case needs, with their versions.
    #[serde(default)]
    pub versions: Vec<String>,
}

impl Machine {
    /// This machine, with data where the settings say, and what this case is measured with.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn here(settings: &Settings, case: Case) -> Result<Self> {
        let processors = std::fs::read_to_string("/proc/cpuinfo")?;
        let memory = std::fs::read_to_string("/proc/meminfo")?;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let memory = value(&memory, "MemTotal").context("no MemTotal")?;
        let kib: u64 = memory.trim_end_matches(" kB").parse()?;
        Ok(Self {
            processor: value(&processors, "model name")
                .unwrap_or("not named")
                .to_owned(),
            processors: std::thread::available_parallelism()?.get(),
            memory_mib: kib / 1024,
            kernel: kernel.trim().to_owned(),
            sync_ms: sync_ms(&settings.data)?,
            slowed_percent: Some(slowed_percent(Duration::from_millis(settings.loop_ms))?),
            wakes: Some(wakes(Duration::from_millis(settings.loop_ms))?),
            versions: versions(case),
        })
    }
}

/// The value behind a name, in the form of `/proc`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

fn sync_ms(data: &Path) -> Result<f64> {
    let path = data.join("sync");
    let mut file = File::create(&path)?;
    let mut times = Times::default();
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok((times.quantile_ms(0.5) * 1e3).round() / 1e3)
}

/// Processes that ran or wanted to, on average over the last minute.
///
/// # Errors
/// When it cannot be read.
pub fn load() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().context("no load")?.parse()?)
}

/// The commit that was built, with a mark if files were changed since; `unknown` outside a checkout.
#[must_use]
pub fn commit() -> String {
    let output = std::process::Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let text = "model\t\t: 7\nmodel name\t: A Processor: fast\n";
        assert_eq!(value(text, "model name"), Some("A Processor: fast"));
        assert_eq!(value(text, "name"), None);
    }

    #[test]
    fn this_machine_can_be_asked() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::parse_from(["kith-load", "--loop-ms", "50"]);
        settings.data = dir.path().to_owned();
        let machine = Machine::here(&settings, Case::StandaloneBulk).unwrap();
        assert!(machine.processors > 0 && machine.memory_mib > 0);
        assert!(load().unwrap() >= 0.0);
    }
}
