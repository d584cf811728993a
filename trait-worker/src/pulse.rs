//! What a worker says of itself while it works.

use std::fmt;

/// A sign of life, a few times a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// What the worker waits for, if it cannot go on without.
    pub waiting_for: Option<WaitingFor>,
}

/// A dependency that is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// The database.
    Database,
    /// The dead letters.
    DeadLetters,
    /// The log.
    Log,
}

impl WaitingFor {
    /// Each of them.
    pub(crate) const ALL: [Self; 3] = [Self::Database, Self::DeadLetters, Self::Log];

    /// Its name in metrics, and where the operator asks.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::DeadLetters => "dead_letters",
            Self::Log => "log",
        }
    }
}

/// Who is told.
#[derive(Default)]
pub(crate) struct OnPulse(Option<Box<dyn Fn(Pulse) + Send + Sync>>);

impl OnPulse {
    pub(crate) fn new(listener: impl Fn(Pulse) + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(listener)))
    }

    pub(crate) fn tell(&self, pulse: Pulse) {
        if let Some(listener) = &self.0 {
            listener(pulse);
        }
    }
}

impl fmt::Debug for OnPulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnPulse").field(&self.0.is_some()).finish()
    }
}
