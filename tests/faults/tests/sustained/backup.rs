//! Backups of the standalone while people are created, merged and overwritten: each is restored elsewhere, and has everything
//! that was acknowledged before it began.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::crowd::{Crowd, agree, quiet};
use kith_tests::history::Event;

use crate::size::{either, lasts};
use crate::standalone::{Callers, Standalone, command};

/// A backup, and when it was asked for.
struct Made {
    name: String,
    /// The point of the crowd's order before which everything acknowledged must be in it.
    began: u64,
    lasted: Duration,
}

pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let kith = Standalone::start(&data, dir.path()).await?;
    let crowd = Arc::new(Crowd::new(either(2_000, 50), u64::MAX));
    let callers = Callers::start(either(16, 4), &crowd, &kith.api);
    let (count, lasts) = (either(5, 1), lasts(100, 4));
    let mut backups = Vec::new();
    for number in 0..count {
        tokio::time::sleep(lasts / (count + 1)).await;
        let name = format!("backup-{number}");
        let path = dir.path().join(&name);
        let (asked, began) = (Instant::now(), crowd.tick());
        command(&data, &["backup", path.to_str().context("a path")?]).await?;
        backups.push(Made {
            name,
            began,
            lasted: asked.elapsed(),
        });
    }
    // The last one is made beside load, too.
    tokio::time::sleep(lasts / (count + 1)).await;
    let history = callers.history(&crowd).await?;
    kith.stop().await?;
    for backup in &backups {
        restored(dir.path(), backup, &history).await?;
    }
    Ok(())
}

async fn restored(dir: &Path, backup: &Made, history: &[Event]) -> Result<()> {
    let (from, to) = (
        dir.join(&backup.name),
        dir.join(format!("restored-{}", backup.name)),
    );
    command(&to, &["restore", from.to_str().context("a path")?]).await?;
    let said = command(&to, &["verify"]).await?;
    ensure!(said.contains("is sound"), "{said}");

    // Whatever was not acknowledged by then is in it, or is not, as after a crash.
    let history: Vec<Event> = history
        .iter()
        .map(|event| match event.acknowledged {
            Some(at) if at < backup.began => event.clone(),
            Some(_) | None => Event {
                acknowledged: None,
                profile: None,
                ..event.clone()
            },
        })
        .collect();
    let count = |is: fn(&Event) -> bool| history.iter().filter(|event| is(event)).count();
    let (in_it, later) = (
        count(|event| event.acknowledged.is_some()),
        count(|event| event.acknowledged.is_none()),
    );
    ensure!(in_it > 0 && later > 0, "{in_it} before, {later} after");
    let kith = Standalone::start(&to, dir).await?;
    let observed = quiet(std::slice::from_ref(&kith.process), &kith.api, &history).await?;
    agree(&history, &observed)?;
    println!(
        "{} under load, in {:.1?}: restored and sound, all of {in_it} creates acknowledged before it began there and right; {later} \
         later ones, {} profiles",
        backup.name,
        backup.lasted,
        observed.listed.len()
    );
    kith.stop().await
}
