//! What can be measured.

mod cql_listing;
mod freshness;
mod pipeline_create;
mod standalone_bulk;
mod standalone_create;
mod standalone_growth;
mod tracing;
mod worker_drain;

use anyhow::{Context, Result};
use tempfile::TempDir;

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
    /// Listing on a CQL database with many profiles.
    CqlListing,
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
    pub const ALL: [Self; 8] = [
        Self::StandaloneGrowth,
        Self::StandaloneBulk,
        Self::StandaloneCreate,
        Self::CqlListing,
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
            Self::CqlListing => "cql-listing",
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
            Self::CqlListing => cql_listing::ABOUT,
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
            Self::StandaloneGrowth | Self::StandaloneBulk | Self::StandaloneCreate => false,
            Self::CqlListing
            | Self::PipelineCreate
            | Self::WorkerDrain
            | Self::Freshness
            | Self::Tracing => true,
        }
    }

    /// The cases that somebody named; all, if none.
    ///
    /// # Errors
    /// When there is no such case.
    pub fn chosen(names: &[String]) -> Result<Vec<Self>> {
        if names.is_empty() {
            return Ok(Self::ALL.to_vec());
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
            Self::CqlListing => {
                let Settings {
                    profiles, pages, ..
                } = settings;
                format!("--profiles {profiles} --pages {pages}")
            }
            Self::PipelineCreate | Self::Tracing => {
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
            Self::CqlListing => cql_listing::run(settings).await,
            Self::PipelineCreate => pipeline_create::run(settings).await,
            Self::WorkerDrain => worker_drain::run(settings).await,
            Self::Freshness => freshness::run(settings).await,
            Self::Tracing => tracing::run(settings).await,
        }
        .with_context(|| self.name())
    }
}

/// A folder for the data and the logs of a case, which goes with it.
fn folder(settings: &Settings) -> Result<TempDir> {
    std::fs::create_dir_all(&settings.data)?;
    Ok(tempfile::tempdir_in(&settings.data)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_chosen_by_their_names() {
        let names = ["cql-listing".to_owned()];
        assert_eq!(Case::chosen(&names).unwrap(), [Case::CqlListing]);
        assert_eq!(Case::chosen(&[]).unwrap(), Case::ALL);
        assert!(Case::chosen(&["listing".to_owned()]).is_err());
    }
}
