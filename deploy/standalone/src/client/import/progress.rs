//! How far an import is: a bar on a terminal, a line now and then elsewhere. On standard error, so that what is printed can
//! be used.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::client::output::note;

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
const STYLE: &str = "{bar:40} {percent:>3} %  {msg}  {elapsed} ({eta} left)";

/// How far it is.
pub(super) struct Progress {
    bytes: u64,
    began: Instant,
    form: Form,
}

enum Form {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Of a file of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let began = Instant::now();
        let form = if stderr().is_terminal() {
            let bar = ProgressBar::new(bytes);
            if let Ok(style) = ProgressStyle::with_template(STYLE) {
                bar.set_style(style);
            }
            Form::Bar(bar)
        } else {
            Form::Lines { last: began }
        };
        Self { bytes, began, form }
    }

    /// So many bytes are read, and so many rows are done.
    pub(super) fn at(&mut self, bytes: u64, rows: u64) {
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_position(bytes);
                bar.set_message(format!("{rows} rows"));
            }
            Form::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let percent = bytes.saturating_mul(100) / self.bytes.max(1);
                note(&format!("{rows} rows, {} %", percent.min(100)));
            }
            Form::Lines { .. } => {}
        }
    }

    /// Says a line beside it.
    pub(super) fn note(&self, line: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| note(line)),
            Form::Lines { .. } => note(line),
        }
    }

    /// It is over; how long it took.
    pub(super) fn finish(self) -> Duration {
        if let Form::Bar(bar) = self.form {
            bar.finish_and_clear();
        }
        self.began.elapsed()
    }
}
