//! Why a command did not do what it was asked for, and the exit code that says so.

use std::process::ExitCode;

/// A file that is not what it should be: `EX_DATAERR` of `sysexits.h`. For an import also: rows were refused, the others are
/// in.
pub(crate) const EXIT_DATA: u8 = 65;
/// A file that cannot be read: `EX_NOINPUT`.
pub(crate) const EXIT_NO_INPUT: u8 = 66;
/// Nobody answers, or only to say that it cannot be done now: `EX_UNAVAILABLE`. What was sent may have been done; the same
/// command may be given again.
pub(crate) const EXIT_UNAVAILABLE: u8 = 69;

/// Why a command failed. No text holds a value of a person.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A flag, a variable or an argument is wrong.
    #[error("{0}")]
    Wrong(String),
    /// The API refused the request.
    #[error("{status} (code {code}): {message}{}", shown(.details))]
    Refused {
        /// Of HTTP.
        status: u16,
        /// The contract's code.
        code: i64,
        /// The contract's message.
        message: String,
        /// What is wrong in which field, where the answer says so.
        details: Vec<String>,
    },
    /// There is no such thing, and nothing is wrong with that.
    #[error("{0}")]
    Nothing(String),
    /// There was no answer, or one that it cannot be done now.
    #[error("{0}")]
    Unavailable(String),
    /// A file cannot be read.
    #[error("{0}")]
    NoInput(String),
    /// A file is not what it should be.
    #[error("{0}")]
    Data(String),
    /// Whoever reads what is printed has hung up.
    #[error("cannot print: {0}")]
    Output(#[from] std::io::Error),
}

fn shown(details: &[String]) -> String {
    // The message tells the first one itself.
    let more = details.iter().skip(1);
    more.map(|detail| format!("\n  {detail}")).collect()
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Wrong(_) => kith_runtime::config::EXIT_CONFIG,
            Self::Refused { .. } | Self::Nothing(_) | Self::Output(_) => {
                kith_runtime::lifecycle::EXIT_FAILURE
            }
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::NoInput(_) => EXIT_NO_INPUT,
            Self::Data(_) => EXIT_DATA,
        }
    }

    /// Says on standard error what is wrong; the exit code.
    #[expect(clippy::print_stderr, reason = "for whoever gave the command")]
    pub(crate) fn told(&self) -> ExitCode {
        eprintln!("{self}");
        self.code().into()
    }
}
