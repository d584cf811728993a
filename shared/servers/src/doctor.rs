//! What `doctor` checks: settings, reachability, clocks, shapes of tables and topics. One line each, changes nothing.

use std::error::Error;
use std::time::Duration;

use kith_kafka::{KafkaConfig, KafkaLog, check_topics};
use kith_profiles::ports::Clock;
use kith_runtime::clock::{AHEAD_MAX, SystemClock};
use kith_runtime::config::Settings;
use kith_runtime::lifecycle::Exit;
use kith_scylla::{Cql, CqlConfig};

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

    fn bad(&mut self, what: &str, detail: &str) {
        self.failed = true;
        (self.say)(&format!("FAIL  {what}: {detail}"));
    }
}

async fn database(report: &mut Report, mut config: CqlConfig) {
    config.connect_timeout = config.connect_timeout.min(LIMIT);
    match Cql::connect(&config).await {
        Ok(database) => {
            report.good("database", "reached, tables fit, statements prepared");
            clocks(report, &database).await;
        }
        Err(error) => report.bad("database", &chain(&error)),
    }
}

async fn clocks(report: &mut Report, database: &Cql) {
    let own = SystemClock::new();
    for clock in database.clocks().await {
        let what = format!("clock of {}", clock.node);
        match (clock.at, own.now()) {
            (Ok(theirs), Ok(ours)) => {
                let (ahead, behind) = (ours.since(theirs), theirs.since(ours));
                let detail = format!("this host is {:?} off", ahead.max(behind));
                if ahead > AHEAD_MAX {
                    report.bad(&what, &format!("{detail}, and ahead; set its clock"));
                } else {
                    report.good(&what, &detail);
                }
            }
            (Err(error), _) => report.bad(&what, &chain(&error)),
            (_, Err(error)) => report.bad(&what, &chain(&error)),
        }
    }
}

async fn log(report: &mut Report, config: &KafkaConfig) {
    let reached = match KafkaLog::new(config) {
        Ok(log) => log.reachable(LIMIT).await.map_err(|error| chain(&error)),
        Err(error) => Err(chain(&error)),
    };
    match reached {
        Ok(()) => report.good("log", "reached, every partition has a leader"),
        Err(error) => return report.bad("log", &error),
    }
    match check_topics(config).await {
        Ok(differences) if differences.is_empty() => {
            report.good("topics", "as the settings want them");
        }
        Ok(differences) => {
            for difference in differences {
                report.bad("topics", &difference.to_string());
            }
        }
        Err(error) => report.bad("topics", &chain(&error)),
    }
}

/// An error with its causes, in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace('\n', " ")
}
