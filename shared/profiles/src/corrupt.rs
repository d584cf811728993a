//! Rows that no code of ours could have written: counted each time, told once, never followed.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use kith_domain::id::{ProfileId, StoreId};

use crate::error::PortError;

/// Rows that a process tells apart. Past that it tells no more of them, and the metric goes on counting.
const ROWS_MAX: usize = 1_000;

static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Whether this process has not told of this row yet, named by ids as in [`PortError::Corrupt`]. Whoever handles the error
/// asks, and tells it at the level of an error if so: a row is met by every request about its profile.
#[must_use]
pub fn is_first(row: &str) -> bool {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.len() < ROWS_MAX && !told.contains(row) && told.insert(row.to_owned())
}

/// A pointer that does not lead to an older profile: followed, it could lead in a circle.
pub(crate) fn not_older(
    operation: &'static str,
    store: StoreId,
    child: ProfileId,
    parent: ProfileId,
) -> PortError {
    let detail = format!("{child} of {store} points at {parent}, which is not older");
    corrupt(operation, "pointer", detail)
}

/// A link whose child does not point at the parent that has it.
pub(crate) fn not_pointing(
    operation: &'static str,
    store: StoreId,
    child: ProfileId,
    parent: ProfileId,
) -> PortError {
    let detail = format!("{child} of {store} is linked at {parent}, and does not point there");
    corrupt(operation, "link", detail)
}

fn corrupt(operation: &'static str, kind: &'static str, detail: String) -> PortError {
    metrics::counter!("kith_corrupt_rows_total", "kind" => kind).increment(1);
    PortError::Corrupt { operation, detail }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn every_row_met_is_counted_and_named_by_ids() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (store, profile) = (
            StoreId::from_uuid(Uuid::from_u128(1)),
            ProfileId::from_uuid(Uuid::from_u128(2)),
        );
        let error = metrics::with_local_recorder(&recorder, || {
            drop(not_older("find", store, profile, profile));
            drop(not_pointing("collect", store, profile, profile));
            not_older("find", store, profile, profile)
        });
        let counted = recorder.handle().render();
        for (kind, count) in [("pointer", 2), ("link", 1)] {
            let line = format!("kith_corrupt_rows_total{{kind=\"{kind}\"}} {count}");
            assert!(counted.contains(&line), "{counted}");
        }
        let told = error.to_string();
        assert!(told.contains(&profile.to_string()) && told.contains(&store.to_string()));
    }

    #[test]
    fn a_row_is_told_once_and_only_so_many_are_told_apart() {
        assert!(is_first("a"));
        assert!(!is_first("a"));
        let told = (0..2 * ROWS_MAX).filter(|row| is_first(&row.to_string()));
        assert_eq!(told.count(), ROWS_MAX - 1);
        assert!(!is_first("a") && !is_first("b"));
    }
}
