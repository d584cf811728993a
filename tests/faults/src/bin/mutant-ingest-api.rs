//! `ingest-api` with one fault built in, for runs that the checker must reject: the shipped service over an environment that
//! leaves a step out, or over a database that breaks its promise. `MUTANT` names it; nothing shipped can make one.

use std::process::ExitCode;
use std::time::Duration;

use clap::Command;
use ingest_api::servers::serve::{self, Engines, Parts};
use ingest_api::servers::{configure, taken};
use kith_domain::id::{AccountSid, OperationId, ProfileId, ProfileKey, StoreId};
use kith_domain::identifier::ClaimKey;
use kith_domain::operation::Operation;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_profiles::environment::{self, Environment, Omission};
use kith_profiles::error::{ClockUnsound, PortError};
use kith_profiles::ports::{
    Account, AccountWrite, CellBatch, CellRead, CellRows, Cells, Claim, Clock, Conditional,
    Control, Created, Definitions, Durability, Identity, Listing, Node, NodeRead, Order, Outcome,
    Owners, OwnersRead, StoreWrite, TokenKey, Written,
};
use kith_runtime::clock::SystemClock;
use kith_runtime::lifecycle::{Exit, run_process};
use kith_runtime::telemetry::Telemetry;
use kith_scylla::Cql;

fn main() -> ExitCode {
    let name = std::env::var("MUTANT").unwrap_or_default();
    let behind = std::env::var("MUTANT_CLOCK_BEHIND_MS").ok();
    let behind = behind.and_then(|text| text.parse().ok()).unwrap_or(0);
    let Some(mutant) = Mutant::named(&name) else {
        return ExitCode::from(64);
    };
    let taken = taken();
    let command = taken.command(Command::new("mutant-ingest-api"));
    let matches = match taken.parse(command, std::env::args_os()) {
        Ok(matches) => matches,
        Err(refused) => return Exit::refused(refused).into(),
    };
    run_process(async move {
        let served = async {
            let settings = taken.load(&matches)?;
            let (cql, kafka) = configure(&settings)?;
            let parts = Parts::from(&settings)?;
            let telemetry = Telemetry::init(&settings, "mutant-ingest-api")?;
            let exit = serve::run(&settings, cql, kafka, parts, |engines| {
                mutate(engines, mutant, Duration::from_millis(behind))
            })
            .await;
            telemetry.shutdown(Duration::from_secs(2)).await;
            exit
        };
        served
            .await
            .unwrap_or_else(|error| Exit::misconfigured(&error))
    })
}

/// What is wrong.
#[derive(Debug, Clone, Copy)]
enum Mutant {
    /// Nothing: the clock alone may be behind.
    None,
    /// A step is left out.
    Omits(Omission),
    /// A claim that is refused is taken all the same.
    ForcesClaims,
}

impl Mutant {
    fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "resend" => Some(Self::Omits(Omission::Resend)),
            "earliest-survives" => Some(Self::Omits(Omission::EarliestSurvives)),
            "forced-claims" => Some(Self::ForcesClaims),
            _ => None,
        }
    }
}

fn mutate(engines: Engines, mutant: Mutant, behind: Duration) -> Mutated {
    Mutated {
        parts: environment::Parts {
            database: Forcing {
                inner: engines.database,
                forces: matches!(mutant, Mutant::ForcesClaims),
            },
            log: engines.log,
            clock: Behind {
                inner: engines.clock,
                by: behind,
            },
            ids: engines.ids,
        },
        omission: match mutant {
            Mutant::Omits(omission) => Some(omission),
            Mutant::None | Mutant::ForcesClaims => None,
        },
    }
}

type Log = <Engines as Environment>::Log;
type Ids = <Engines as Environment>::Ids;

struct Mutated {
    parts: environment::Parts<Forcing, Log, Behind, Ids>,
    omission: Option<Omission>,
}

impl Environment for Mutated {
    type Database = Forcing;
    type Log = Log;
    type Clock = Behind;
    type Ids = Ids;

    fn database(&self) -> &Forcing {
        &self.parts.database
    }

    fn log(&self) -> &Log {
        &self.parts.log
    }

    fn clock(&self) -> &Behind {
        &self.parts.clock
    }

    fn ids(&self) -> &Ids {
        &self.parts.ids
    }

    fn omits(&self, step: Omission) -> bool {
        self.omission == Some(step)
    }
}

/// A wall clock that is behind.
struct Behind {
    inner: SystemClock,
    by: Duration,
}

impl Clock for Behind {
    fn now(&self) -> Result<Micros, ClockUnsound> {
        let by = i64::try_from(self.by.as_micros()).unwrap_or(0);
        Ok(Micros::from_micros(self.inner.now()?.as_micros() - by))
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.inner.sleep(duration).await;
    }
}

/// A database that takes a claim whatever its condition says.
struct Forcing {
    inner: Cql,
    forces: bool,
}

impl Forcing {
    async fn force(
        &self,
        statement: &Conditional,
        outcome: Outcome,
        durability: Durability,
    ) -> Outcome {
        let mut statement = statement.clone();
        let mut outcome = outcome;
        while let (Outcome::Refused(standing), Conditional::Claim { expected, id, .. }) =
            (outcome, &mut statement)
        {
            if standing.claim_id == Some(*id) {
                break;
            }
            *expected = standing.claim_id;
            let answers = self.inner.attempt(&[statement.clone()], durability).await;
            outcome = answers.first().copied().unwrap_or(Outcome::Unknown);
        }
        outcome
    }
}

impl Identity for Forcing {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<Claim>>, PortError> {
        self.inner.claims(keys).await
    }

    async fn owners(&self, reads: &[OwnersRead]) -> Result<Vec<Owners>, PortError> {
        self.inner.owners(reads).await
    }

    async fn nodes(&self, reads: &[NodeRead]) -> Result<Vec<Node>, PortError> {
        self.inner.nodes(reads).await
    }

    async fn attempt(&self, statements: &[Conditional], durability: Durability) -> Vec<Outcome> {
        let mut outcomes = self.inner.attempt(statements, durability).await;
        if self.forces {
            for (statement, outcome) in statements.iter().zip(&mut outcomes) {
                *outcome = self.force(statement, *outcome, durability).await;
            }
        }
        outcomes
    }
}

impl Cells for Forcing {
    async fn read(&self, reads: &[CellRead]) -> Result<Vec<CellRows>, PortError> {
        self.inner.read(reads).await
    }

    async fn write(&self, batches: &[CellBatch], durability: Durability) -> Result<(), PortError> {
        self.inner.write(batches, durability).await
    }

    async fn purge(
        &self,
        profiles: &[ProfileKey],
        time: Micros,
        durability: Durability,
    ) -> Result<(), PortError> {
        self.inner.purge(profiles, time, durability).await
    }
}

impl Listing for Forcing {
    async fn add(&self, profile: ProfileKey, durability: Durability) -> Result<(), PortError> {
        self.inner.add(profile, durability).await
    }

    async fn remove(
        &self,
        profiles: &[ProfileKey],
        durability: Durability,
    ) -> Result<(), PortError> {
        self.inner.remove(profiles, durability).await
    }

    async fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        self.inner.page(store, order, after, limit).await
    }
}

impl Control for Forcing {
    async fn store(&self, store: StoreId) -> Result<Option<StoreRecord>, PortError> {
        self.inner.store(store).await
    }

    async fn create_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        self.inner.create_store(record).await
    }

    async fn delete_store(&self, account: &AccountSid, store: StoreId) -> Result<bool, PortError> {
        self.inner.delete_store(account, store).await
    }

    async fn is_deleted(&self, store: StoreId) -> Result<bool, PortError> {
        self.inner.is_deleted(store).await
    }
}

impl Definitions for Forcing {
    async fn token_key(&self) -> Result<TokenKey, PortError> {
        self.inner.token_key().await
    }

    async fn account(&self, account: &AccountSid) -> Result<Account, PortError> {
        self.inner.account(account).await
    }

    async fn write_account(&self, write: &AccountWrite) -> Result<Written, PortError> {
        self.inner.write_account(write).await
    }

    async fn make_store(&self, record: &StoreRecord) -> Result<Created, PortError> {
        self.inner.make_store(record).await
    }

    async fn write_store(&self, write: &StoreWrite) -> Result<Written, PortError> {
        self.inner.write_store(write).await
    }

    async fn operation(
        &self,
        account: &AccountSid,
        operation: OperationId,
    ) -> Result<Option<Operation>, PortError> {
        self.inner.operation(account, operation).await
    }

    async fn put_operation(
        &self,
        account: &AccountSid,
        operation: &Operation,
    ) -> Result<(), PortError> {
        self.inner.put_operation(account, operation).await
    }
}
