//! The disk of a standalone.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Result, ensure};
use kith_faults::mounted::Mounted;
use kith_faults::prometheus::Prometheus;
use kith_tests::process::{Launch, Process, free_address};

use crate::{is_left_out, told};

pub(crate) const DISK: &[&str] = &["KithDiskLow", "KithDiskFull"];

const MIB: usize = 1 << 20;
const RESERVE: usize = 64 * MIB;

/// Writes a file of what is free, until so much is left.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes of a small disk"
)]
fn fill(dir: &Path, name: &str, free: f64, leave: usize) -> Result<()> {
    let mut file = File::create(dir.join(name))?;
    let chunk = vec![1; MIB];
    for _ in 0..(free as usize).saturating_sub(leave) / MIB {
        file.write_all(&chunk)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up() -> Result<()> {
    if is_left_out(DISK) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let disk = Mounted::new(dir.path().join("disk"), 768 * MIB)?;
    let launch = Launch::new("kith")?
        .with("KITH_LISTEN", free_address()?)
        .with("KITH_DATA_DIR", disk.path().join("data").display())
        .with("KITH_DISK_FREE_BYTES_MIN", "64MiB");
    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    let prometheus = Prometheus::start(&[("kith", vec![process.admin()])]).await?;
    prometheus.is_silent_about(DISK).await?;
    let free = || process.until_metric("kith_disk_free_bytes", |free| free > 0.0);
    fill(disk.path(), "some", free().await?, 3 * RESERVE)?;
    prometheus
        .until_fires("KithDiskLow", &[("job", "kith")])
        .await?;
    prometheus.is_silent_about(&["KithDiskFull"]).await?;
    fill(disk.path(), "more", free().await?, RESERVE / 2)?;
    prometheus
        .until_fires("KithDiskFull", &[("job", "kith")])
        .await?;
    drop(prometheus);
    ensure!(process.terminate().await?.success());
    told(DISK, "a disk in memory was filled by another file");
    Ok(())
}
