//! The standalone: one data directory, opened by one release after the other.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::process::{Launch, Process, free_address};
use tempfile::TempDir;

use crate::people::{defined, written_by};
use crate::release::Release;
use crate::view::View;

/// A data directory, and where whoever has it listens.
struct Directory {
    dir: TempDir,
    listen: SocketAddr,
    api: Api,
}

impl Directory {
    fn new() -> Result<Self> {
        let listen = free_address()?;
        Ok(Self {
            dir: tempfile::tempdir()?,
            listen,
            api: Api::new(&format!("http://{listen}"))?,
        })
    }

    fn launch(&self, release: Release, data: &Path) -> Result<Launch> {
        let launch = Launch::new("kith")?
            .with("KITH_LISTEN", self.listen)
            .with("KITH_DATA_DIR", data.display());
        release.launch(launch)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    async fn open(&self, release: Release) -> Result<Process> {
        self.open_at(release, &self.data()).await
    }

    async fn open_at(&self, release: Release, data: &Path) -> Result<Process> {
        let mut process = Process::start(self.launch(release, data)?, self.dir.path())?;
        let ready = process.ready().await;
        ready.with_context(|| format!("{release:?}"))?;
        Ok(process)
    }

    /// A command of a release on the data directory or beside the process that has it; what it said.
    async fn command(&self, release: Release, data: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.launch(release, data)?.told(arguments).output().await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(
            output.status.success(),
            "{arguments:?} of {release:?}: {}: {said}",
            output.status
        );
        Ok(said)
    }
}

async fn end(mut process: Process) -> Result<()> {
    let status = process.terminate().await?;
    ensure!(status.success(), "{status}: {}", process.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make verify-upgrade runs it: it needs the binaries of the release before"]
async fn a_data_directory_of_the_release_before_is_opened_and_given_back() -> Result<()> {
    let directory = Directory::new()?;
    let (api, data) = (&directory.api, directory.data());
    let mut process = directory.open(Release::Before).await?;
    let first = written_by(api, "of-the-old").await?;
    defined(api, api, "of-the-old").await?;
    first.are_read_by(api).await?;
    let of_old = View::by(api).await?;
    let copy = directory.dir.path().join("copy");
    let copied = copy.display().to_string();
    directory
        .command(Release::Before, &data, &["backup", copied.as_str()])
        .await?;
    let unfinished = written_by(api, "before-the-kill").await?;
    process.kill()?;

    // Journals of a process that was killed are replayed by the next release.
    let process = directory.open(Release::This).await?;
    first.are_read_by(api).await?;
    unfinished.are_read_by(api).await?;
    let second = written_by(api, "of-the-new").await?;
    defined(api, api, "of-the-new").await?;
    second.are_read_by(api).await?;
    let of_new = View::by(api).await?;
    end(process).await?;
    directory.command(Release::This, &data, &["verify"]).await?;

    // Back: the same files under the release before.
    let process = directory.open(Release::Before).await?;
    for people in [&first, &unfinished, &second] {
        people.are_read_by(api).await?;
    }
    View::by(api).await?.is_said_by(&of_new)?;
    let third = written_by(api, "of-the-old-again").await?;
    third.are_read_by(api).await?;
    end(process).await?;
    directory
        .command(Release::Before, &data, &["verify"])
        .await?;

    // A backup of the release before, restored by this one.
    let restored = directory.dir.path().join("restored");
    directory
        .command(Release::This, &restored, &["restore", copied.as_str()])
        .await?;
    let process = directory.open_at(Release::This, &restored).await?;
    of_old.is_said_by(&View::by(api).await?)?;
    end(process).await?;
    println!(
        "standalone: {} profiles written by the old one ({} after a kill), {} by the new one and {} by the old one again, all read by whoever came next; a backup of {} profiles by the old one restored by the new one",
        first.count() + unfinished.count(),
        unfinished.count(),
        second.count(),
        third.count(),
        of_old.count(),
    );
    Ok(())
}
