//! What is done to the servers and the processes while they are under load: a fault every five seconds that lasts three at
//! most, a kill a minute. Chosen by a seed; each is counted, and confirmed by what the proxy or the process itself says.

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kith_tests::poll::until;
use kith_tests::proxy::{Mode, Proxy};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use crate::cluster::{Cluster, Services};

/// A fault starts this often ...
const EVERY: Duration = Duration::from_secs(5);
/// ... and lasts between these.
const LASTS_MS: std::ops::RangeInclusive<u64> = 800..=2_900;
/// A connection is silent for this long before it is cut.
const SILENCE: Duration = Duration::from_millis(300);
/// A kill, once a minute.
const BETWEEN_KILLS: Duration = Duration::from_secs(60);
/// Two nodes are away for this share of the time at most; the contract of the run says a tenth.
const TWO_AWAY_MAX: f64 = 0.08;

/// Whom it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// A database node.
    Node(usize),
    /// The broker.
    Log,
    /// A process that answers HTTP.
    Ingest(usize),
    /// A process that consumes.
    Worker(usize),
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// SIGSTOP, then SIGCONT.
    Freeze,
    /// Nothing passes for a moment; then connections are cut, and new ones refused.
    Cut,
    /// Requests pass, answers do not; then connections are cut.
    Mute,
    /// Everything is late.
    Delay,
    /// kill -9, and started again.
    Kill,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Freeze => "freeze",
            Self::Cut => "cut",
            Self::Mute => "mute",
            Self::Delay => "delay",
            Self::Kill => "kill",
        })
    }
}

/// What was done, and what of it is confirmed.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By what was done to what kind of victim: how often, and how often confirmed.
    pub done: BTreeMap<(Harm, &'static str), (usize, usize)>,
    /// How long it went on.
    pub lasted: Duration,
    /// How long two nodes were away at once.
    pub two_away: Duration,
}

impl Report {
    fn note(&mut self, harm: Harm, victim: Victim, is_confirmed: bool) {
        let kind = match victim {
            Victim::Node(_) => "node",
            Victim::Log => "broker",
            Victim::Ingest(_) => "ingest-api",
            Victim::Worker(_) => "trait-worker",
        };
        let (done, confirmed) = self.done.entry((harm, kind)).or_default();
        *done += 1;
        *confirmed += usize::from(is_confirmed);
    }

    /// How many, and how many are confirmed.
    #[must_use]
    pub fn totals(&self) -> (usize, usize) {
        let counts = self.done.values();
        counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((harm, victim), (done, confirmed)) in &self.done {
            write!(f, "{harm} {victim} {confirmed}/{done}, ")?;
        }
        let share = self.two_away.as_secs_f64() / self.lasted.as_secs_f64().max(1.0);
        write!(
            f,
            "two nodes away {:.1} % of {:?}",
            share * 100.0,
            self.lasted
        )
    }
}

/// Which harm is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// None.
    Nothing,
    /// Nodes are cut off, one after another and without a pause.
    Cuts,
    /// All of it.
    Everything,
}

/// Does harm until told to stop, then makes everything whole.
///
/// # Errors
/// When something that was killed does not come back.
pub async fn injure(
    cluster: &Cluster,
    services: &Services,
    range: Range,
    seed: u64,
    stop: watch::Receiver<bool>,
) -> Result<Report> {
    let injurer = Injurer {
        cluster,
        services,
        range,
        report: Mutex::default(),
        killed: Mutex::new(None),
        began: Instant::now(),
    };
    tokio::try_join!(
        injurer.faults(StdRng::seed_from_u64(seed), stop.clone()),
        injurer.kills(StdRng::seed_from_u64(!seed), stop),
    )?;
    let mut report = locked(&injurer.report).clone();
    report.lasted = injurer.began.elapsed();
    Ok(report)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps, unless it is over; whether it goes on.
async fn goes_on(stop: &mut watch::Receiver<bool>, rest: Duration) -> bool {
    tokio::time::timeout(rest, stop.wait_for(|stop| *stop))
        .await
        .is_err()
}

struct Injurer<'a> {
    cluster: &'a Cluster,
    services: &'a Services,
    range: Range,
    report: Mutex<Report>,
    /// What is being killed and started again.
    killed: Mutex<Option<Victim>>,
    began: Instant,
}

impl Injurer<'_> {
    async fn faults(&self, mut random: StdRng, mut stop: watch::Receiver<bool>) -> Result<()> {
        let every = match self.range {
            Range::Nothing => return Ok(()),
            Range::Cuts => SILENCE,
            Range::Everything => EVERY,
        };
        loop {
            let round = Instant::now();
            self.fault(&mut random).await?;
            if !goes_on(&mut stop, every.saturating_sub(round.elapsed())).await {
                return Ok(());
            }
        }
    }

    async fn kills(&self, mut random: StdRng, mut stop: watch::Receiver<bool>) -> Result<()> {
        if self.range != Range::Everything {
            return Ok(());
        }
        let mut next = BETWEEN_KILLS / 3;
        for number in 0.. {
            if !goes_on(&mut stop, next.saturating_sub(self.began.elapsed())).await {
                break;
            }
            self.kill(number, &mut random).await?;
            next += BETWEEN_KILLS;
        }
        Ok(())
    }

    /// Whom the next fault hits, and how. Two nodes at once now and then, as long as their share allows.
    fn draw(&self, random: &mut StdRng, lasts: Duration) -> (Vec<Victim>, Harm) {
        let any = random.random_range(0..3);
        if self.range == Range::Cuts {
            return (vec![Victim::Node(any)], Harm::Cut);
        }
        let (mut victims, mut harm) = match random.random_range(0..20) {
            0..4 => (vec![Victim::Node(any)], Harm::Freeze),
            4..7 => (vec![Victim::Node(any)], Harm::Cut),
            7..9 => (vec![Victim::Node(any)], Harm::Mute),
            9..11 => (vec![Victim::Node(any)], Harm::Delay),
            11 => (vec![Victim::Log], Harm::Freeze),
            12 => (vec![Victim::Log], Harm::Cut),
            13 => (vec![Victim::Log], Harm::Mute),
            14 => (vec![Victim::Log], Harm::Delay),
            15 | 16 => (vec![Victim::Ingest(any)], Harm::Freeze),
            17 => (vec![Victim::Worker(any % 2)], Harm::Freeze),
            _ => (
                vec![Victim::Node(any), Victim::Node((any + 1) % 3)],
                Harm::Freeze,
            ),
        };
        let killed = *locked(&self.killed);
        victims.retain(|victim| Some(*victim) != killed);
        let is_node = |victim: &&Victim| matches!(victim, Victim::Node(_));
        let away = victims.iter().chain(&killed).filter(is_node).count();
        if away > 1 && victims.iter().any(|victim| is_node(&victim)) && harm != Harm::Delay {
            let mut report = locked(&self.report);
            let allowed = self.began.elapsed().mul_f64(TWO_AWAY_MAX);
            if report.two_away + lasts > allowed || away > 2 {
                victims.clear();
            } else {
                report.two_away += lasts;
            }
        }
        if victims.is_empty() {
            let other = (any + 1) % 3;
            (victims, harm) = match killed {
                Some(Victim::Node(_)) => (vec![Victim::Ingest(any)], Harm::Freeze),
                Some(Victim::Ingest(_)) => (vec![Victim::Log], Harm::Delay),
                _ => (vec![Victim::Node(other)], Harm::Freeze),
            };
        }
        (victims, harm)
    }

    /// One fault, from its beginning to its end.
    async fn fault(&self, random: &mut StdRng) -> Result<()> {
        let lasts = Duration::from_millis(random.random_range(LASTS_MS));
        let delay = Duration::from_millis(random.random_range(20..150));
        let (victims, harm) = self.draw(random, lasts);
        let mut begun = Vec::new();
        for victim in &victims {
            let disturbed = self.proxy(*victim).map_or(0, Proxy::disturbed);
            let frozen = match harm {
                Harm::Freeze => Some(self.freeze(*victim).await?),
                Harm::Cut => self.set(*victim, Mode::BlackHole),
                Harm::Mute => self.set(*victim, Mode::SwallowAnswers),
                Harm::Delay => self.set(*victim, Mode::Delay(delay)),
                Harm::Kill => None,
            };
            begun.push((*victim, disturbed, frozen));
        }
        if harm == Harm::Cut {
            tokio::time::sleep(SILENCE).await;
            for victim in &victims {
                self.set(*victim, Mode::Cut);
            }
        }
        tokio::time::sleep(lasts.saturating_sub(SILENCE)).await;
        for (victim, disturbed, frozen) in begun {
            let is_confirmed = match frozen {
                Some((pid, stood_still)) => {
                    // It may have been killed meanwhile.
                    drop(signal(&pid, "CONT"));
                    stood_still
                }
                None => self.proxy(victim).map_or(0, Proxy::disturbed) > disturbed,
            };
            if harm == Harm::Mute {
                // What was kept back is gone: only a new connection works again.
                self.set(victim, Mode::Cut);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            self.set(victim, Mode::Forward);
            locked(&self.report).note(harm, victim, is_confirmed);
        }
        Ok(())
    }

    fn proxy(&self, victim: Victim) -> Option<&Proxy> {
        match victim {
            Victim::Node(node) => Some(&self.cluster.nodes[node]),
            Victim::Log => Some(&self.cluster.log),
            Victim::Ingest(_) | Victim::Worker(_) => None,
        }
    }

    /// Stops a process; which, and whether it is seen to stand still.
    async fn freeze(&self, victim: Victim) -> Result<(String, bool)> {
        let pid = self.pid(victim).await?;
        signal(&pid, "STOP")?;
        let limit = Duration::from_secs(1);
        let still = until(limit, "a frozen process", || async {
            Ok((state(&pid)? == 'T').then_some(()))
        });
        let stands = still.await.is_ok();
        Ok((pid, stands))
    }

    fn set(&self, victim: Victim, mode: Mode) -> Option<(String, bool)> {
        if let Some(proxy) = self.proxy(victim) {
            proxy.set(mode);
        }
        None
    }

    async fn pid(&self, victim: Victim) -> Result<String> {
        Ok(match victim {
            Victim::Node(_) | Victim::Log => {
                let name = server(victim).context("a server")?;
                self.cluster.script("node", &[&name, "pid"]).await?
            }
            Victim::Ingest(number) => {
                let process = self.services.ingests[number].lock().await;
                process.id().to_string()
            }
            Victim::Worker(number) => {
                let process = self.services.workers[number].lock().await;
                process.id().to_string()
            }
        })
    }

    /// Kills one and starts it again: nodes, services and the broker in turn.
    async fn kill(&self, number: u32, random: &mut StdRng) -> Result<()> {
        let any = random.random_range(0..3);
        let victim = match number % 5 {
            0 | 3 => Victim::Node(any),
            1 => Victim::Ingest(any),
            2 => Victim::Worker(any % 2),
            _ => Victim::Log,
        };
        let before = self.pid(victim).await?;
        *locked(&self.killed) = Some(victim);
        match victim {
            Victim::Node(_) | Victim::Log => {
                let name = server(victim).context("a server")?;
                self.cluster.script("node", &[&name, "kill"]).await?;
                self.cluster.script("node", &[&name, "start"]).await?;
            }
            Victim::Ingest(number) => {
                let mut process = self.services.ingests[number].lock().await;
                process.crash_and_restart().await?;
            }
            Victim::Worker(number) => {
                let mut process = self.services.workers[number].lock().await;
                process.crash_and_restart().await?;
            }
        }
        *locked(&self.killed) = None;
        let after = self.pid(victim).await?;
        locked(&self.report).note(Harm::Kill, victim, before != after);
        Ok(())
    }
}

/// What `deploy/local/node` calls it.
fn server(victim: Victim) -> Option<String> {
    match victim {
        Victim::Node(node) => Some(format!("cassandra{}", node + 1)),
        Victim::Log => Some("kafka".to_owned()),
        Victim::Ingest(_) | Victim::Worker(_) => None,
    }
}

fn signal(pid: &str, name: &str) -> Result<()> {
    let status = Command::new("kill")
        .args([&format!("-{name}"), pid])
        .status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}

/// The letter that the kernel has for what a process does.
///
/// # Errors
/// When it is gone.
pub fn state(pid: &str) -> Result<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').context("a stat")?.1;
    after.trim_start().chars().next().context("a state")
}
