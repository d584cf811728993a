//! Numbers for whoever runs a command.

use std::time::Duration;

use kith_embedded::{Checked, Copied};

use crate::say;

/// What was counted, one line each.
pub(super) fn counts(checked: &Checked) {
    let lines = [
        (checked.stores, "stores"),
        (checked.profiles, "profiles"),
        (checked.links, "of them merged"),
        (checked.claims, "identifiers"),
        (checked.traits, "traits"),
        (checked.records, "records in the log"),
        (checked.dead_letters, "dead letters"),
        (checked.rows, "rows in all"),
    ];
    for (count, what) in lines {
        say(&format!("  {count:>12} {what}"));
    }
}

/// How much was copied.
pub(super) fn amount(copied: Copied) -> String {
    // Tenths, without a fraction that a float would round in its own way.
    let tenths = copied.bytes / (1024 * 1024 / 10);
    format!("{} rows, {}.{} MiB", copied.rows, tenths / 10, tenths % 10)
}

/// A time in seconds.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_rows_and_tenths_of_a_mebibyte() {
        let mut copied = Copied::default();
        assert_eq!(amount(copied), "0 rows, 0.0 MiB");
        copied.rows = 7;
        copied.bytes = 1024 * 1024 * 3 / 2;
        assert_eq!(amount(copied), "7 rows, 1.5 MiB");
        assert_eq!(seconds(Duration::from_millis(1234)), "1.2 s");
    }
}
