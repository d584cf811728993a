//! Each alert of `deploy/observability`, fired once by its real fault: shipped services on real servers, scraped by a real
//! Prometheus with our rules in a hurry (`kith_faults::prometheus`). `make alerts` runs it; `make test` only looks whether each
//! alert has a fault here.

mod database;
mod processes;
mod records;
mod standalone;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use kith_faults::row::is_full;
use kith_tests::observability::rules;

/// Which test fires which alerts.
const FIRED: [(&str, &[&str]); 9] = [
    ("database::a_database_that_is_away", database::AWAY),
    ("database::a_database_that_is_slow", database::SLOW),
    ("database::a_log_that_is_away", database::NO_LOG),
    ("processes::processes_that_are_killed", processes::KILLED),
    ("processes::what_a_process_is_given", processes::GIVEN),
    ("processes::clocks_that_are_off", processes::CLOCKS),
    ("processes::a_task_that_panics", processes::PANICS),
    ("records::records", records::RECORDS),
    ("standalone::a_disk_that_fills_up", standalone::DISK),
];

#[test]
fn every_alert_has_its_fault() -> Result<()> {
    let alerts: BTreeSet<String> = rules()?.into_iter().filter_map(|rule| rule.alert).collect();
    let fired: Vec<&str> = FIRED
        .iter()
        .flat_map(|(_, alerts)| alerts.iter().copied())
        .collect();
    let once: BTreeSet<String> = fired.iter().map(|&alert| alert.to_owned()).collect();
    ensure!(once.len() == fired.len(), "an alert twice");
    ensure!(once == alerts, "{once:?} are not {alerts:?}");
    Ok(())
}

/// Whether this is left to `make alerts`; says so.
#[expect(
    clippy::print_stdout,
    reason = "what is left out is part of a run's result"
)]
fn is_left_out(alerts: &[&str]) -> bool {
    if !is_full() {
        println!("left to `make alerts`: {}", alerts.join(", "));
    }
    !is_full()
}

/// Says what fired.
#[expect(clippy::print_stdout, reason = "what was seen is a run's result")]
fn told(alerts: &[&str], fault: &str) {
    println!("{fault}: {} fired", alerts.join(", "));
}
