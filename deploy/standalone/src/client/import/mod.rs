//! `kith import`: profiles of a CSV file, through Bulk.
//!
//! The file is read as it is sent, so memory does not depend on its size. Every row is a create, which may be repeated: an
//! import that was interrupted is started again from the beginning, and ends with the same profiles.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use kith_runtime::output::{Progress, say};
use tokio::time::{Instant, sleep_until};

use self::batch::{Batch, Busy};
use self::deliver::{Delivered, Pace, Refused, deliver};
use self::records::{Records, Unread};
use self::row::{Columns, Row};
use super::failure::Failure;
use super::http::Http;
use super::schema::Schema;

mod batch;
mod deliver;
mod records;
mod row;

/// What is imported, and how.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// A CSV file in UTF-8; its header names traits, such as Contact.email
    file: PathBuf,
    /// Rows sent together, at most
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Batches under way at once
    #[arg(long, value_name = "BATCHES", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    in_flight: u8,
    /// Seconds to go on trying while the service does not answer, or says that it cannot
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    patience: u32,
}

/// Imports the file.
pub(crate) async fn run(import: &Import, http: &Http, json: bool) -> Result<(), Failure> {
    let path = import.file.display();
    let no_input = |error| Failure::NoInput(format!("{path}: {error}"));
    let file = File::open(&import.file).map_err(no_input)?;
    let bytes = file.metadata().map_err(no_input)?.len();
    let schema = Schema::fetch(http).await?;
    let data = |reason: String| Failure::Data(format!("{path}: {reason}"));
    let mut records = Records::new(file).map_err(|unread| data(unread.to_string()))?;
    let columns = match records.next() {
        Ok(Some((_, header))) => Columns::read(header, &schema).map_err(data)?,
        Ok(None) => return Err(data("is empty".to_owned())),
        Err(Unread::Io(error)) => return Err(no_input(error)),
        Err(too_long @ Unread::TooLong { .. }) => return Err(data(too_long.to_string())),
    };
    let mut rows = Rows {
        records,
        columns,
        next: None,
        ended: None,
        told: Told::new(bytes),
    };
    let sent = send(import, http, &mut rows).await;
    let Rows { ended, told, .. } = rows;
    let Told {
        imported,
        refused,
        progress,
    } = told;
    let took = progress.finish();
    let rows = imported + refused;
    if json {
        say(&format!(
            "{{\"rows\":{rows},\"imported\":{imported},\"refused\":{refused}}}"
        ))?;
    } else {
        let rate = rate(imported, took);
        let seconds = took.as_secs_f64();
        say(&format!(
            "{rows} rows: {imported} imported, {refused} refused, in {seconds:.1} s ({rate} a second)"
        ))?;
    }
    sent?;
    match ended {
        Some(Unread::Io(error)) => Err(no_input(error)),
        Some(too_long @ Unread::TooLong { .. }) => {
            Err(data(format!("{too_long} Nothing after it was read")))
        }
        None if refused > 0 => Err(data(format!("{refused} of {rows} rows were refused"))),
        None => Ok(()),
    }
}

fn rate(rows: u64, took: Duration) -> u64 {
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    rows.saturating_mul(1_000) / millis.max(1)
}

/// Sends all rows, several batches at once, but never two with an identifier in common.
async fn send(import: &Import, http: &Http, rows: &mut Rows) -> Result<(), Failure> {
    let pace = Pace::new(usize::from(import.batch));
    let patience = Duration::from_secs(import.patience.into());
    let mut busy = Busy::default();
    let mut under_way = FuturesUnordered::new();
    // Rows that are in, of which an earlier try may still write.
    let mut settling: Vec<(Instant, Vec<u64>)> = Vec::new();
    loop {
        let batch = rows.batch(pace.rows());
        let keys = batch.keys();
        let is_last = batch.is_empty();
        loop {
            settling.retain(|(at, keys)| {
                let settles = *at > Instant::now();
                if !settles {
                    busy.end(keys);
                }
                settles
            });
            // After the last batch, all that is under way is waited for.
            let has_room = if is_last {
                under_way.is_empty()
            } else {
                under_way.len() < usize::from(import.in_flight)
            };
            if has_room && !busy.meets(&keys) {
                break;
            }
            let first = settling.iter().map(|(at, _)| *at).min();
            let settled = async {
                match first {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((keys, delivered)) = under_way.next() => {
                    let delivered: Delivered = delivered?;
                    match delivered.settles_at {
                        Some(at) => settling.push((at, keys)),
                        None => busy.end(&keys),
                    }
                    rows.delivered(delivered);
                }
                () = settled => {}
            }
        }
        if is_last {
            return Ok(());
        }
        busy.begin(&keys);
        let delivery = deliver(http, batch, &pace, patience);
        under_way.push(async move { (keys, delivery.await) });
    }
}

/// The rows of the file that can be sent.
struct Rows {
    records: Records<File>,
    columns: Columns,
    /// Read, and not in a batch yet.
    next: Option<Row>,
    /// Why nothing more is read.
    ended: Option<Unread>,
    told: Told,
}

impl Rows {
    /// The next rows; none at the end of the file.
    fn batch(&mut self, rows_max: usize) -> Batch {
        let mut batch = Batch::default();
        while let Some(row) = self.next.take().or_else(|| self.read()) {
            if !batch.takes(&row, rows_max) {
                self.next = Some(row);
                break;
            }
            batch.push(row);
        }
        batch
    }

    /// Reads up to the next row that can be sent, and tells of those that cannot.
    fn read(&mut self) -> Option<Row> {
        while self.ended.is_none() {
            match self.records.next() {
                Ok(None) => return None,
                Ok(Some((line, record))) => match self.columns.row(line, record) {
                    Ok(row) => return Some(row),
                    Err(reason) => self.told.refuse(&Refused { line, reason }),
                },
                Err(unread) => self.ended = Some(unread),
            }
        }
        None
    }

    fn delivered(&mut self, delivered: Delivered) {
        self.told.imported += delivered.accepted;
        for refused in &delivered.refused {
            self.told.refuse(refused);
        }
        let (bytes, told) = (self.records.bytes(), &mut self.told);
        told.progress.at(bytes, told.imported + told.refused);
    }
}

/// What is told of the import.
struct Told {
    imported: u64,
    refused: u64,
    progress: Progress,
}

impl Told {
    fn new(bytes: u64) -> Self {
        Self {
            imported: 0,
            refused: 0,
            progress: Progress::new(bytes, "rows"),
        }
    }

    fn refuse(&mut self, refused: &Refused) {
        self.refused += 1;
        self.progress
            .note(&format!("line {}: {}", refused.line, refused.reason));
    }
}
