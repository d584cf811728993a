//! Who is in a store when it is measured: a pure function from a number to a person, so that a run can be repeated and every
//! answer can be checked without keeping a million ids.
//!
//! Of eight neighbours half are live, two were merged (one of them into the other, which was merged then), one is deleted
//! with its purge still outstanding, and one is deleted and purged. Those deleted have a mark, those merged a pointer; a listing
//! keeps a row of everybody, since neither a merge nor the purge of a person takes it away.

use kith_domain::id::ProfileId;
use uuid::Uuid;

/// People of a pattern.
pub const PATTERN: u64 = 8;

/// The first millisecond of a month of a listing in CQL, so that a million are in one month; ten million are all born by now.
const BORN_MS: u64 = 20_130 * 24 * 60 * 60 * 1_000;
/// One new person every two seconds: a million in 23 days.
const APART_MS: u64 = 2_000;

/// What became of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Lives, and is listed.
    Live,
    /// Was merged into the profile of this person.
    MergedInto(u64),
    /// Was deleted; its rows are there.
    Dead,
    /// Was deleted; its cells are gone, and its claims are free.
    Purged,
}

/// What became of person `n`.
#[must_use]
pub fn fate(n: u64) -> Fate {
    match n % PATTERN {
        1 | 2 => Fate::MergedInto(n - 1),
        4 => Fate::Dead,
        6 => Fate::Purged,
        _ => Fate::Live,
    }
}

/// The people that were merged into person `n`: first those that point at it, then those below.
#[must_use]
pub fn merged_into(n: u64) -> &'static [u64] {
    match n % PATTERN {
        0 => &[1, 2],
        1 => &[1],
        _ => &[],
    }
}

/// The profile of person `n`. Ids are in the order of the numbers.
#[must_use]
pub fn profile(n: u64) -> ProfileId {
    let time = u128::from(BORN_MS + n * APART_MS) << 80;
    let chance = u128::from(mixed(n, 0));
    let version = (0x7000 | (chance >> 52)) << 64;
    let variant = (0b10 << 62) | (chance & (u128::MAX >> 66));
    ProfileId::from_uuid(Uuid::from_u128(time | version | variant))
}

/// The e-mail address of person `n`, in its normal form.
#[must_use]
pub fn email(n: u64) -> String {
    format!("person-{n}@example.com")
}

/// An internal id of person `n`: one for each use.
#[must_use]
pub fn internal(n: u64, which: u64) -> Uuid {
    Uuid::from_u64_pair(mixed(n, which), mixed(n, which + 0x100))
}

/// Everybody of `profiles` who is listed, oldest first.
pub fn listed(profiles: u64) -> impl Iterator<Item = ProfileId> {
    (0..profiles)
        .filter(|n| fate(*n) == Fate::Live)
        .map(profile)
}

/// Bits that look like chance (SplitMix64).
fn mixed(n: u64, which: u64) -> u64 {
    let seed = n.wrapping_mul(1 << 10).wrapping_add(which);
    let mut bits = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn half_of_them_are_merged_or_deleted() {
        let live = (0..8_000).filter(|n| fate(*n) == Fate::Live).count();
        assert_eq!(live, 4_000);
        assert_eq!(listed(8_000).count(), 4_000);
    }

    #[test]
    fn ids_are_distinct_and_in_the_order_of_the_numbers() {
        let ids: Vec<ProfileId> = (0..10_000).map(profile).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        let uuid = ids[7].as_uuid();
        assert_eq!((uuid.get_version_num(), uuid.as_bytes()[8] >> 6), (7, 0b10));
        let internal: BTreeSet<Uuid> = (0..1_000)
            .flat_map(|n| [internal(n, 1), internal(n, 2)])
            .collect();
        assert_eq!(internal.len(), 2_000);
    }

    #[test]
    fn a_million_are_in_one_month_of_a_listing() {
        let month_ms = 30 * 24 * 60 * 60 * 1_000;
        assert_eq!(BORN_MS % month_ms, 0);
        assert!(1_000_000 * APART_MS < month_ms);
    }

    #[test]
    fn whoever_was_merged_is_below_somebody_older() {
        for n in 0..PATTERN {
            if let Fate::MergedInto(parent) = fate(n) {
                assert!(parent < n);
                let below = merged_into(parent).iter().map(|more| parent + more);
                assert_eq!(below.into_iter().next(), Some(n));
            }
        }
    }
}
