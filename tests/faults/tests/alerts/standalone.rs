//! The disk of a standalone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use kith_faults::prometheus::Prometheus;
use kith_tests::process::{Launch, Process, free_address};

use crate::{is_left_out, told};

pub(crate) const DISK: &[&str] = &["KithDiskLow", "KithDiskFull"];

const MIB: usize = 1 << 20;

/// A file system in memory. Dropping it takes it away.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: PathBuf, bytes: usize) -> Result<Self> {
        std::fs::create_dir_all(&at)?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(&at)
            .status()?;
        ensure!(
            status.success(),
            "mount: {status}: this needs the right to mount"
        );
        Ok(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

fn ballast(dir: &Path, name: &str, bytes: usize) -> Result<()> {
    let mut file = File::create(dir.join(name))?;
    let chunk = vec![1; MIB];
    for _ in 0..bytes / MIB {
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
        .with("KITH_DATA_DIR", disk.0.join("data").display())
        .with("KITH_DISK_FREE_BYTES_MIN", "64MiB");
    let mut process = Process::start(launch, dir.path())?;
    process.ready().await?;
    let prometheus = Prometheus::start(&[("kith", vec![process.admin()])]).await?;
    prometheus.is_silent_about(DISK).await?;
    // Some 100 to 200 MiB are the engine's own journal.
    ballast(&disk.0, "some", 400 * MIB)?;
    prometheus
        .until_fires("KithDiskLow", &[("job", "kith")])
        .await?;
    let free = process
        .until_metric("kith_disk_free_bytes", |free| free > 0.0)
        .await?;
    let reserve = (64 * MIB) as f64;
    if free > reserve {
        prometheus.is_silent_about(&["KithDiskFull"]).await?;
    }
    let more = free - reserve / 2.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of a small disk"
    )]
    ballast(&disk.0, "more", more.max(0.0) as usize)?;
    prometheus
        .until_fires("KithDiskFull", &[("job", "kith")])
        .await?;
    drop(prometheus);
    ensure!(process.terminate().await?.success());
    told(DISK, "a disk in memory was filled by another file");
    Ok(())
}
