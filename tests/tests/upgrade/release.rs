//! The two releases.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kith_tests::process::Launch;

/// A release whose binaries are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The one before, built from the commit that the changelog names.
    Before,
    /// This build.
    This,
}

impl Release {
    /// The same launch, of this release's binary.
    ///
    /// # Errors
    /// When nobody said where the binaries of the release before are.
    pub(crate) fn launch(self, launch: Launch) -> Result<Launch> {
        Ok(match self {
            Self::Before => launch.of(&binaries()?),
            Self::This => launch,
        })
    }
}

fn binaries() -> Result<PathBuf> {
    let folder = std::env::var_os("KITH_UPGRADE_BIN_DIR");
    let folder = folder.context("KITH_UPGRADE_BIN_DIR: run `make verify-upgrade`")?;
    Ok(folder.into())
}
