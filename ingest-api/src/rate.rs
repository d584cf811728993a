//! How many requests an account may send to a store: a bucket for each pair, in this process alone, and all of an account's
//! keys fill the same. Requests that are about no store fill one of the account's own.
//!
//! The pair is taken as the path has it, before anything is read: what is refused costs nothing, and a store of somebody else
//! is limited like one that does not exist. Callers may make ids up, so the buckets are bounded; what is least used goes
//! first, and starts anew when it comes back.

use std::convert::Infallible;
use std::sync::Arc;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use kith_domain::id::{AccountSid, StoreId};
use kith_runtime::metrics::names;
use metrics::counter;
use quick_cache::sync::Cache;

use crate::error::ApiError;

/// Buckets at most: a few megabytes.
const BUCKETS_MAX: usize = 1 << 14;

type Key = (AccountSid, Option<StoreId>);
type Bucket<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The buckets of a process.
pub(crate) struct RateLimit<C: Clock = DefaultClock> {
    quota: Quota,
    clock: C,
    buckets: Cache<Key, Arc<Bucket<C>>>,
}

impl RateLimit {
    /// Each account may send this much to each store.
    pub(crate) fn new(quota: Quota) -> Self {
        Self::with_clock(quota, DefaultClock::default())
    }
}

impl<C: Clock + Clone> RateLimit<C> {
    fn with_clock(quota: Quota, clock: C) -> Self {
        Self {
            quota,
            clock,
            buckets: Cache::new(BUCKETS_MAX),
        }
    }

    /// Counts a request, unless it is one too many.
    ///
    /// # Errors
    /// [`ApiError::RateLimited`].
    pub(crate) fn check(
        &self,
        account: &AccountSid,
        store: Option<StoreId>,
    ) -> Result<(), ApiError> {
        let made = || RateLimiter::direct_with_clock(self.quota, self.clock.clone());
        let Ok(bucket) = self
            .buckets
            .get_or_insert_with(&(account.clone(), store), || {
                Ok::<_, Infallible>(Arc::new(made()))
            });
        bucket.check().map_err(|refused| {
            counter!(names::HTTP_REFUSED, "reason" => "rate_limit").increment(1);
            ApiError::RateLimited {
                retry_after: refused.wait_time_from(self.clock.now()),
            }
        })
    }
}

/// The buckets are many, and of other people's accounts.
impl<C: Clock> std::fmt::Debug for RateLimit<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RateLimit").field(&self.quota).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;

    fn limit(per_second: u32, burst: u32) -> (RateLimit<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let [per_second, burst] = [per_second, burst].map(|n| NonZeroU32::new(n).unwrap());
        let quota = Quota::per_second(per_second).allow_burst(burst);
        (RateLimit::with_clock(quota, clock.clone()), clock)
    }

    fn account(number: u8) -> AccountSid {
        format!("AC{number:032}").parse().unwrap()
    }

    fn store(number: u128) -> Option<StoreId> {
        Some(StoreId::from_uuid(Uuid::from_u128(number)))
    }

    fn refused(
        limit: &RateLimit<FakeRelativeClock>,
        key: (u8, Option<StoreId>),
    ) -> Option<Duration> {
        match limit.check(&account(key.0), key.1) {
            Ok(()) => None,
            Err(ApiError::RateLimited { retry_after }) => Some(retry_after),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_one_too_many_is_told_when_it_would_not_be() {
        let (limit, clock) = limit(2, 3);
        let key = (1, store(1));
        for _ in 0..3 {
            assert_eq!(refused(&limit, key), None);
        }
        let after = refused(&limit, key).unwrap();
        assert!(after > Duration::ZERO && after <= Duration::from_millis(500));
        // Asking again does not put it off.
        assert_eq!(refused(&limit, key), Some(after));
        clock.advance(after);
        assert_eq!(refused(&limit, key), None);
        assert!(refused(&limit, key).is_some());
        clock.advance(Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(refused(&limit, key), None);
        }
        assert!(refused(&limit, key).is_some());
    }

    #[test]
    fn every_account_has_a_bucket_of_its_own_at_every_store_and_beside_them() {
        let (limit, _) = limit(1, 1);
        for key in [(1, store(1)), (1, store(2)), (2, store(1)), (1, None)] {
            assert_eq!(refused(&limit, key), None, "{key:?}");
            assert!(refused(&limit, key).is_some(), "{key:?}");
        }
    }

    #[test]
    fn made_up_stores_take_no_more_memory_than_there_is_for_them() {
        let (limit, _) = limit(1, 1);
        for number in 0..3 * BUCKETS_MAX as u128 {
            assert_eq!(refused(&limit, (1, store(number))), None);
        }
        assert!(
            limit.buckets.len() <= BUCKETS_MAX,
            "{}",
            limit.buckets.len()
        );
    }
}
