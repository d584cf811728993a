//! `redrive`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use kith_domain::time::Micros;
use kith_kafka::{KafkaConfig, KafkaLog, TopicReader, buried};
use kith_profiles::error::PublishError;
use kith_profiles::letters::{Buried, Letter};
use kith_profiles::ports::{Clock as _, Offset, Partition};
use kith_runtime::clock::SystemClock;
use kith_runtime::config::{ConfigError, Settings};
use kith_runtime::lifecycle::{ComponentError, Exit, Shutdown};
use kith_runtime::output::{Progress, say};
use kith_servers::REACH_LIMIT;
use tokio::time::Instant;
use trait_worker::letters::{Select, Survey, line, place};

use super::survey::{open, survey};
use super::{BATCH_RECORDS, CLOSE, batch};
use crate::servers::command::{self, Ending};
use crate::servers::pace::Pace;

/// Records on their way at once.
const AT_ONCE: usize = 64;
/// How long a log that does not take records is tried, and how often.
const PATIENCE: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What is sent, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Redrive {
    #[command(flatten)]
    select: Select,
    /// Print what would be sent, as `list` does, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Send letters that were sent before, too
    #[arg(long)]
    again: bool,
    /// Records a second, at most [default: as fast as it goes]
    #[arg(long, value_name = "RECORDS", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
}

/// Redrives, until the end or a signal.
pub(super) async fn run(
    redrive: Redrive,
    settings: &Settings,
    kafka: KafkaConfig,
) -> Result<Exit, ConfigError> {
    let work = |shutdown| work(redrive, kafka, shutdown);
    command::run("redrive", settings, work).await
}

async fn work(
    redrive: Redrive,
    kafka: KafkaConfig,
    shutdown: Shutdown,
) -> Result<Ending, ComponentError> {
    let select = &redrive.select;
    let prepared = async {
        let survey = survey(select, &kafka).await?;
        let reader = open(select, &kafka).await?;
        let log = KafkaLog::new(&kafka)?;
        log.reachable(REACH_LIMIT).await?;
        Ok::<_, ComponentError>((survey, reader, log))
    };
    let (survey, mut reader, log) = tokio::select! {
        prepared = prepared => prepared?,
        () = shutdown.requested() => return Ok(Ending::Incomplete),
    };
    // The log removes what is older than its retention: a record of an age near it would be gone before it is read.
    let half = i64::try_from(kafka.topics.retention.as_micros() / 2).unwrap_or(i64::MAX);
    let now = SystemClock::new().now()?;
    let mut run = Run {
        redrive: &redrive,
        kept_since: Micros::from_micros(now.as_micros().saturating_sub(half)),
        survey,
        log,
        pace: Pace::new(redrive.rate),
        progress: None,
        counted: Counted::default(),
    };
    let ended = run.all(&mut reader, &shutdown).await;
    let Run {
        counted, progress, ..
    } = run;
    let took = progress.map_or(Duration::ZERO, |progress| progress.finish());
    counted.tell(redrive.dry_run, took)?;
    reader.close(CLOSE).await?;
    let is_end = ended?;
    Ok(if is_end && counted.too_large == 0 {
        Ending::Complete
    } else {
        Ending::Incomplete
    })
}

/// What became of the letters that are meant.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    /// Sent and acknowledged, or what would be sent.
    sent: u64,
    /// Left out, because they were sent before.
    before: u64,
    /// The log does not take a record of this size.
    too_large: u64,
}

impl Counted {
    fn tell(self, is_dry: bool, took: Duration) -> std::io::Result<()> {
        let Self {
            sent,
            before,
            too_large,
        } = self;
        if is_dry {
            return say(&format!(
                "{sent} letters would be redriven, {before} were redriven before"
            ));
        }
        let seconds = took.as_secs_f64();
        let refused = match too_large {
            0 => String::new(),
            more => format!(", {more} too large for the log"),
        };
        say(&format!(
            "{sent} letters redriven, {before} were redriven before{refused}, in {seconds:.1} s"
        ))
    }
}

/// A redrive under way.
struct Run<'a> {
    redrive: &'a Redrive,
    /// Records keep their own time if it is not before this.
    kept_since: Micros,
    survey: Survey,
    log: KafkaLog,
    pace: Pace,
    progress: Option<Progress>,
    counted: Counted,
}

impl Run<'_> {
    /// Sends all that are meant. Whether it came to the end.
    async fn all(
        &mut self,
        reader: &mut TopicReader,
        shutdown: &Shutdown,
    ) -> Result<bool, ComponentError> {
        let mut left = self.redrive.select.limit();
        if !self.redrive.dry_run {
            self.progress = Some(Progress::new(self.survey.meant().min(left), "records"));
        }
        while left > 0 {
            if !self.redrive.dry_run {
                self.pace.wait().await;
            }
            if shutdown.is_requested() {
                return Ok(false);
            }
            let records = batch(reader, self.pace.batch(BATCH_RECORDS)).await?;
            if records.is_empty() {
                break;
            }
            let mut letters = Vec::new();
            for record in records {
                if left == 0 {
                    break;
                }
                let Buried::Letter(one) = buried(record) else {
                    continue;
                };
                if !self.redrive.select.takes(&one) {
                    continue;
                }
                if self.survey.is_redriven(&one) && !self.redrive.again {
                    self.counted.before += 1;
                    continue;
                }
                left -= 1;
                letters.push(*one);
            }
            if self.redrive.dry_run {
                self.print(&letters)?;
            } else {
                self.pace.took(letters.len());
                self.send(letters).await?;
            }
        }
        Ok(true)
    }

    fn print(&mut self, letters: &[Letter]) -> std::io::Result<()> {
        for one in letters {
            say(&line(one, self.survey.is_redriven(one)))?;
            self.counted.sent += 1;
        }
        Ok(())
    }

    /// Sends these, and then says so behind them.
    async fn send(&mut self, letters: Vec<Letter>) -> Result<(), ComponentError> {
        let (log, kept_since) = (&self.log, self.kept_since);
        let letters = letters.into_iter();
        let sending = letters.map(|letter| send_one(log, letter, kept_since));
        let mut sending = stream::iter(sending).buffer_unordered(AT_ONCE);
        let mut sent: BTreeMap<Partition, Vec<Offset>> = BTreeMap::new();
        let mut failed = None;
        while let Some((one, outcome)) = sending.next().await {
            match outcome {
                Ok(()) => sent.entry(one.partition).or_default().push(one.offset),
                Err(PublishError::TooLarge) => {
                    self.counted.too_large += 1;
                    let line = format!("letter {} is too large for the log", place(&one));
                    if let Some(progress) = &self.progress {
                        progress.note(&line);
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(sending);
        for (partition, mut offsets) in sent {
            offsets.sort_unstable();
            insist(|| log.receipt(partition, &offsets)).await?;
            self.counted.sent += u64::try_from(offsets.len()).unwrap_or(0);
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let Counted {
            sent,
            before,
            too_large,
        } = self.counted;
        if let Some(progress) = &mut self.progress {
            let done = sent + before + too_large;
            progress.at(done, done);
        }
        Ok(())
    }
}

async fn send_one(
    log: &KafkaLog,
    letter: Letter,
    kept_since: Micros,
) -> (Letter, Result<(), PublishError>) {
    let sent = insist(|| log.redrive(&letter, kept_since)).await;
    (letter, sent)
}

/// Tries for a while. Sending twice what arrived the first time is harmless.
async fn insist<F>(attempt: impl Fn() -> F) -> Result<(), PublishError>
where
    F: Future<Output = Result<(), PublishError>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(PublishError::Full | PublishError::Unavailable(_)) if Instant::now() < until => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            ended => return ended,
        }
    }
}
