//! How far a command is: a bar on a terminal, a line now and then elsewhere. On standard error, so that what is printed can
//! be used.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::command::note;

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
const STYLE: &str = "{bar:40} {percent:>3} %  {msg}  {elapsed} ({eta} left)";

/// How far it is.
pub(crate) struct Progress {
    records: u64,
    began: Instant,
    form: Form,
}

enum Form {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Of so many records.
    pub(crate) fn new(records: u64) -> Self {
        let began = Instant::now();
        let form = if stderr().is_terminal() {
            let bar = ProgressBar::new(records);
            if let Ok(style) = ProgressStyle::with_template(STYLE) {
                bar.set_style(style);
            }
            Form::Bar(bar)
        } else {
            Form::Lines { last: began }
        };
        Self {
            records,
            began,
            form,
        }
    }

    /// So many records are done.
    pub(crate) fn at(&mut self, done: u64) {
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(format!("{done} records"));
            }
            Form::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let percent = done.saturating_mul(100) / self.records.max(1);
                note(&format!("{done} records, {} %", percent.min(100)));
            }
            Form::Lines { .. } => {}
        }
    }

    /// Says a line beside it.
    pub(crate) fn note(&self, line: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| note(line)),
            Form::Lines { .. } => note(line),
        }
    }

    /// It is over; how long it took.
    pub(crate) fn finish(&self) -> Duration {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
        self.began.elapsed()
    }
}
