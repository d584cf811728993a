//! The two services: old and new ones on one database and one topic, in the order of an upgrade, and back.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::crowd::{Crowd, agree, quiet};
use kith_tests::process::{Process, metric};
use kith_tests::servers::Place;
use kith_tests::{privacy, topics};
use tempfile::TempDir;

use crate::people::{defined, written, written_by};
use crate::release::Release;
use crate::view::View;

/// Creates of overlapping people through both releases at once, and how many callers there are.
const CREATES: u64 = 600;
const PEOPLE: usize = 120;
const CALLERS: usize = 16;
/// Records that are no events, for workers of both releases to put aside.
const POISON: usize = 48;

/// Where both are.
struct Site {
    place: Place,
    logs: TempDir,
}

/// One process of each service, of one release.
struct Services {
    release: Release,
    ingest: Process,
    workers: Vec<Process>,
    api: Api,
}

impl Site {
    async fn services(&self, release: Release) -> Result<Services> {
        // As an upgrade goes: the worker before the one who answers.
        let worker = self.process(release, "trait-worker").await?;
        let ingest = self.process(release, "ingest-api").await?;
        Ok(Services {
            release,
            api: Api::of(&ingest)?,
            ingest,
            workers: vec![worker],
        })
    }

    async fn process(&self, release: Release, binary: &str) -> Result<Process> {
        let launch = self.place.service(binary, self.logs.path())?;
        Process::started(release.launch(launch)?, self.logs.path()).await
    }

    /// What `trait-worker dead-letters list` of a release prints.
    async fn letters(&self, release: Release) -> Result<String> {
        let launch = release.launch(self.place.launch("trait-worker")?)?;
        let output = launch.told(&["dead-letters", "list"]).output().await?;
        let noted = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {noted}", output.status);
        let said = String::from_utf8(output.stdout)?;
        privacy::search("what dead-letters prints", &said)?;
        Ok(said)
    }
}

impl Services {
    /// Ends them as an operator would, in the order of an upgrade.
    async fn end(mut self) -> Result<()> {
        for process in self.workers.iter_mut().chain([&mut self.ingest]) {
            let status = process.terminate().await?;
            ensure!(status.success(), "{status}: {}", process.log());
        }
        Ok(())
    }

    /// Records that its workers have done.
    async fn records(&self) -> Result<f64> {
        let mut records = 0.0;
        for worker in &self.workers {
            records += metric(&worker.metrics().await?, "kith_log_records_total");
        }
        Ok(records)
    }

    async fn requests(&self) -> Result<f64> {
        let page = self.ingest.metrics().await?;
        Ok(metric(&page, "kith_http_requests_total"))
    }
}

/// Overlapping people through both releases at once; everything acknowledged is right, whoever is asked.
async fn crowd(old: &Services, new: &Services) -> Result<(u64, usize)> {
    let load = Arc::new(Crowd::new(PEOPLE, CREATES));
    let apis = vec![old.api.clone(), new.api.clone()];
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (load, apis) = (Arc::clone(&load), apis.clone());
            tokio::task::spawn(async move { load.caller(&apis).await })
        })
        .collect();
    let mut history = Vec::new();
    for caller in callers {
        history.extend(caller.await?);
    }
    ensure!(load.acknowledged() == CREATES, "{}", load.acknowledged());
    let mut profiles = 0;
    for services in [old, new] {
        quiet(&old.workers, &services.api, &history).await?;
        let observed = quiet(&new.workers, &services.api, &history).await?;
        agree(&history, &observed).with_context(|| format!("by {:?}", services.release))?;
        profiles = observed.roots.len();
    }
    Ok((load.acknowledged(), profiles))
}

/// Both releases' workers put records aside, and both list all of them.
async fn poison(site: &Site, old: &Services, new: &Services) -> Result<()> {
    let place = &site.place;
    for number in 0..POISON {
        let key = uuid::Uuid::new_v4();
        let payload = format!("no event {number}");
        topics::put(
            place,
            &place.topic,
            key.as_bytes(),
            payload.as_bytes(),
            &[],
            None,
        )
        .await?;
    }
    for services in [old, new] {
        let worker = &services.workers[0];
        worker
            .until_metric("kith_dead_letters_total", |count| count > 0.0)
            .await
            .with_context(|| format!("a dead letter of {:?}", services.release))?;
    }
    topics::caught_up(place).await?;
    let (by_old, by_new) = (
        site.letters(Release::Before).await?,
        site.letters(Release::This).await?,
    );
    ensure!(by_old == by_new, "{by_old}\nand then\n{by_new}");
    let listed = by_new.lines().count();
    ensure!(listed >= POISON, "{by_new}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make verify-upgrade runs it: it needs the binaries of the release before"]
async fn services_of_both_releases_work_on_one_database_and_one_topic_and_back() -> Result<()> {
    let site = Site {
        place: Place::new()?,
        logs: tempfile::tempdir()?,
    };
    let place = &site.place;
    let migrate = async |release: Release| {
        let ingest = release.launch(place.launch("ingest-api")?)?;
        place.migrate_by(ingest).await
    };
    migrate(Release::Before).await?;
    let old = site.services(Release::Before).await?;
    let first = written_by(&old.api, "of-the-old").await?;
    first.are_read_by(&old.api).await?;

    // The upgrade: tables first, then the new ones beside the old ones.
    migrate(Release::This).await?;
    let new = site.services(Release::This).await?;
    first.are_read_by(&new.api).await?;
    let mut people = vec![first];
    for (one, other, word) in [
        (&old.api, &old.api, "beside-the-new"),
        (&new.api, &new.api, "beside-the-old"),
        (&old.api, &new.api, "by-old-and-new"),
        (&new.api, &old.api, "by-new-and-old"),
    ] {
        let written = written(one, other, word).await?;
        written.are_read_by(&old.api).await?;
        written.are_read_by(&new.api).await?;
        people.push(written);
    }
    defined(&old.api, &new.api, "by-old-and-new").await?;
    defined(&new.api, &old.api, "by-new-and-old").await?;
    let (acknowledged, crowded) = crowd(&old, &new).await?;
    poison(&site, &old, &new).await?;
    let both = (View::by(&old.api).await?, View::by(&new.api).await?);
    both.0.is_said_by(&both.1)?;
    let (by_old, by_new) = (old.records().await?, new.records().await?);
    ensure!(
        by_old > 50.0 && by_new > 50.0,
        "{by_old} and {by_new} records"
    );
    let asked = (old.requests().await?, new.requests().await?);
    ensure!(asked.0 > 100.0 && asked.1 > 100.0, "{asked:?} requests");

    // The old ones go; the new ones take over what they leave.
    let last = written(&old.api, &new.api, "left-to-the-new").await?;
    old.end().await?;
    last.are_read_by(&new.api).await?;
    people.push(last);
    people.push(written_by(&new.api, "of-the-new").await?);
    for written in &people {
        written.are_read_by(&new.api).await?;
    }
    topics::caught_up(place).await?;
    let of_new = View::by(&new.api).await?;

    // And back: what the new ones leave, done or not, is the old ones'.
    let old = site.services(Release::Before).await?;
    let last = written(&new.api, &old.api, "left-to-the-old").await?;
    new.end().await?;
    last.are_read_by(&old.api).await?;
    people.push(last);
    for written in &people {
        written.are_read_by(&old.api).await?;
    }
    people.push(written_by(&old.api, "of-the-old-again").await?);
    let mut checked = 0;
    for written in &people {
        written.are_read_by(&old.api).await?;
        checked += written.count();
    }
    topics::caught_up(place).await?;
    let letters = site.letters(Release::Before).await?;
    let buried = letters.lines().count();
    ensure!((POISON..=POISON + 2).contains(&buried), "{letters}");
    println!(
        "services: {checked} profiles written by one release or both and read by each, {acknowledged} creates of a crowd through both ({crowded} profiles, 0 findings by either), {by_old} records applied by the old worker and {by_new} by the new one beside it; {} profiles said alike by both, {} after the old ones had gone; nothing but {POISON} records of the test put aside",
        both.1.count(),
        of_new.count(),
    );
    old.end().await
}
