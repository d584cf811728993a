//! `ingest-api` with one fault built in, for runs that the checker must reject: the shipped service over an environment that
//! leaves a step out, or over a database that breaks its promise. `MUTANT` names it; nothing shipped can make one.

use std::process::ExitCode;
use std::time::Duration;

use clap::Command;
use ingest_api::servers::serve::{self, Engines, Parts};
use ingest_api::servers::{configure, taken};
use kith_domain::time::Micros;
use kith_profiles::environment::{self, Environment, Omission};
use kith_profiles::error::ClockUnsound;
use kith_profiles::ports::{Clock, Conditional, Durability, Identity, Outcome};
use kith_runtime::clock::SystemClock;
use kith_runtime::lifecycle::{Exit, run_process};
use kith_runtime::telemetry::Telemetry;
use kith_scylla::Cql;
use kith_tests::tampered::{Tamper, Tampered};

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
    /// It panics where it would claim.
    Panics,
}

impl Mutant {
    fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "resend" => Some(Self::Omits(Omission::Resend)),
            "earliest-survives" => Some(Self::Omits(Omission::EarliestSurvives)),
            "forced-claims" => Some(Self::ForcesClaims),
            "panics" => Some(Self::Panics),
            _ => None,
        }
    }
}

fn mutate(engines: Engines, mutant: Mutant, behind: Duration) -> Mutated {
    Mutated {
        parts: environment::Parts {
            database: Tampered {
                inner: engines.database,
                how: Claims(mutant),
            },
            log: engines.log,
            clock: Behind {
                inner: engines.clock,
                by: behind,
            },
            ids: engines.ids,
            retries: engines.retries,
        },
        omission: match mutant {
            Mutant::Omits(omission) => Some(omission),
            Mutant::None | Mutant::ForcesClaims | Mutant::Panics => None,
        },
    }
}

type Log = <Engines as Environment>::Log;
type Ids = <Engines as Environment>::Ids;

struct Mutated {
    parts: environment::Parts<Tampered<Cql, Claims>, Log, Behind, Ids>,
    omission: Option<Omission>,
}

impl Environment for Mutated {
    type Database = Tampered<Cql, Claims>;
    type Log = Log;
    type Clock = Behind;
    type Ids = Ids;

    fn database(&self) -> &Tampered<Cql, Claims> {
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

/// What becomes of claims.
struct Claims(Mutant);

impl Tamper<Cql> for Claims {
    async fn attempt(
        &self,
        inner: &Cql,
        statements: &[Conditional],
        durability: Durability,
    ) -> Vec<Outcome> {
        assert!(
            !matches!(self.0, Mutant::Panics),
            "this mutant was told to panic"
        );
        let mut outcomes = inner.attempt(statements, durability).await;
        if matches!(self.0, Mutant::ForcesClaims) {
            for (statement, outcome) in statements.iter().zip(&mut outcomes) {
                *outcome = force(inner, statement, *outcome, durability).await;
            }
        }
        outcomes
    }
}

async fn force(
    inner: &Cql,
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
        let answers = inner.attempt(&[statement.clone()], durability).await;
        outcome = answers.first().copied().unwrap_or(Outcome::Unknown);
    }
    outcome
}
