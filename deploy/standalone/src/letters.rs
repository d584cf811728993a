//! `dead-letters`: what was put aside, looked at and put into the log again.
//!
//! A process that serves has the data directory, so it is asked over its socket, as for a backup, and without one the command
//! opens the directory itself. What is printed is made here in both cases; a letter that is redriven and the note that it was are
//! one commit, so an interrupted redrive has done some of it whole. Content is personal data, and shown for one letter at a
//! time, when asked for.

use std::ops::ControlFlow;

use clap::{ArgMatches, Args, Command, FromArgMatches as _, Subcommand};
use kith_embedded::EmbeddedLog;
use kith_profiles::error::{PortError, PublishError};
use kith_profiles::letters::{Buried, Letter};
use tokio::runtime::Handle;
use trait_worker::letters::{List, Select, Show, Survey, details, line};

/// The command's name.
pub(crate) const NAME: &str = "dead-letters";
/// Letters that are read at once.
const PART: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Letters {
    /// Print the dead letters, one line each, with no content
    ///
    /// Tab separated: PARTITION:OFFSET of the letter, when it was put aside, the reason, what this version says of the record
    /// now (ok, or the reason), TOPIC:PARTITION:OFFSET where it was read, bytes of the key, bytes of the payload, how often it had
    /// been redriven before, and whether it was redriven since.
    List(List),
    /// Print what is known of one letter
    Show(Show),
    /// Put letters into the log again, as they were
    ///
    /// Letters that were redriven before are left out. May be interrupted and given again. A record that is still invalid comes back
    /// as a new letter, which says how often it was redriven.
    Redrive(Redrive),
}

/// What is put into the log again.
#[derive(Debug, Clone, Args)]
pub(crate) struct Redrive {
    #[command(flatten)]
    select: Select,
    /// Print what would be redriven, as `list` does, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Redrive letters that were redriven before, too
    #[arg(long)]
    again: bool,
}

/// Why the answer is not whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LettersError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] PortError),
    /// A letter was not taken; those before it were.
    #[error("letter {place}: {cause}")]
    Redrive {
        /// Which.
        place: String,
        /// Why.
        cause: PublishError,
    },
    /// There is no such letter.
    #[error("there is no letter {0}")]
    Missing(String),
    /// Nobody listens any more.
    #[error("nobody listens any more")]
    Unheard,
}

/// The subcommand.
pub(crate) fn command() -> Command {
    Letters::augment_subcommands(Command::new(NAME))
        .about("Look at records that were put aside, or put them into the log again; beside a running kith, too")
        .subcommand_required(true)
        .arg_required_else_help(true)
}

/// What the command line asks for, if it is this.
pub(crate) fn chosen(matches: &ArgMatches) -> Option<Letters> {
    let matches = matches.subcommand_matches(NAME)?;
    // Its subcommands were checked while it was parsed.
    Letters::from_arg_matches(matches).ok()
}

/// Answers, a line at a time, until nobody listens. Blocks.
pub(crate) fn answer(
    asked: &Letters,
    log: &EmbeddedLog,
    runtime: &Handle,
    mut say: impl FnMut(String) -> ControlFlow<()>,
) -> Result<(), LettersError> {
    let mut say = move |line: String| match say(line) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(LettersError::Unheard),
    };
    match asked {
        Letters::List(list) => {
            let survey = survey(&list.select, log)?;
            let meant = |letter: &Letter| list.select.takes(letter);
            some(log, list.select.limit(), meant, |letter| {
                say(list.print(letter, survey.is_redriven(letter)))
            })
        }
        Letters::Show(show) => {
            let survey = survey(&Select::default(), log)?;
            let mut found = false;
            let meant = |letter: &Letter| (letter.partition, letter.offset) == show.letter;
            some(log, 1, meant, |letter| {
                found = true;
                let lines = details(letter, survey.is_redriven(letter), show.bytes);
                lines.into_iter().try_for_each(&mut say)
            })?;
            let (partition, offset) = show.letter;
            let place = format!("{}:{}", partition.0, offset.as_i64());
            if found {
                Ok(())
            } else {
                Err(LettersError::Missing(place))
            }
        }
        Letters::Redrive(asked) => redrive(asked, log, runtime, say),
    }
}

fn redrive(
    asked: &Redrive,
    log: &EmbeddedLog,
    runtime: &Handle,
    mut say: impl FnMut(String) -> Result<(), LettersError>,
) -> Result<(), LettersError> {
    let survey = survey(&asked.select, log)?;
    let (mut done, mut before) = (0_u64, 0_u64);
    let meant = |letter: &Letter| {
        let is_meant = asked.select.takes(letter);
        let is_left_out = is_meant && !asked.again && survey.is_redriven(letter);
        before += u64::from(is_left_out);
        is_meant && !is_left_out
    };
    some(log, asked.select.limit(), meant, |letter| {
        if asked.dry_run {
            say(line(letter, survey.is_redriven(letter)))?;
        } else {
            let redriven = runtime.block_on(log.redrive(letter));
            redriven.map_err(|cause| LettersError::Redrive {
                place: trait_worker::letters::place(letter),
                cause,
            })?;
        }
        done += 1;
        Ok(())
    })?;
    say(if asked.dry_run {
        format!("{done} letters would be redriven, {before} were redriven before")
    } else {
        format!("{done} letters redriven, {before} were redriven before")
    })
}

/// What is known once everything was read.
fn survey(select: &Select, log: &EmbeddedLog) -> Result<Survey, LettersError> {
    let mut survey = Survey::default();
    each(log, u64::MAX, |buried| {
        match buried {
            Buried::Letter(letter) => survey.letter(&letter, select),
            Buried::Receipt(partition, letters) => survey.redriven(partition, letters),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(survey)
}

/// Does something with letters that are meant, so many at most.
fn some(
    log: &EmbeddedLog,
    limit: u64,
    mut meant: impl FnMut(&Letter) -> bool,
    mut with: impl FnMut(&Letter) -> Result<(), LettersError>,
) -> Result<(), LettersError> {
    // What is put aside meanwhile is not this command's: a letter that is redriven may come back.
    let end = end(log)?;
    let mut left = limit;
    each(log, end, |buried| {
        if let Buried::Letter(letter) = buried
            && left > 0
            && meant(&letter)
        {
            left -= 1;
            with(&letter)?;
        }
        Ok(if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })
}

/// The number behind the last of what is there.
fn end(log: &EmbeddedLog) -> Result<u64, LettersError> {
    let mut end = 0;
    loop {
        let part = log.letters(end, PART)?;
        let Some(last) = part.last() else {
            return Ok(end);
        };
        end = last.number + 1;
    }
}

/// Everything before a number, oldest first.
fn each(
    log: &EmbeddedLog,
    end: u64,
    mut with: impl FnMut(Buried) -> Result<ControlFlow<()>, LettersError>,
) -> Result<(), LettersError> {
    let mut from = 0;
    loop {
        let part = log.letters(from, PART)?;
        let Some(last) = part.last() else {
            return Ok(());
        };
        from = last.number + 1;
        for one in part {
            if one.number >= end || with(one.buried())?.is_break() {
                return Ok(());
            }
        }
    }
}
