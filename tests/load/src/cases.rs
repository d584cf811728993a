//! What can be measured.

mod cql_listing;
mod cql_requests;
mod freshness;
mod pipeline_create;
mod standalone_allocations;
mod standalone_bulk;
mod standalone_create;
mod standalone_growth;
mod standalone_loads;
mod standalone_loops;
mod standalone_overload;
mod standalone_requests;
mod standalone_versus_postgres;
mod standalone_worker;
mod tracing;
mod worker_drain;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result};
use tempfile::{Builder, TempDir};

use crate::figure::Figure;
use crate::settings::Settings;

/// A case: something that is set up, measured and checked together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// The standalone with many profiles.
    StandaloneGrowth,
    /// Bulk on the standalone.
    StandaloneBulk,
    /// Creates on the standalone.
    StandaloneCreate,
    /// Creates of all kinds on the standalone.
    StandaloneLoads,
    /// The worker of the standalone.
    StandaloneWorker,
    /// Creates on the standalone, beside those on PostgreSQL.
    StandaloneVersusPostgres,
    /// More callers than the standalone takes.
    StandaloneOverload,
    /// What one request allocates on the standalone.
    StandaloneAllocations,
    /// Listing on a CQL database with many profiles.
    CqlListing,
    /// Single requests on the standalone, where something grows.
    StandaloneRequests,
    /// Single requests on a CQL database, where something grows.
    CqlRequests,
    /// Creates on Kafka and Cassandra, beside the bare loops.
    PipelineCreate,
    /// A worker with a backlog, beside the bare loop.
    WorkerDrain,
    /// From a change to its reader.
    Freshness,
    /// What traces cost.
    Tracing,
}

impl Case {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 15] = [
        Self::StandaloneGrowth,
        Self::StandaloneBulk,
        Self::StandaloneCreate,
        Self::StandaloneLoads,
        Self::StandaloneWorker,
        Self::StandaloneVersusPostgres,
        Self::StandaloneOverload,
        Self::StandaloneAllocations,
        Self::CqlListing,
        Self::StandaloneRequests,
        Self::CqlRequests,
        Self::PipelineCreate,
        Self::WorkerDrain,
        Self::Freshness,
        Self::Tracing,
    ];

    /// Its name, for settings and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StandaloneGrowth => "standalone-growth",
            Self::StandaloneBulk => "standalone-bulk",
            Self::StandaloneCreate => "standalone-create",
            Self::StandaloneLoads => "standalone-loads",
            Self::StandaloneWorker => "standalone-worker",
            Self::StandaloneVersusPostgres => standalone_versus_postgres::NAME,
            Self::StandaloneOverload => "standalone-overload",
            Self::StandaloneAllocations => "standalone-allocations",
            Self::CqlListing => "cql-listing",
            Self::StandaloneRequests => standalone_requests::NAME,
            Self::CqlRequests => cql_requests::NAME,
            Self::PipelineCreate => "pipeline-create",
            Self::WorkerDrain => "worker-drain",
            Self::Freshness => "freshness",
            Self::Tracing => "tracing",
        }
    }

    /// What is measured, for the page.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::StandaloneGrowth => standalone_growth::ABOUT,
            Self::StandaloneBulk => standalone_bulk::ABOUT,
            Self::StandaloneCreate => standalone_create::ABOUT,
            Self::StandaloneLoads => standalone_loads::ABOUT,
            Self::StandaloneWorker => standalone_worker::ABOUT,
            Self::StandaloneVersusPostgres => standalone_versus_postgres::ABOUT,
            Self::StandaloneOverload => standalone_overload::ABOUT,
            Self::StandaloneAllocations => standalone_allocations::ABOUT,
            Self::CqlListing => cql_listing::ABOUT,
            Self::StandaloneRequests => standalone_requests::ABOUT,
            Self::CqlRequests => cql_requests::ABOUT,
            Self::PipelineCreate => pipeline_create::ABOUT,
            Self::WorkerDrain => worker_drain::ABOUT,
            Self::Freshness => freshness::ABOUT,
            Self::Tracing => tracing::ABOUT,
        }
    }

    /// Whether it needs a Cassandra and a Kafka.
    #[must_use]
    pub const fn needs_servers(self) -> bool {
        match self {
            Self::StandaloneGrowth
            | Self::StandaloneBulk
            | Self::StandaloneCreate
            | Self::StandaloneLoads
            | Self::StandaloneWorker
            | Self::StandaloneVersusPostgres
            | Self::StandaloneOverload
            | Self::StandaloneAllocations
            | Self::StandaloneRequests => false,
            Self::CqlListing
            | Self::CqlRequests
            | Self::PipelineCreate
            | Self::WorkerDrain
            | Self::Freshness
            | Self::Tracing => true,
        }
    }

    /// Whether it needs PostgreSQL and `strace`; it starts its own.
    #[must_use]
    pub const fn needs_postgres(self) -> bool {
        match self {
            Self::StandaloneVersusPostgres => true,
            Self::StandaloneGrowth
            | Self::StandaloneBulk
            | Self::StandaloneCreate
            | Self::StandaloneLoads
            | Self::StandaloneWorker
            | Self::StandaloneOverload
            | Self::StandaloneAllocations
            | Self::StandaloneRequests
            | Self::CqlListing
            | Self::CqlRequests
            | Self::PipelineCreate
            | Self::WorkerDrain
            | Self::Freshness
            | Self::Tracing => false,
        }
    }

    /// Whether it is about what grows. Such a case fills databases for minutes, and is run if it is named.
    #[must_use]
    pub const fn is_of_growth(self) -> bool {
        match self {
            Self::StandaloneGrowth
            | Self::StandaloneBulk
            | Self::StandaloneCreate
            | Self::StandaloneLoads
            | Self::StandaloneWorker
            | Self::StandaloneVersusPostgres
            | Self::StandaloneOverload
            | Self::StandaloneAllocations
            | Self::CqlListing
            | Self::PipelineCreate
            | Self::WorkerDrain
            | Self::Freshness
            | Self::Tracing => false,
            Self::StandaloneRequests | Self::CqlRequests => true,
        }
    }

    /// The cases that somebody named; if none, all but those of what grows.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn chosen(names: &[String]) -> Result<Vec<Self>> {
        if names.is_empty() {
            let all = Self::ALL.into_iter();
            return Ok(all.filter(|case| !case.is_of_growth()).collect());
        }
        let named = |name: &String| {
            let case = Self::ALL.into_iter().find(|case| case.name() == name);
            case.with_context(|| {
                format!("no case {name}; there are {:?}", Self::ALL.map(Self::name))
            })
        };
        names.iter().map(named).collect()
    }

    /// What of the settings it goes by.
    #[must_use]
    pub fn told(self, settings: &Settings) -> String {
        match self {
            Self::StandaloneGrowth => {
                let Settings {
                    profiles,
                    pages,
                    repetitions,
                    ..
                } = settings;
                format!("--profiles {profiles} --pages {pages} --repetitions {repetitions}")
            }
            Self::StandaloneBulk => {
                let Settings {
                    bulk_requests,
                    repetitions,
                    ..
                } = settings;
                format!("--bulk-requests {bulk_requests} --repetitions {repetitions}")
            }
            Self::StandaloneCreate => {
                let Settings {
                    loop_ms,
                    repetitions,
                    ..
                } = settings;
                format!("--loop-ms {loop_ms} --repetitions {repetitions}")
            }
            Self::StandaloneVersusPostgres => {
                let Settings {
                    sweep_ms,
                    loop_ms,
                    callers,
                    repetitions,
                    ..
                } = settings;
                let callers: Vec<String> = callers.iter().map(ToString::to_string).collect();
                let callers = callers.join(",");
                format!(
                    "--sweep-ms {sweep_ms} --loop-ms {loop_ms} --callers {callers} --repetitions {repetitions}"
                )
            }
            Self::StandaloneOverload => {
                let Settings {
                    loop_ms,
                    overload_callers,
                    repetitions,
                    ..
                } = settings;
                format!(
                    "--loop-ms {loop_ms} --overload-callers {overload_callers} --repetitions {repetitions}"
                )
            }
            Self::StandaloneAllocations => {
                format!("--allocation-requests {}", settings.allocation_requests)
            }
            Self::CqlListing => {
                let Settings {
                    profiles, pages, ..
                } = settings;
                format!("--profiles {profiles} --pages {pages}")
            }
            Self::StandaloneRequests | Self::CqlRequests => {
                let Settings {
                    growth_profiles,
                    growth_merges,
                    growth_people,
                    growth_ms,
                    repetitions,
                    ..
                } = settings;
                format!(
                    "--growth-profiles {growth_profiles} --growth-merges {growth_merges} --growth-people {growth_people} \
                     --growth-ms {growth_ms} --repetitions {repetitions}"
                )
            }
            Self::StandaloneLoads | Self::PipelineCreate | Self::Tracing => {
                let Settings {
                    in_flight,
                    loop_ms,
                    repetitions,
                    ..
                } = settings;
                format!("--in-flight {in_flight} --loop-ms {loop_ms} --repetitions {repetitions}")
            }
            Self::WorkerDrain => {
                let Settings {
                    backlog,
                    repetitions,
                    ..
                } = settings;
                format!("--backlog {backlog} --repetitions {repetitions}")
            }
            Self::StandaloneWorker => {
                let Settings {
                    backlog,
                    in_flight,
                    changes,
                    loop_ms,
                    repetitions,
                    ..
                } = settings;
                format!(
                    "--backlog {backlog} --in-flight {in_flight} --changes {changes} --loop-ms {loop_ms} --repetitions {repetitions}"
                )
            }
            Self::Freshness => {
                let Settings {
                    changes,
                    loop_ms,
                    repetitions,
                    ..
                } = settings;
                format!("--changes {changes} --loop-ms {loop_ms} --repetitions {repetitions}")
            }
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// When it cannot be set up, or an answer is wrong.
    pub async fn run(self, settings: &Settings) -> Result<Vec<Figure>> {
        match self {
            Self::StandaloneGrowth => standalone_growth::run(settings).await,
            Self::StandaloneBulk => standalone_bulk::run(settings).await,
            Self::StandaloneCreate => standalone_create::run(settings).await,
            Self::StandaloneLoads => standalone_loads::run(settings).await,
            Self::StandaloneWorker => standalone_worker::run(settings).await,
            Self::StandaloneVersusPostgres => standalone_versus_postgres::run(settings).await,
            Self::StandaloneOverload => standalone_overload::run(settings).await,
            Self::StandaloneAllocations => standalone_allocations::run(settings).await,
            Self::CqlListing => cql_listing::run(settings).await,
            Self::StandaloneRequests => standalone_requests::run(settings).await,
            Self::CqlRequests => cql_requests::run(settings).await,
            Self::PipelineCreate => pipeline_create::run(settings).await,
            Self::WorkerDrain => worker_drain::run(settings).await,
            Self::Freshness => freshness::run(settings).await,
            Self::Tracing => tracing::run(settings).await,
        }
        .with_context(|| self.name())
    }
}

/// A folder for the data and the logs of a case, which goes with it. Others may pass through it: PostgreSQL does not run as
/// root, and has a folder of its own below.
fn folder(settings: &Settings) -> Result<TempDir> {
    std::fs::create_dir_all(&settings.data)?;
    let passable = Permissions::from_mode(0o711);
    let made = Builder::new()
        .permissions(passable)
        .tempdir_in(&settings.data);
    Ok(made?)
}

/// A thousandth, a hundredth, a tenth and all of so many profiles.
fn growth_sizes(most: u64) -> [u64; 4] {
    [most / 1_000, most / 100, most / 10, most]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_their_names() {
        let names = ["cql-listing".to_owned()];
        assert_eq!(Case::chosen(&names).unwrap(), [Case::CqlListing]);
        let usual = Case::chosen(&[]).unwrap();
        for case in Case::ALL {
            assert_ne!(usual.contains(&case), case.is_of_growth(), "{case:?}");
        }
        assert!(Case::chosen(&["listing".to_owned()]).is_err());
    }
}
