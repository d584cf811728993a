//! How far a command is: a bar on a terminal, a line now and then elsewhere. On standard error, so that what is printed can
//! be used.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::note;

/// Between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
const STYLE: &str = "{bar:40} {percent:>3} %  {msg}  {elapsed} ({eta} left)";

/// How far it is.
#[derive(Debug)]
pub struct Progress {
    all: u64,
    what: &'static str,
    began: Instant,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Bar(ProgressBar),
    Lines { last: Instant },
}

impl Progress {
    /// Of so many bytes or pieces, in which so many of `what` are done: `rows`, `records`.
    #[must_use]
    pub fn new(all: u64, what: &'static str) -> Self {
        let began = Instant::now();
        let form = if stderr().is_terminal() {
            let bar = ProgressBar::new(all);
            if let Ok(style) = ProgressStyle::with_template(STYLE) {
                bar.set_style(style);
            }
            Form::Bar(bar)
        } else {
            Form::Lines { last: began }
        };
        Self {
            all,
            what,
            began,
            form,
        }
    }

    /// It is at this place of all, and so many are done.
    pub fn at(&mut self, place: u64, done: u64) {
        let what = self.what;
        match &mut self.form {
            Form::Bar(bar) => {
                bar.set_position(place);
                bar.set_message(format!("{done} {what}"));
            }
            Form::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let percent = place.saturating_mul(100) / self.all.max(1);
                note(&format!("{done} {what}, {} %", percent.min(100)));
            }
            Form::Lines { .. } => {}
        }
    }

    /// Says a line beside it.
    pub fn note(&self, line: &str) {
        match &self.form {
            Form::Bar(bar) => bar.suspend(|| note(line)),
            Form::Lines { .. } => note(line),
        }
    }

    /// It is over; how long it took.
    #[must_use]
    pub fn finish(&self) -> Duration {
        if let Form::Bar(bar) = &self.form {
            bar.finish_and_clear();
        }
        self.began.elapsed()
    }
}
