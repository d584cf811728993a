//! How a process ends.

use std::io::Write as _;
use std::process::ExitCode;

use crate::config::{ConfigError, EXIT_CONFIG, Refused};

/// The exit code when a component failed or ended early.
pub const EXIT_FAILURE: u8 = 1;
/// The exit code when a component panicked: `EX_SOFTWARE` of `sysexits.h`. A bug.
pub const EXIT_PANIC: u8 = 70;
/// The exit code when the grace period was too short: `EX_TEMPFAIL`. Accepted work may have been cut off; nothing that
/// was acknowledged is lost.
pub const EXIT_GRACE_EXCEEDED: u8 = 75;
/// To this the number of a second signal is added, as a shell does for a process that a signal ended: 130 or 143.
pub const EXIT_SIGNAL: u8 = 128;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As it was told to, with everything drained: 0.
    Clean,
    /// A component failed or ended early: [`EXIT_FAILURE`].
    Failed,
    /// A component panicked: [`EXIT_PANIC`].
    Panicked,
    /// Draining took longer than the grace period: [`EXIT_GRACE_EXCEEDED`].
    GraceExceeded,
    /// A second signal, of this number, ended it at once: [`EXIT_SIGNAL`] and the number.
    Signalled(i32),
    /// It was set up wrongly and did not start: [`EXIT_CONFIG`].
    Misconfigured,
}

impl Exit {
    /// The exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Failed => EXIT_FAILURE,
            Self::Panicked => EXIT_PANIC,
            Self::GraceExceeded => EXIT_GRACE_EXCEEDED,
            Self::Signalled(number) => {
                EXIT_SIGNAL.saturating_add(u8::try_from(number).unwrap_or(0))
            }
            Self::Misconfigured => EXIT_CONFIG,
        }
    }

    /// The end of a process in which this happened first and the other later. The first trouble is the cause of what
    /// follows, save that a panic is always told: it is a bug to be fixed.
    #[must_use]
    pub(super) fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Clean, later) => later,
            (_, Self::Panicked) => Self::Panicked,
            (first, _) => first,
        }
    }

    /// Says on standard error, in one line, why a process does not start.
    #[expect(
        clippy::print_stderr,
        reason = "the log is set up by the settings that are wrong"
    )]
    #[must_use]
    pub fn misconfigured(error: &ConfigError) -> Self {
        eprintln!("{error}");
        Self::Misconfigured
    }
}

impl Exit {
    /// Says what a command line gave instead of a run: the help on standard output, or what is wrong on standard error.
    #[must_use]
    pub fn refused(refused: Refused) -> Self {
        match refused {
            Refused::Wrong(error) => Self::misconfigured(&error),
            Refused::Asked(text) => match std::io::stdout().write_all(text.as_bytes()) {
                Ok(()) => Self::Clean,
                // Whoever asked has hung up.
                Err(_) => Self::Failed,
            },
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_code_of_its_own() {
        let codes = [
            (Exit::Clean, 0),
            (Exit::Failed, 1),
            (Exit::Panicked, 70),
            (Exit::GraceExceeded, 75),
            (Exit::Misconfigured, 78),
            (Exit::Signalled(2), 130),
            (Exit::Signalled(15), 143),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code);
        }
    }

    #[test]
    fn the_first_trouble_is_told_but_a_panic_always() {
        assert_eq!(Exit::Clean.and(Exit::GraceExceeded), Exit::GraceExceeded);
        assert_eq!(Exit::Failed.and(Exit::GraceExceeded), Exit::Failed);
        assert_eq!(Exit::Failed.and(Exit::Panicked), Exit::Panicked);
        assert_eq!(Exit::Panicked.and(Exit::Signalled(15)), Exit::Panicked);
        assert_eq!(Exit::Clean.and(Exit::Clean), Exit::Clean);
    }
}
