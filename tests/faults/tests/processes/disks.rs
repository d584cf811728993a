//! Disks that are full: small file systems in memory, under each server and under the standalone, that a file of the test's fills.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_faults::cluster::{Cluster, Services};
use kith_faults::history::{Asked, Told};
use kith_faults::load::Drawn;
use kith_faults::mounted::Mounted;
use kith_faults::row::{is_skipped, report};
use kith_faults::run::{Callers, verdict};
use kith_tests::api::Api;
use kith_tests::poll::until;
use kith_tests::process::{Launch, Process, free_address};
use serde_json::json;

use crate::callers::attempt;
use crate::people::{PATIENCE, Person};

const MIB: usize = 1 << 20;

/// A file system of its own, with a file that takes its room.
#[derive(Debug)]
struct Disk(Mounted);

impl Disk {
    fn new(at: PathBuf, bytes: usize) -> Result<Self> {
        Ok(Self(Mounted::new(at, bytes)?))
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Bytes that are free, by the kernel's word.
    fn free(&self) -> Result<usize> {
        let output = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(self.0.path())
            .output()?;
        let text = String::from_utf8(output.stdout)?;
        let free = text.lines().nth(1).context("a figure")?;
        Ok(free.trim().parse()?)
    }

    /// Fills it until so many bytes are free, or fewer: whoever else writes there may have taken the last ones.
    fn fill(&self, leave: usize) -> Result<()> {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())?;
        for size in [MIB, 4 << 10] {
            let chunk = vec![1; size];
            while self.free()? >= leave + size {
                match file.write_all(&chunk) {
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    written => written?,
                }
            }
        }
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }
}

/// A create of somebody new, which is acknowledged, or refused as in an outage; whom it was about.
async fn probe(api: &Api) -> Result<(Identifier, Option<String>)> {
    let email = format!("full.{}@example.com", uuid::Uuid::new_v4().as_simple());
    let answer = api.create(json!({ "Contact": { "email": email } })).await?;
    let id = match answer.status {
        503 if !answer.header("retry-after").is_empty() => None,
        _ => Some(answer.accepted_id()?),
    };
    let identifier = Identifier {
        id_type: IdType::new("email"),
        value: IdentifierValue::new(&email),
    };
    Ok((identifier, id))
}

/// The disk of a server is full under load, until creates are refused; then it is empty again, and the server started if it ended.
async fn full_under(cluster: &Cluster, disk: &Disk, server: &str, seed: u64) -> Result<String> {
    let (place, store) = cluster.place().await?;
    let launch = place.launch("ingest-api")?;
    let services = Services::launch(vec![launch], vec![place.launch("trait-worker")?]).await?;
    let api = &services.apis[0];
    let mix = Drawn {
        reads: 30,
        new_of_ten: 4,
    };
    let callers = Callers::start(&services, seed, 8, mix);
    let some = |more: usize| {
        let (callers, from) = (&callers, callers.acknowledged());
        async move {
            until(3 * PATIENCE, "load", || async {
                Ok((callers.acknowledged() > from + more).then_some(()))
            })
            .await
        }
    };
    some(100).await?;
    let before = cluster.script("node", &[server, "pid"]).await?;
    disk.fill(0)?;
    let left = disk.free()?;
    let (probes, refused) = (RefCell::new(Vec::new()), Cell::new(0));
    until(3 * PATIENCE, "creates are refused", || async {
        let probed = probe(api).await?;
        refused.set(refused.get() + usize::from(probed.1.is_none()));
        probes.borrow_mut().push(probed);
        Ok((refused.get() >= 20).then_some(()))
    })
    .await?;
    disk.clear()?;
    // A server that wrote nothing for want of room may have ended, or closed its doors: an operator starts it again.
    drop(cluster.script("node", &[server, "kill"]).await);
    cluster.script("node", &[server, "start"]).await?;
    let after = cluster.script("node", &[server, "pid"]).await?;
    ensure!(before != after, "{server} was not started again");
    some(100).await?;
    let mut history = callers.end().await?;
    for (number, (identifier, id)) in (0..).zip(probes.take()) {
        let told = match id {
            Some(id) => Told::Accepted(id.parse()?),
            None => Told::Unavailable,
        };
        let mut asked = attempt(u64::MAX - number, 0, &[identifier], told);
        if let Asked::Create { traits, .. } = &mut asked.asked {
            traits.clear();
        }
        history.push(asked);
    }
    let (findings, (profiles, _)) = verdict(&history, &services, &place, &store).await?;
    ensure!(findings.is_empty(), "{server}: {findings:?}");
    let acknowledged = history.iter().filter(|one| one.is_acknowledged()).count();
    services.stop().await?;
    Ok(format!(
        "{server}: {left} bytes free, {} creates of one caller answered 503, {acknowledged} acknowledged in all, {profiles} profiles, 0 findings",
        refused.get()
    ))
}

/// The disk of the standalone is full up to its reserve, and then to the last byte.
async fn full_under_standalone(dir: &Path) -> Result<String> {
    const RESERVE: usize = 64 * MIB;
    let disk = Disk::new(dir.join("standalone"), 512 * MIB)?;
    let listen = free_address()?;
    let launch = Launch::new("kith")?
        .with("KITH_LISTEN", listen)
        .with("KITH_DATA_DIR", disk.0.path().join("data").display())
        .with("KITH_DISK_FREE_BYTES_MIN", "64MiB");
    let mut process = Process::start(launch, dir)?;
    process.ready().await?;
    let api = Api::new(&format!("http://{listen}"))?;
    let mut people = Person::many(&api, 16, "before-full").await?;

    disk.fill(RESERVE / 2)?;
    let left = disk.free()?;
    until(PATIENCE, "creates are refused", || async {
        Ok(probe(&api).await?.1.is_none().then_some(()))
    })
    .await?;
    // Reads go on: not each of them, as when a database is away.
    let known = &people[0];
    until(PATIENCE, "a read", || async {
        Ok(Some(known.check(&api).await?))
    })
    .await?;
    disk.clear()?;
    people.push(Person::new(&api, "room-again").await?);

    disk.fill(0)?;
    let none = disk.free()?;
    let ended = loop {
        // It refuses, or it was faster than its look at the disk and ends.
        match probe(&api).await {
            Ok((_, None)) => break None,
            Ok((_, Some(_))) => {}
            Err(_) => break Some(process.exit(PATIENCE).await?),
        }
    };
    if let Some(status) = ended {
        ensure!(status.code() == Some(1), "{status}");
    }
    disk.clear()?;
    process.crash_and_restart().await?;
    people.push(Person::new(&api, "after-restart").await?);
    for person in &people {
        until(PATIENCE, "what was acknowledged", || async {
            Ok(Some(person.check(&api).await?))
        })
        .await?;
    }
    ensure!(process.terminate().await?.success());
    Ok(format!(
        "standalone: {left} bytes free, refused, reads and, with room again, writes without a restart; {none} bytes free, {}; {} people right",
        ended.map_or("refused".to_owned(), |status| format!(
            "ended with {status}"
        )),
        people.len()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn row_25_a_full_disk_is_503_and_with_room_again_everything_is_there() -> Result<()> {
    if is_skipped(25) {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let standalone = full_under_standalone(dir.path()).await?;
    let servers = dir.path().join("servers");
    let log = Disk::new(servers.join("kafka"), 384 * MIB)?;
    let database = Disk::new(servers.join("cassandra1"), 512 * MIB)?;
    let cluster = Cluster::start_in(servers, 1).await?;
    let of_log = full_under(&cluster, &log, "kafka", 25).await?;
    let of_database = full_under(&cluster, &database, "cassandra1", 52).await?;
    report(
        25,
        4,
        "the kernel's count of free bytes",
        &format!("{of_log}; {of_database}; {standalone}"),
    )?;
    // The servers first, then what is under them.
    drop(cluster);
    Ok(())
}
