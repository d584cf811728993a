//! A small file system in memory, for a disk that is to fill up.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

/// A file system of its own. Dropping it takes it away.
#[derive(Debug)]
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts one of so many bytes.
    ///
    /// # Errors
    /// Without the right to mount.
    pub fn new(at: PathBuf, bytes: usize) -> Result<Self> {
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

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
