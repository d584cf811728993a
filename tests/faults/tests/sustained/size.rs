//! How large a run is.

use std::time::Duration;

/// The long form, which holds times and rates against what is asked of them, or the small one.
pub(crate) fn is_full() -> bool {
    std::env::var("KITH_SUSTAINED").is_ok_and(|text| text == "full")
}

/// What is chosen for the long form, and for the small one.
pub(crate) fn either<T>(full: T, small: T) -> T {
    if is_full() { full } else { small }
}

/// How long a load lasts, in seconds of the long and of the small form.
pub(crate) fn lasts(full: u64, small: u64) -> Duration {
    Duration::from_secs(chosen("KITH_SUSTAINED_SECONDS").unwrap_or_else(|| either(full, small)))
}

/// How many records there are, in the long and in the small form.
pub(crate) fn records(full: u64, small: u64) -> u64 {
    chosen("KITH_SUSTAINED_RECORDS").unwrap_or_else(|| either(full, small))
}

fn chosen(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
