//! A run: load and faults, then quiet, then everything read, then the verdict.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use kith_domain::id::ProfileId;
use kith_domain::identifier::{IdType, Identifier, IdentifierValue};
use kith_domain::store::StoreRecord;
use kith_tests::api::Api;
use kith_tests::poll::until;
use kith_tests::process::metric;
use kith_tests::servers::Place;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checker::{Mix, findings};
use crate::cluster::{Cluster, Services};
use crate::dump;
use crate::harm::{Range, Report, injure};
use crate::history::{Asked, Record, Seen};
use crate::load::{Drawn, Load};

/// How many read at once when everything is quiet.
const READERS: usize = 24;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For draws of faults and of requests.
    pub seed: u64,
    /// How long the load lasts.
    pub lasts: Duration,
    /// How many ask at once.
    pub callers: u64,
    /// What they ask.
    pub mix: Drawn,
    /// Which harm is done.
    pub harm: Range,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Acknowledged requests by kind.
    pub mix: Mix,
    /// What was done to the servers.
    pub report: Report,
    /// What history and store do not agree on.
    pub findings: Vec<String>,
    /// Live profiles, and members of others.
    pub profiles: (usize, usize),
}

/// Runs it, and judges it.
///
/// # Errors
/// When the run itself fails: something does not come back, or cannot be read.
pub async fn run(
    plan: &Plan,
    cluster: &Cluster,
    services: &Services,
    place: &Place,
    store: &StoreRecord,
) -> Result<Outcome> {
    let callers = Callers::start(services, plan.seed, plan.callers, plan.mix);
    let (stop, stopped) = watch::channel(false);
    let timer = async {
        let began = Instant::now();
        while began.elapsed() < plan.lasts {
            let rest = plan.lasts.saturating_sub(began.elapsed());
            tokio::time::sleep(rest.min(Duration::from_secs(30))).await;
            eprintln!(
                "{:?}: {} requests acknowledged",
                began.elapsed(),
                callers.acknowledged()
            );
        }
        stop.send_replace(true);
    };
    let harmed = injure(cluster, services, plan.harm, plan.seed, stopped);
    let report = tokio::join!(harmed, timer).0?;
    let history = callers.end().await?;
    let (findings, profiles) = verdict(&history, services, place, store).await?;
    Ok(Outcome {
        mix: Mix::of(&history),
        report,
        findings,
        profiles,
    })
}

/// Callers at work.
#[derive(Debug)]
pub struct Callers {
    load: Arc<Load>,
    tasks: Vec<JoinHandle<Vec<Record>>>,
}

impl Callers {
    /// Starts so many, who ask any process that answers HTTP.
    #[must_use]
    pub fn start(services: &Services, seed: u64, count: u64, mix: Drawn) -> Self {
        let load = Arc::new(Load::new(services.apis.clone(), mix));
        let tasks = (0..count)
            .map(|caller| {
                let (load, seed) = (Arc::clone(&load), seed ^ (caller << 32));
                tokio::task::spawn(async move { load.caller(seed).await })
            })
            .collect();
        Self { load, tasks }
    }

    /// How many requests were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.load.acknowledged()
    }

    /// One create beside theirs, of somebody whom they do not know; its record belongs to the history. Not repeated.
    pub async fn stranger(&self, api: &Api) -> Record {
        self.load.stranger(api).await
    }

    /// How long they have been at work, as their records have it.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.load.elapsed()
    }

    /// Ends their work: what was asked and told.
    ///
    /// # Errors
    /// When one of them panicked.
    pub async fn end(self) -> Result<Vec<Record>> {
        self.load.end();
        let mut history = Vec::new();
        for task in self.tasks {
            history.extend(task.await?);
        }
        Ok(history)
    }
}

/// What history and store do not agree on once everything is quiet; how many live profiles, and members of others.
///
/// # Errors
/// When it does not become quiet, or cannot be read.
pub async fn verdict(
    history: &[Record],
    services: &Services,
    place: &Place,
    store: &StoreRecord,
) -> Result<(Vec<String>, (usize, usize))> {
    quiet(services).await?;
    let api = &services.apis[0];
    let session = dump::session(place).await?;
    let mut judged = judge(history, api, &session, place, store).await?;
    // Lag is a gauge of the recent past: what is not there yet gets a moment more.
    let limit = Instant::now() + Duration::from_secs(15);
    while !judged.0.is_empty() && Instant::now() < limit {
        tokio::time::sleep(Duration::from_secs(2)).await;
        judged = judge(history, api, &session, place, store).await?;
    }
    Ok(judged)
}

/// Every consumer has committed everything.
async fn quiet(services: &Services) -> Result<()> {
    until(Duration::from_secs(120), "no lag", || async {
        let mut lag = 0.0;
        for worker in &services.workers {
            lag += metric(
                &worker.lock().await.metrics().await?,
                "kith_log_lag_records",
            );
        }
        Ok((lag == 0.0).then_some(()))
    })
    .await
}

async fn judge(
    history: &[Record],
    api: &Api,
    session: &scylla::client::session::Session,
    place: &Place,
    store: &StoreRecord,
) -> Result<(Vec<String>, (usize, usize))> {
    // Identity first: a mutant may leave what no read comes to the end of, and that is a finding already.
    let rows = dump::dump(session, &place.keyspace).await?;
    let broken = crate::rows::findings(&rows, store);
    let seen = match observe(api, history).await {
        Ok(seen) => seen,
        Err(error) if broken.is_empty() => return Err(error),
        Err(_) => return Ok((broken, (0, 0))),
    };
    let found = findings(history, &seen, &rows, store);
    let canonical = rows.canonical();
    let sets = rows.sets();
    let members = canonical.iter().filter_map(|root| sets.get(root));
    let merged = members.map(|members| members.len() - 1).sum();
    Ok((found, (canonical.len(), merged)))
}

/// Reads everything that anybody was told of. A read that is refused is sent again, as any caller would.
async fn observe(api: &Api, history: &[Record]) -> Result<Seen> {
    let mut identifiers = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for record in history {
        ids.extend(record.accepted());
        if let Asked::Create {
            identifiers: sent, ..
        } = &record.asked
        {
            identifiers.extend(sent.iter().cloned());
        }
    }
    let mut seen = Seen {
        listed: parsed(patient(|| api.list()).await?)?.into_iter().collect(),
        ..Seen::default()
    };
    seen.owners = stream::iter(identifiers)
        .map(|one| async move {
            let ask = || api.owners(one.id_type.as_str(), one.value.expose());
            let owners = parsed(patient(ask).await?)?;
            anyhow::Ok((one, owners))
        })
        .buffer_unordered(READERS)
        .try_collect()
        .await?;
    ids.extend(seen.owners.values().flatten());
    let read: Vec<_> = stream::iter(ids)
        .map(|id| async move {
            let text = id.to_string();
            let answer = patient(|| async {
                let answer = api.get(&text).await?;
                ensure!(answer.status != 503, "refused");
                Ok(answer)
            })
            .await?;
            let held = match answer.status {
                200 => Some(patient(|| api.identifiers(&text)).await?),
                _ => None,
            };
            anyhow::Ok((id, answer, held))
        })
        .buffer_unordered(READERS)
        .try_collect()
        .await?;
    for (id, answer, held) in read {
        let root = match answer.status {
            200 => {
                let contact = answer.body["traits"]["Contact"].as_object();
                let texts = contact
                    .into_iter()
                    .flatten()
                    .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
                seen.traits.insert(id, texts.collect());
                Some(id)
            }
            301 => Some(answer.header("canonical-profile-id").parse()?),
            404 => None,
            other => anyhow::bail!("{other} for {id}"),
        };
        seen.roots.insert(id, root);
        if let Some(held) = held {
            let held = held.into_iter().flat_map(|(id_type, values)| {
                values.into_iter().map(move |value| Identifier {
                    id_type: IdType::new(&id_type),
                    value: IdentifierValue::new(&value),
                })
            });
            seen.identifiers.insert(id, held.collect());
        }
    }
    Ok(seen)
}

fn parsed(ids: Vec<String>) -> Result<Vec<ProfileId>> {
    let ids = ids.iter().map(|id| id.parse());
    ids.collect::<Result<_, _>>().context("a profile id")
}

/// Tries until there is an answer.
async fn patient<T, Fut>(ask: impl Fn() -> Fut) -> Result<T>
where
    Fut: Future<Output = Result<T>>,
{
    until(Duration::from_secs(20), "a read", || async {
        Ok(Some(ask().await?))
    })
    .await
}
