//! The table of faults that every release must survive: one line a row, from the run itself.
//!
//! `docs/reliability.md` is made from these lines.

use anyhow::{Result, ensure};

/// Whether everything is run, as `make faults` does.
#[must_use]
pub fn is_full() -> bool {
    std::env::var("KITH_FAULTS").is_ok_and(|text| text == "full")
}

/// Whether a row is left to `make faults`; says so.
#[expect(
    clippy::print_stdout,
    reason = "a row that is skipped is part of a run's result"
)]
#[must_use]
pub fn is_skipped(number: u8) -> bool {
    if !is_full() {
        println!("row {number:02}: skipped, KITH_FAULTS=full runs it");
    }
    !is_full()
}

/// Says in one line what a row did and saw: how many faults, by whose count they are confirmed, and what came of them.
///
/// # Errors
/// When nothing was injected: the row shows nothing then.
#[expect(
    clippy::print_stdout,
    reason = "the figures of a run are part of its result"
)]
pub fn report(number: u8, injected: u64, confirmed_by: &str, seen: &str) -> Result<()> {
    ensure!(injected > 0, "row {number:02}: no fault was injected");
    println!("row {number:02}: {injected} faults injected, confirmed by {confirmed_by}; {seen}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_a_fault_fails() {
        report(1, 0, "nobody", "nothing").unwrap_err();
        report(1, 1, "somebody", "something").unwrap();
    }
}
