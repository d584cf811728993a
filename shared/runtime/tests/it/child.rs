//! The process under test: this test binary again, started by [`crate::parent`] with a part to play.

use std::future::pending;
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use clap::Command;
use kith_runtime::admin::AdminServer;
use kith_runtime::config::{ConfigError, Refused, SettingSet, Settings, table};
use kith_runtime::health::Health;
use kith_runtime::lifecycle::{ComponentError, Exit, Lifecycle, Shutdown, run_process};
use kith_runtime::metrics::Metrics;
use kith_runtime::telemetry::Telemetry;
use tracing::{info, info_span};

/// The variable that names the part.
pub(crate) const PART: &str = "CHILD_PART";

#[test]
#[ignore = "not a test: the process that the others start"]
fn child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    static CODE: AtomicU8 = AtomicU8::new(255);
    let _code = run_process(async {
        let exit = main(&part).await;
        CODE.store(exit.code(), Ordering::SeqCst);
        exit
    });
    std::process::exit(i32::from(CODE.load(Ordering::SeqCst)));
}

/// As the main of a service does it.
async fn main(part: &str) -> Exit {
    let (settings, telemetry) = match start() {
        Ok(started) => started,
        Err(refused) => return Exit::refused(refused),
    };
    let exit = match run(part, &settings).await {
        Ok(exit) => exit,
        Err(error) => Exit::misconfigured(&error),
    };
    telemetry.shutdown(Duration::from_secs(2)).await;
    exit
}

fn start() -> Result<(Settings, Telemetry), Refused> {
    let set = SettingSet::new("child").take(table::PROCESS);
    let arguments = std::env::var("CHILD_ARGUMENTS").unwrap_or_default();
    let arguments = std::iter::once("child").chain(arguments.split_whitespace());
    let matches = set.parse(set.command(Command::new("child")), arguments)?;
    let settings = set.load(&matches).map_err(Refused::Wrong)?;
    let telemetry = Telemetry::init(&settings, "child").map_err(Refused::Wrong)?;
    Ok((settings, telemetry))
}

async fn run(part: &str, settings: &Settings) -> Result<Exit, ConfigError> {
    let health = Health::new();
    let ready = health.condition("work");
    let mut lifecycle = Lifecycle::new(settings.get(&table::SHUTDOWN_GRACE)?, health.clone());
    if part == "connecting" {
        say("connecting");
        match lifecycle.starting(pending::<()>()).await {
            Ok(()) => unreachable!("it never connects"),
            Err(exit) => return Ok(exit),
        }
    }
    let admin = AdminServer::bind(settings, health, Metrics::install())?;
    let address = admin.address();

    let work = lifecycle.stage("work");
    match part {
        "obedient" => work.component("work", obedient),
        "stubborn" => work.component("work", |_| pending()),
        "panics" => work.component("work", |_| async { panic!("a fixed message") }),
        "quotes" => work.component("work", |_| async {
            let value = std::hint::black_box("someone@example.com");
            panic!("bad value {value}")
        }),
        "ends" => work.component("work", |_| async { Ok(()) }),
        "traces" => work.component("work", traces),
        "blocks" => work.component("work", |shutdown| async move {
            shutdown.requested().await;
            // A client of a dead server, say.
            drop(tokio::task::spawn_blocking(|| {
                std::sync::Barrier::new(2).wait()
            }));
            Ok(())
        }),
        other => panic!("no part {other}"),
    }
    lifecycle
        .stage("admin")
        .component("admin", |shutdown| admin.serve(shutdown));
    say(&format!("admin at {address}"));
    if !part.starts_with("stubborn") {
        ready.set_ready();
    }
    Ok(lifecycle.run().await)
}

async fn obedient(shutdown: Shutdown) -> Result<(), ComponentError> {
    shutdown.requested().await;
    say("work is told");
    tokio::time::sleep(Duration::from_millis(300)).await;
    say("work is done");
    Ok(())
}

async fn traces(shutdown: Shutdown) -> Result<(), ComponentError> {
    for number in 0..20_000 {
        info_span!("work", number).in_scope(|| ());
    }
    info!("traced");
    say("traced");
    shutdown.requested().await;
    Ok(())
}

/// A line for the parent.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("the parent listens");
}
