//! The pipeline kept going: workers that come and go under load, a backlog of a million records, poison in every hundredth,
//! and the standalone that is killed and backed up while it works.
//!
//! `make test` runs a small form of each, which says whether everything is right and nothing about time. `make sustain` sets
//! `KITH_SUSTAINED=full`; only then are times, memory and rates held against what is asked of them. `KITH_SUSTAINED_SECONDS`
//! and `KITH_SUSTAINED_RECORDS` change a run.

#![expect(
    clippy::disallowed_methods,
    reason = "callers of a test need no lifecycle"
)]
#![expect(
    clippy::print_stdout,
    reason = "the figures of a run are part of its result"
)]

mod backlog;
mod backup;
mod feed;
mod members;
mod offsets;
mod poison;
mod servers;
mod site;
mod size;
mod soak;
mod standalone;

use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::servers::Servers;

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    // What is measured has the machine to itself.
    arguments.test_threads = Some(1);
    let runtime = Arc::new(Runtime::new()?);
    let servers = Arc::new(Servers::default());
    let conclusion = libtest_mimic::run(&arguments, trials(&runtime, &servers));
    // Clients of the servers end within the runtime.
    let within = runtime.enter();
    drop(servers);
    drop(within);
    conclusion.exit()
}

fn trials(runtime: &Arc<Runtime>, servers: &Arc<Servers>) -> Vec<Trial> {
    macro_rules! trial {
        ($name:literal, $test:expr) => {{
            let (runtime, servers) = (Arc::clone(runtime), Arc::clone(servers));
            Trial::test($name, move || {
                let tested = runtime.block_on(async { $test(&*servers).await });
                tested.map_err(|error: anyhow::Error| Failed::from(format!("{error:#}")))
            })
        }};
    }
    vec![
        trial!(
            "no_partition_stands_still_while_workers_come_and_go",
            members::run
        ),
        trial!("a_backlog_is_worked_off_in_bounded_memory", backlog::run),
        trial!("poison_costs_the_records_beside_it_nothing", poison::run),
        trial!("the_standalone_is_killed_again_and_again", |_| soak::run()),
        trial!("a_backup_under_load_has_all_that_was_acknowledged", |_| {
            backup::run()
        }),
    ]
}
