//! What a use case is built from: one engine a port, put together once, in `main`.

use std::time::Duration;

use crate::ports::{Clock, Database, Ids, TraitLog};
use crate::retries::RetryBudget;

/// The ports of a process. Use cases are generic over it, so that they run on any engine, and under a simulator.
pub trait Environment: Send + Sync + 'static {
    /// Identity, cells, listing and control.
    type Database: Database;
    /// The producing half of the trait log.
    type Log: TraitLog + 'static;
    /// Time.
    type Clock: Clock + 'static;
    /// Chance.
    type Ids: Ids + 'static;

    /// The database.
    fn database(&self) -> &Self::Database;
    /// The log.
    fn log(&self) -> &Self::Log;
    /// The clock.
    fn clock(&self) -> &Self::Clock;
    /// The ids.
    fn ids(&self) -> &Self::Ids;

    /// What may be sent again. Without one, everything, until the deadline.
    fn retries(&self) -> Option<&RetryBudget> {
        None
    }

    /// Whether a step is left out. Never, but in a simulation that shows that its checks would see it: the constant of
    /// every shipped environment, so that nothing of it is left in a build.
    fn omits(&self, _: Omission) -> bool {
        false
    }

    /// A deadline this far from now.
    fn deadline_in(&self, duration: Duration) -> Deadline {
        Deadline(self.clock().monotonic() + duration)
    }
}

/// A step of the protocols that a simulation leaves out on purpose (`identity-protocol.md` 8, `trait-order.md` 10). Each must
/// be caught; one that is not is either not needed or not tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Omission {
    /// An unknown outcome is taken for applied.
    Resend,
    /// Claims are taken to prove that their root still lives.
    LookAfterClaim,
    /// The younger root survives.
    EarliestSurvives,
    /// A kill does not settle the pointer first.
    SettleBeforeKill,
    /// A pointer that is refused stays without a verdict.
    Void,
    /// Pointers all have one token.
    FreshToken,
    /// Whatever is there counts as settled.
    Settled,
    /// A profile that is named is not listed.
    ListNamed,
    /// Limits are not looked at after a merge.
    EnforceAfterMerge,
    /// Limits count the rows of the root only.
    CountMembers,
    /// A writer does not look at its target again.
    SecondLook,
    /// A writer looks at linked pointers only.
    SecondLookUndecided,
    /// Clock rows are not carried up in a merge.
    CarryClock,
    /// Clock rows are carried up after the link.
    CarryBeforeLink,
    /// A stamp may equal one that was seen.
    LaterThanSeen,
    /// Only the clock row of the last profile that a find met counts.
    ClocksOfAllMet,
    /// The profiles that a find began at get no clock row.
    ClocksOfStarts,
    /// Promoted values do not wait for the clock rows of other partitions.
    ValuesAfterClocks,
    /// The event goes out before the clock row is acknowledged.
    ClockBeforeEvent,
    /// A link is marked as settled with the child alone, without the members below it.
    CopyMembers,
    /// Owners of shared values are collected before the request's own rows are there.
    ShareBeforeCollect,
    /// Only settled rows of shared values count.
    CountUnsettled,
    /// Owners of shared values are collected once, whatever is found.
    CollectTwice,
    /// Rows of shared values are added before the unique values are claimed.
    ClaimBeforeShare,
    /// Whoever has no unique value adds rows whatever has changed since it collected.
    ShareAsRead,
    /// A target whose own pointer has no verdict is linked to.
    SettleBeforeLink,
    /// A request that loses its round leaves the pointers that it made as they are.
    SettleOwn,
    /// A hint is written before the links that it skips are settled.
    HintAfterCopies,
    /// After an unknown outcome a release goes for whatever claim is there by then.
    StopAfterUnknown,
}

/// The plain [`Environment`]: its parts.
#[derive(Debug, Clone)]
pub struct Parts<D, L, C, I> {
    /// The database.
    pub database: D,
    /// The log.
    pub log: L,
    /// The clock.
    pub clock: C,
    /// The ids.
    pub ids: I,
    /// What may be sent again.
    pub retries: RetryBudget,
}

impl<D, L, C, I> Environment for Parts<D, L, C, I>
where
    D: Database,
    L: TraitLog + 'static,
    C: Clock + 'static,
    I: Ids + 'static,
{
    type Database = D;
    type Log = L;
    type Clock = C;
    type Ids = I;

    fn database(&self) -> &D {
        &self.database
    }

    fn log(&self) -> &L {
        &self.log
    }

    fn clock(&self) -> &C {
        &self.clock
    }

    fn ids(&self) -> &I {
        &self.ids
    }

    fn retries(&self) -> Option<&RetryBudget> {
        Some(&self.retries)
    }
}

/// When a request must have been answered, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Duration);

impl Deadline {
    /// How long there is still; zero once it has passed.
    pub fn remaining(self, clock: &impl Clock) -> Duration {
        self.0.saturating_sub(clock.monotonic())
    }

    /// Whether it has passed.
    pub fn has_passed(self, clock: &impl Clock) -> bool {
        self.remaining(clock).is_zero()
    }
}
