//! What a worker shows of itself beside its lag: how full it is, and what it waits for.

use kith_runtime::metrics::names;
use metrics::gauge;

use crate::budget::Budget;
use crate::pulse::WaitingFor;

/// Shows what is in flight beside what may be.
#[expect(
    clippy::cast_precision_loss,
    reason = "for a gauge, where the last digits of a petabyte do not matter"
)]
pub(crate) fn fill(budget: &Budget) {
    let (held, limits) = (budget.held(), budget.limits());
    gauge!(names::WORKER_IN_FLIGHT_RECORDS).set(held.records as f64);
    gauge!(names::WORKER_IN_FLIGHT_RECORDS_MAX).set(limits.records as f64);
    gauge!(names::WORKER_IN_FLIGHT_BYTES).set(held.bytes as f64);
    gauge!(names::WORKER_IN_FLIGHT_BYTES_MAX).set(limits.bytes as f64);
}

/// Shows what is waited for, and that nothing else is.
pub(crate) fn waiting(for_what: Option<WaitingFor>) {
    for dependency in WaitingFor::ALL {
        let waits = for_what == Some(dependency);
        gauge!(names::WORKER_WAITING, "dependency" => dependency.label())
            .set(f64::from(u8::from(waits)));
    }
}
