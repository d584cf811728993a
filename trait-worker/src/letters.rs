//! What the commands about dead letters have in common, whatever the log: which letters are meant, and how they are shown.
//!
//! Pure. No line has content of a record, unless it was asked for.

use clap::Args;
use kith_profiles::ports::{Offset, Partition};

mod parse;
mod select;
mod view;

pub use parse::{position, time};
pub use select::{Select, Survey};
pub use view::{details, line, object, place};

/// Which letters are printed, and how.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Which.
    #[command(flatten)]
    pub select: Select,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// Which letter is printed, and how much of it.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// The letter, as `list` names it
    #[arg(value_name = "PARTITION:OFFSET", value_parser = position)]
    pub letter: (Partition, Offset),
    /// Print key, payload and headers, too. They are personal data
    #[arg(long)]
    pub bytes: bool,
}

impl List {
    /// A letter as it is printed.
    #[must_use]
    pub fn print(&self, letter: &kith_profiles::letters::Letter, is_redriven: bool) -> String {
        if self.json {
            object(letter, is_redriven).to_string()
        } else {
            line(letter, is_redriven)
        }
    }
}
