//! A side of the comparison: what answers, whom it knows, and what it costs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_tests::api::Api;
use kith_tests::crowd::{Crowd, agree, quiet};
use kith_tests::process::{Launch, Process, free_address, metric};
use serde_json::json;

use super::{SWEEP_CALLERS, Tuning};
use crate::caller::Caller;
use crate::closed_loop::{self, Answered, Create};
use crate::open_loop;
use crate::postgres::{Commits, Postgres};
use crate::process::{Standalone, idle_by, processor_seconds};
use crate::spread::Times;
use crate::syncs::{Trace, cover};
use crate::walk::count;
use kith_tests::message::create;

/// People of the crowd whose creates overlap.
const CROWD: usize = 24;
/// Creates of the crowd.
const CROWD_CREATES: u64 = 240;
/// Callers of the crowd.
const CROWD_CALLERS: usize = 8;

/// Who is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Somebody who is not there.
    New,
    /// Somebody who is, with another first name.
    Known,
}

impl Who {
    pub(super) const ALL: [Self; 2] = [Self::New, Self::Known];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Known => "known",
        }
    }
}

/// Kith, what a team would write instead, or the limit of both.
#[derive(Debug)]
pub(super) struct Side {
    server: Server,
    /// The id that each person's create was answered with.
    made: Vec<String>,
    /// All of them.
    ids: HashSet<String>,
    /// Loops of known people so far, so that each sends other first names.
    loops: usize,
}

#[derive(Debug)]
enum Server {
    Kith(Standalone),
    Postgres {
        service: Process,
        address: SocketAddr,
        caller: Caller,
        database: Postgres,
    },
    /// It finds nobody, so what it answers says nothing.
    Disk {
        process: Process,
        address: SocketAddr,
    },
}

/// What a closed loop gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) rate: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) processor_ms: f64,
    pub(super) syncs_per_thousand: f64,
}

/// What came back of a closed loop.
#[derive(Debug)]
pub(super) struct Looped {
    answers: f64,
    took: Duration,
    times: Times,
    syncs: f64,
}

impl Looped {
    /// Answers a second.
    pub(super) fn rate(&self) -> f64 {
        self.answers / self.took.as_secs_f64()
    }
}

/// What an open loop gave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Answers a second, until the last.
    pub(super) rate: f64,
}

impl Side {
    fn of(server: Server) -> Self {
        Self {
            server,
            made: Vec::new(),
            ids: HashSet::new(),
            loops: 0,
        }
    }

    /// Kith with the settings that it has by default.
    pub(super) async fn kith(dir: &Path, trace: Option<&Trace>) -> Result<Self> {
        let watch = trace.map(Trace::watch).unwrap_or_default();
        let kith = Standalone::start_under(&watch, &dir.join("kith"), dir).await?;
        Ok(Self::of(Server::Kith(kith)))
    }

    /// The baseline on an empty database.
    pub(super) async fn postgres(
        dir: &Path,
        tuning: Tuning,
        are_durable: bool,
        trace: Option<&Trace>,
    ) -> Result<Self> {
        let commits = Commits {
            delay_us: tuning.commit_delay_us,
            are_durable,
        };
        let watch = trace.map(Trace::watch).unwrap_or_default();
        let database = Postgres::start(dir, commits, &watch).await?;
        let (service, address) = service(&database, tuning, dir).await?;
        Ok(Self::of(Server::Postgres {
            service,
            address,
            caller: Caller::new(&format!("http://{address}"))?,
            database,
        }))
    }

    /// HTTP, JSON and the disk, with nothing between them.
    pub(super) async fn disk(dir: &Path, trace: Option<&Trace>) -> Result<Self> {
        let listen = free_address()?;
        let watch = trace.map(Trace::watch).unwrap_or_default();
        let mut launch = Launch::new("kith-bare-disk")?.under(&watch);
        let file = dir.join("bare-disk").display().to_string();
        launch.arguments = flags([("--listen", listen.to_string()), ("--file", file)]);
        let mut process = Process::start(launch, dir)?;
        process.ready().await?;
        Ok(Self::of(Server::Disk {
            process,
            address: listen,
        }))
    }

    /// The baseline tuned otherwise, on the data that it has.
    pub(super) async fn tune(&mut self, tuning: Tuning, logs: &Path) -> Result<()> {
        let Server::Postgres {
            service: running,
            address,
            caller,
            database,
        } = &mut self.server
        else {
            return Ok(());
        };
        database.set(Commits {
            delay_us: tuning.commit_delay_us,
            are_durable: true,
        })?;
        stop(running).await?;
        (*running, *address) = service(database, tuning, logs).await?;
        *caller = Caller::new(&format!("http://{address}"))?;
        Ok(())
    }

    /// Before anything is measured: there are people, and the baseline's database knows how many.
    pub(super) async fn warm(&mut self, limit: Duration) -> Result<()> {
        self.looped(Who::New, SWEEP_CALLERS, limit).await?;
        match &self.server {
            Server::Kith(_) | Server::Disk { .. } => Ok(()),
            Server::Postgres { database, .. } => database.analyze(),
        }
    }

    /// Many callers create overlapping people, who merge; what it says of them afterwards must agree with what it answered.
    pub(super) async fn judge(&self) -> Result<()> {
        if !self.finds_people() {
            return Ok(());
        }
        let api = Api::new(&format!("http://{}", self.address()))?;
        let apis = [api.clone()];
        let crowd = Crowd::new(CROWD, CROWD_CREATES);
        let callers = (0..CROWD_CALLERS).map(|_| crowd.caller(&apis));
        let told = futures_util::future::join_all(callers).await;
        let history: Vec<_> = told.into_iter().flatten().collect();
        let consumers: &[Process] = match &self.server {
            Server::Kith(kith) => std::slice::from_ref(&kith.process),
            Server::Postgres { .. } | Server::Disk { .. } => &[],
        };
        let observed = quiet(consumers, &api, &history).await?;
        ensure!(
            history.iter().all(|event| event.acknowledged.is_some()),
            "a create of the crowd was not answered 202"
        );
        agree(&history, &observed)
    }

    /// As many are listed as were made since so many were.
    pub(super) async fn all_are_listed(&self, before: u64) -> Result<()> {
        if !self.finds_people() {
            return Ok(());
        }
        let listed = self.listed().await? - before;
        let made = u64::try_from(self.made.len())?;
        ensure!(listed == made, "{listed} of {made} are listed");
        Ok(())
    }

    /// Whether its answers are about people.
    const fn finds_people(&self) -> bool {
        match self.server {
            Server::Kith(_) | Server::Postgres { .. } => true,
            Server::Disk { .. } => false,
        }
    }

    /// How many are listed.
    pub(super) async fn listed(&self) -> Result<u64> {
        match &self.server {
            Server::Kith(kith) => count(&kith.caller).await,
            Server::Postgres { caller, .. } => count(caller).await,
            Server::Disk { .. } => Ok(0),
        }
    }

    /// A closed loop, with what it cost.
    pub(super) async fn closed(
        &mut self,
        who: Who,
        callers: usize,
        limit: Duration,
    ) -> Result<Measured> {
        self.idle().await?;
        let used = self.processor_seconds()?;
        let looped = self.looped(who, callers, limit).await?;
        self.idle().await?;
        let used = self.processor_seconds()? - used;
        Ok(Measured {
            rate: looped.rate(),
            p50_ms: looped.times.quantile_ms(0.5),
            p99_ms: looped.times.quantile_ms(0.99),
            processor_ms: 1e3 * used / looped.answers,
            syncs_per_thousand: 1e3 * looped.syncs / looped.answers,
        })
    }

    /// A closed loop whose answers are right, and wait for the disk.
    pub(super) async fn looped(
        &mut self,
        who: Who,
        callers: usize,
        limit: Duration,
    ) -> Result<Looped> {
        let synced = self.syncs().await?;
        let requests = self.requests(who);
        let (answers, took) = closed_loop::run(self.address(), callers, limit, requests).await?;
        let syncs = self.syncs().await? - synced;
        cover(callers, answers.len(), syncs)?;
        let mut times = Times::default();
        for one in &answers {
            times.push(one.took);
        }
        let looped = Looped {
            answers: answers.len() as f64,
            took,
            times,
            syncs,
        };
        self.accept(who, answers)?;
        Ok(looped)
    }

    /// An open loop, by a schedule.
    pub(super) async fn open(
        &mut self,
        who: Who,
        connections: usize,
        schedule: &[Duration],
    ) -> Result<Offered> {
        self.idle().await?;
        let requests = self.requests(who);
        let outcome = open_loop::run(self.address(), connections, schedule, requests).await?;
        let count = outcome.answers.len() as f64;
        self.accept(who, outcome.answers)?;
        Ok(Offered {
            p50_ms: outcome.latencies.quantile_ms(0.5),
            p99_ms: outcome.latencies.quantile_ms(0.99),
            rate: count / outcome.took.as_secs_f64(),
        })
    }

    /// One request after another: after each answer at least one more sync is done, as the system sees it, and what the
    /// side counts itself is no more than that.
    pub(super) async fn confirm(&mut self, trace: &Trace, requests: usize) -> Result<()> {
        let counted = self.syncs().await?;
        for number in 0..requests {
            let done = trace.done()?;
            let create = self.requests(Who::New);
            let once = closed_loop::run(self.address(), 1, Duration::ZERO, create);
            let (answers, _) = once.await?;
            ensure!(
                trace.done()? > done,
                "answer {number} came before a sync was done"
            );
            self.accept(Who::New, answers)?;
        }
        let all = self.syncs().await?;
        let (during, seen) = (all - counted, trace.done()? as f64);
        ensure!(
            during >= requests as f64 && all <= seen,
            "{during} syncs are counted for {requests} answers, {all} in all, and {seen} were seen"
        );
        Ok(())
    }

    /// Ends it as an operator would.
    pub(super) async fn stop(self) -> Result<()> {
        match self.server {
            Server::Kith(kith) => kith.stop().await,
            Server::Postgres {
                mut service,
                database,
                ..
            } => {
                stop(&mut service).await?;
                database.stop().await
            }
            Server::Disk { mut process, .. } => stop(&mut process).await,
        }
    }

    /// Kith's process.
    pub(super) fn process(&self) -> Option<&Process> {
        match &self.server {
            Server::Kith(kith) => Some(&kith.process),
            Server::Postgres { .. } | Server::Disk { .. } => None,
        }
    }

    fn address(&self) -> SocketAddr {
        match &self.server {
            Server::Kith(kith) => kith.address,
            Server::Postgres { address, .. } | Server::Disk { address, .. } => *address,
        }
    }

    /// Processor time of all that belongs to it.
    fn processor_seconds(&self) -> Result<f64> {
        match &self.server {
            Server::Kith(kith) => processor_seconds(&kith.process),
            Server::Postgres {
                service, database, ..
            } => Ok(processor_seconds(service)? + database.processor_seconds()?),
            Server::Disk { process, .. } => processor_seconds(process),
        }
    }

    async fn idle(&self) -> Result<()> {
        idle_by(|| self.processor_seconds()).await
    }

    /// How often it has put its log on the disk, as it counts itself.
    async fn syncs(&self) -> Result<f64> {
        let (process, name) = match &self.server {
            Server::Kith(kith) => (&kith.process, "kith_embedded_sync_seconds_count"),
            Server::Postgres { service, .. } => (service, "postgres_wal_syncs_total"),
            Server::Disk { process, .. } => (process, "bare_disk_syncs_total"),
        };
        Ok(metric(&process.metrics().await?, name))
    }

    /// The creates of a loop, by their numbers.
    fn requests(&self, who: Who) -> impl Fn(usize) -> Create + use<> {
        let (people, number) = (self.made.len(), self.loops);
        move |n| {
            let (person, contact) = match who {
                Who::New => {
                    let person = people + n;
                    let first_name = format!("Person {person}");
                    let phone = format!("+1646{person:07}");
                    (
                        person,
                        json!({ "email": email(person), "phone": phone, "firstName": first_name }),
                    )
                }
                Who::Known => {
                    // Neighbours in time are not neighbours in the store.
                    let person = n.wrapping_mul(7_919) % people.max(1);
                    let first_name = format!("{number} {n}");
                    (
                        person,
                        json!({ "email": email(person), "firstName": first_name }),
                    )
                }
            };
            let request = create(&json!({ "Contact": contact }));
            Create { person, request }
        }
    }

    /// New people have ids that nobody else has, known ones the id that they have.
    fn accept(&mut self, who: Who, mut answers: Vec<Answered>) -> Result<()> {
        self.loops += 1;
        answers.sort_by_key(|one| one.person);
        let finds_people = self.finds_people();
        for Answered { person, id, .. } in answers {
            match who {
                Who::New => {
                    ensure!(person == self.made.len(), "person {person} is missing");
                    ensure!(self.ids.insert(id.clone()), "two new people have one id");
                    self.made.push(id);
                }
                Who::Known => {
                    let known = self.made.get(person).context("nobody is there")?;
                    ensure!(*known == id || !finds_people, "person {person} became {id}");
                }
            }
        }
        Ok(())
    }
}

fn email(person: usize) -> String {
    format!("versus-{person}@example.com")
}

/// Arguments of a command line, each with its value.
fn flags<const N: usize>(given: [(&str, String); N]) -> Vec<String> {
    let given = given.into_iter();
    given
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

/// Starts the baseline's service on its database.
async fn service(
    database: &Postgres,
    tuning: Tuning,
    logs: &Path,
) -> Result<(Process, SocketAddr)> {
    let listen = free_address()?;
    let mut launch = Launch::new("kith-baseline-postgres")?;
    launch.arguments = flags([
        ("--listen", listen.to_string()),
        ("--socket", database.socket().display().to_string()),
        ("--pool", tuning.pool.to_string()),
        ("--workers", tuning.workers.to_string()),
    ]);
    if !tuning.is_prepared {
        launch.arguments.push("--unprepared".to_owned());
    }
    let mut service = Process::start(launch, logs)?;
    service.ready().await?;
    Ok((service, listen))
}

async fn stop(service: &mut Process) -> Result<()> {
    let status = service.terminate().await?;
    ensure!(status.success(), "{status}: {}", service.log());
    Ok(())
}
