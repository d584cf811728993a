//! Workers that stand still, come and go.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_faults::broker::Broker;
use kith_faults::harm::state;
use kith_faults::load::Drawn;
use kith_faults::row::{is_skipped, report};
use kith_faults::run::Callers;
use kith_faults::stand::{Stand, Wanted};
use kith_tests::poll::until;
use kith_tests::process::{Process, metric};
use kith_tests::proxy::Mode;
use kith_tests::tables::Tables;

use crate::people::{PATIENCE, Person, check, until_done};

/// How often partitions were lost to a worker, given to it, taken from it.
fn rebalances(page: &str, kind: &str) -> f64 {
    metric_of(
        page,
        &format!("kith_log_rebalances_total{{kind=\"{kind}\"}}"),
    )
}

fn metric_of(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_default()
}

/// Statements about cells that were answered, or not.
fn statements(page: &str) -> f64 {
    let lines = page
        .lines()
        .filter(|line| line.starts_with("kith_db_statement_seconds_count{"));
    lines
        .filter(|line| line.contains("collection=\"cells\""))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// A worker stands still in the middle of its writes until the group has given its partitions to the other one, which does all of
/// it and newer writes too. Then it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn row_13_a_worker_frozen_beyond_its_session_changes_nothing_when_it_goes_on() -> Result<()> {
    const PEOPLE: usize = 48;
    let stand = Stand::start(Wanted::of(1, 2)).await?;
    let api = &stand.services.apis[0];
    let zombie = stand.services.workers[0].lock().await;
    let other = stand.services.workers[1].lock().await;
    until(PATIENCE, "both have partitions", || async {
        let (one, two) = (zombie.metrics().await?, other.metrics().await?);
        // Whoever came first may have had all of them: the other one is given some when those are released.
        let both = [one, two].map(|page| rebalances(&page, "assigned") >= 1.0);
        Ok((both == [true; 2]).then_some(()))
    })
    .await?;
    let taken = rebalances(&other.metrics().await?, "assigned");

    stand.cells.set(Mode::Delay(Duration::from_millis(1_000)));
    let mut people = Person::many(api, PEOPLE, "first-name").await?;
    let (held, so_far) = until(PATIENCE, "records in flight", || async {
        let page = zombie.metrics().await?;
        let held = metric(&page, "kith_log_lag_records");
        Ok((held > 0.0).then(|| (held, statements(&page))))
    })
    .await?;
    zombie.signal("STOP")?;
    let pid = zombie.id().to_string();
    until(PATIENCE, "a frozen worker", || async {
        Ok((state(&pid)? == 'T').then_some(()))
    })
    .await?;
    let frozen = Instant::now();
    stand.cells.set(Mode::Forward);
    // The other one has all of it, which the broker gave it after the session's end.
    until_done(&stand).await?;
    let took = rebalances(&other.metrics().await?, "assigned");
    ensure!(took > taken, "nothing was taken over");
    for person in &mut people {
        person.rename(api, "second-name").await?;
    }
    until_done(&stand).await?;
    let before = Tables::of(&stand.place).await?;
    ensure!(state(&pid)? == 'T', "it went on by itself");
    let frozen = frozen.elapsed();
    zombie.signal("CONT")?;

    // It learns what it lost, gives up or ends what it had begun, and works again.
    let late = Cell::new(-1.0);
    let abandoned = until(PATIENCE, "it is back", || async {
        let page = zombie.metrics().await?;
        let is_back = rebalances(&page, "lost") > 0.0 && rebalances(&page, "assigned") > 1.0;
        let abandoned = metric_of(&page, "kith_log_records_total{outcome=\"abandoned\"}");
        let so_far = late.replace(statements(&page));
        let is_calm = so_far == statements(&page);
        Ok((is_back && is_calm && abandoned > 0.0).then_some(abandoned))
    })
    .await?;
    let after = Tables::of(&stand.place).await?;
    before.is(&after)?;
    check(api, &people).await?;
    people.extend(Person::many(api, 16, "third-name").await?);
    until_done(&stand).await?;
    check(api, &people).await?;
    drop((zombie, other));
    report(
        13,
        1,
        "the kernel's word that the worker stood still, and the group's that its partitions were given away",
        &format!(
            "frozen {frozen:.1?} with {held} records not done, of which it abandoned {abandoned} when it went on, after {} statements more; {} rows the same afterwards, write times too; {} people right",
            late.get() - so_far,
            after.len(),
            people.len()
        ),
    )?;
    stand.stop().await
}

/// For a minute a worker comes or goes every three seconds; every other one that goes is killed.
#[tokio::test(flavor = "multi_thread")]
async fn row_14_workers_that_come_and_go_for_a_minute_leave_no_partition_behind() -> Result<()> {
    const LASTS: Duration = Duration::from_secs(60);
    const EVERY: Duration = Duration::from_secs(3);
    if is_skipped(14) {
        return Ok(());
    }
    let stand = Stand::start(Wanted::of(2, 1)).await?;
    let broker = Broker::of(&stand.place);
    let dir = tempfile::tempdir()?;
    let mix = Drawn {
        reads: 20,
        new_of_ten: 2,
    };
    let callers = Callers::start(&stand.services, 14, 8, mix);
    let launch = || {
        let place = stand.place.through(Some(stand.cells.address()), None);
        let launch = place.launch("trait-worker")?.with("RUST_LOG", "warn");
        Process::start(launch, dir.path())
    };
    let (mut others, mut added, mut ended, mut killed) =
        (Vec::<Process>::new(), 0_u64, 0_u64, 0_u64);
    let (mut read, mut committed, mut still) = (0.0, 0_i64, 0);
    let began = Instant::now();
    while began.elapsed() < LASTS {
        let round = Instant::now();
        if others.len() < 3 && (added + ended + killed) % 5 != 2 {
            let mut process = launch()?;
            process.ready().await?;
            others.push(process);
            added += 1;
        } else {
            let mut process = others.remove(0);
            read += metric(&process.metrics().await?, "kith_log_records_total");
            if ended > killed {
                process.kill()?;
                killed += 1;
            } else {
                let status = process.terminate().await?;
                ensure!(status.success(), "{status}: {}", process.log());
                ended += 1;
            }
        }
        tokio::time::sleep(EVERY.saturating_sub(round.elapsed())).await;
        let now: i64 = stand.committed().await?.values().sum();
        // A killed one is missed after its session, six seconds.
        still = if now > committed { 0 } else { still + 1 };
        ensure!(still < 5, "no progress in {still} rounds");
        committed = now;
    }
    let history = callers.end().await?;
    until_done(&stand).await?;
    for mut process in others {
        read += metric(&process.metrics().await?, "kith_log_records_total");
        ensure!(process.terminate().await?.success());
    }
    let first = stand.services.workers[0].lock().await;
    let page = first.metrics().await?;
    drop(first);
    read += metric(&page, "kith_log_records_total");
    let records = broker.count().await?;
    let repeated = read - records as f64;
    ensure!(
        repeated < records as f64 / 2.0,
        "{repeated} of {records} records were done twice"
    );
    let profiles = stand.check(&history).await?;
    let assigned = rebalances(&page, "assigned");
    ensure!(assigned > 1.0, "no rebalance");
    let acknowledged = history.iter().filter(|one| one.is_acknowledged()).count();
    report(
        14,
        added + ended + killed,
        &format!("exit codes, process ids and {assigned} assignments of the one that stayed"),
        &format!(
            "{added} added, {ended} ended, {killed} killed; {acknowledged} acknowledged, {records} records, {repeated:.0} of them done again; every partition at its end, {profiles} profiles, 0 findings"
        ),
    )?;
    stand.stop().await.context("the end")
}
