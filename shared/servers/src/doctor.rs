//! What `doctor` checks: settings, reachability, clocks, shapes of tables and topics. One line each, changes nothing; a line
//! that tells of a fault ends with what to do about it (`remedy.rs`).

use std::error::Error;
use std::time::Duration;

use kith_kafka::{KafkaConfig, KafkaLog, SetupError, check_topics};
use kith_profiles::ports::Clock;
use kith_runtime::clock::{AHEAD_MAX, SystemClock};
use kith_runtime::config::Settings;
use kith_runtime::lifecycle::Exit;
use kith_scylla::{Cql, CqlConfig, NodeClock};

mod remedy;

/// Somebody waits for the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Checks, and ends with 0 if all is well, 78 if it is the settings, 1 otherwise. `configure` makes the engines'
/// configurations of the settings; `say` prints a line.
pub async fn run<F>(settings: &Settings, configure: F, say: fn(&str)) -> Exit
where
    F: FnOnce(&Settings) -> Result<(CqlConfig, KafkaConfig), kith_runtime::config::ConfigError>,
{
    for line in settings.report() {
        say(&line);
    }
    let (cql, kafka) = match configure(settings) {
        Ok(configured) => configured,
        Err(error) => return Exit::misconfigured(&error),
    };
    let mut report = Report { failed: false, say };
    report.good("settings", "valid");
    database(&mut report, cql).await;
    log(&mut report, &kafka).await;
    if report.failed {
        Exit::Failed
    } else {
        Exit::Clean
    }
}

/// What was found.
struct Report {
    failed: bool,
    say: fn(&str),
}

impl Report {
    fn good(&self, what: &str, detail: &str) {
        (self.say)(&format!("ok    {what}: {detail}"));
    }

    fn bad(&mut self, what: &str, detail: &str, remedy: &str) {
        self.failed = true;
        (self.say)(&format!("FAIL  {what}: {detail}; {remedy}"));
    }
}

async fn database(report: &mut Report, mut config: CqlConfig) {
    config.connect_timeout = config.connect_timeout.min(LIMIT);
    match Cql::connect(&config).await {
        Ok(database) => {
            report.good("database", "reached, tables fit, statements prepared");
            let own = SystemClock::new();
            for clock in database.clocks().await {
                compare(report, &own, clock);
            }
        }
        Err(error) => {
            let detail = remedy::in_short(&error).unwrap_or_else(|| chain(&error));
            report.bad("database", &detail, &remedy::database(&error));
        }
    }
}

/// Compares the clock of this host with one of the database's.
fn compare(report: &mut Report, own: &impl Clock, clock: NodeClock) {
    let what = format!("clock of {}", clock.node);
    match (clock.at, own.now()) {
        (Ok(theirs), Ok(ours)) => {
            let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
            if ahead > AHEAD_MAX {
                let detail = format!("this host is {ahead:?} ahead");
                report.bad(&what, &detail, remedy::CLOCK);
            } else {
                let detail = format!("this host is {:?} off", ahead.max(behind));
                report.good(&what, &detail);
            }
        }
        (Err(error), _) => report.bad(&what, &chain(&error), remedy::NODE),
        (_, Err(error)) => report.bad(&what, &chain(&error), remedy::CLOCK),
    }
}

async fn log(report: &mut Report, config: &KafkaConfig) {
    let differences = match check_topics(config).await {
        Ok(differences) => differences,
        Err(error) => return report.bad("log", &chain(&error), remedy::log(&error)),
    };
    if differences.is_empty() {
        report.good("topics", "as the settings want them");
    }
    let mut is_writable = true;
    for difference in &differences {
        let is_traits = difference.topic == config.traits_topic;
        if difference.property == "topic" {
            is_writable &= !is_traits;
            let detail = format!("there is no topic {}", difference.topic);
            report.bad("topics", &detail, &remedy::missing_topic(is_traits));
        } else {
            let detail = difference.to_string();
            report.bad("topics", &detail, &remedy::topic(difference));
        }
    }
    if !is_writable {
        // Without the topic there is no partition to have a leader.
        return report.good("log", "reached");
    }
    match leaders(config).await {
        Ok(()) => report.good("log", "reached, every partition has a leader"),
        Err((detail, remedy)) => report.bad("log", &detail, remedy),
    }
}

/// Whether every partition of the traits topic can be written to, or why not and what to do.
async fn leaders(config: &KafkaConfig) -> Result<(), (String, &'static str)> {
    let log =
        KafkaLog::new(config).map_err(|error: SetupError| (chain(&error), remedy::log(&error)))?;
    let reached = log.reachable(LIMIT).await;
    reached.map_err(|error| (chain(&error), remedy::LEADER))
}

/// An error with its causes, in one line. A cause that the line tells already is left out: some errors repeat theirs.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests;
