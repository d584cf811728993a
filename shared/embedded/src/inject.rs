//! Faults on demand, for tests of what stands above: the conformance suite needs an engine that answers *unknown*.
//!
//! Always compiled, because switches for tests must not change what is shipped; without a call to
//! [`Embedded::inject`](crate::Embedded::inject) nothing here does anything.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kith_profiles::ports::Conditional;

/// A fault. Each happens once, to the next thing that it fits; several of a kind happen one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Injection {
    /// The next conditional statement is applied if its condition holds, and answered *unknown*.
    UnknownApplied,
    /// The next conditional statement is not applied, and answered *unknown*.
    UnknownDropped,
    /// The next conditional statement is answered *unknown*, and tried right after the conditional statement that follows it:
    /// the message that was still on its way.
    UnknownLate,
    /// The next group of writes waits this long before it is committed.
    Delay(Duration),
    /// The next sync of the journal fails, which ends the engine.
    SyncFails,
}

/// Faults that wait to happen.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Mutex<VecDeque<Injection>>,
    late: Mutex<Option<Conditional>>,
}

impl Faults {
    pub(crate) fn add(&self, injection: Injection) {
        self.lock().push_back(injection);
    }

    /// Keeps a statement for later. Gives back one that was kept before.
    pub(crate) fn postpone(&self, statement: Option<Conditional>) -> Option<Conditional> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut late, statement)
    }

    /// Takes the first fault that fits.
    pub(crate) fn take<T>(&self, fits: impl Fn(Injection) -> Option<T>) -> Option<T> {
        let mut faults = self.lock();
        let place = faults.iter().position(|fault| fits(*fault).is_some())?;
        faults.remove(place).and_then(fits)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Injection>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
