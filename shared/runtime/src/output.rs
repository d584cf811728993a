//! What commands say to whoever gave them.

use std::io::{self, Write as _};

#[cfg(feature = "progress")]
mod progress;

#[cfg(feature = "progress")]
pub use progress::Progress;

/// Prints a line for whoever gave the command.
///
/// # Errors
/// Whoever read has hung up.
pub fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Says a line beside what is printed.
#[expect(clippy::print_stderr, reason = "for whoever gave the command")]
pub fn note(line: &str) {
    eprintln!("{line}");
}
