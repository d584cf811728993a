//! The profiles of a store, by id.
//!
//! A store may have a hundred million profiles, and the newest are written at once: so a listing is cut into buckets by the
//! time in the id, and a bucket into shards. A directory says which buckets there are, so that years without profiles cost
//! nothing, and over how many shards each is spread: that was fixed when the bucket was first used, since a row must be
//! found again where it was put.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use kith_domain::id::{ProfileId, ProfileKey, StoreId};
use kith_profiles::error::PortError;
use kith_profiles::ports::{Durability, Listing, Order};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::outcome::Decision;
use crate::send::corrupt;
use crate::session::Cql;

/// A bucket holds the profiles of this long. A month, if every month had thirty days: nobody reads the number, and no
/// calendar has to agree with it.
const BUCKET_MICROS: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// Shards of a bucket from now on; buckets that are there keep theirs.
const SHARDS: i16 = 8;

/// Buckets remembered by a process. One is in use by each store at a time.
const REMEMBERED_MAX: usize = 4_096;

/// Before every id, and after every id: bounds of a page that starts at an end. A blob sorts by bytes, then by length.
const BEFORE_ALL: &[u8] = &[];
const AFTER_ALL: &[u8] = &[0xff; 17];

type Bucket = (StoreId, i32);

/// What a process remembers of the directory. It never changes, so what is remembered is right.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<HashMap<Bucket, Arc<OnceCell<i16>>>>);

impl Buckets {
    /// The place of a bucket's shard count. All who want it share one cell, and whoever is first fills it: when a new
    /// bucket begins, a process sends one conditional statement and not one a request.
    fn cell(&self, bucket: Bucket) -> Arc<OnceCell<i16>> {
        // A panic cannot leave the map half changed.
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() >= REMEMBERED_MAX && !cells.contains_key(&bucket) {
            cells.clear();
        }
        Arc::clone(cells.entry(bucket).or_default())
    }
}

impl Listing for Cql {
    async fn add(&self, profile: ProfileKey, _: Durability) -> Result<(), PortError> {
        let ProfileKey { store, profile } = profile;
        let bucket = bucket_of(profile);
        let shards = self.shards(store, bucket).await?;
        let id = profile.as_uuid().into_bytes();
        // The row never changes, so its time may be the id's own: a repetition writes the very same cell, and can never
        // bring back what a later removal took.
        let stamp = profile.created_at().as_micros();
        let shard = shard_of(profile, shards);
        let values = (store.as_uuid(), bucket, shard, id.as_slice(), stamp);
        self.send(&self.0.statements.listing_put, values)
            .await
            .map(|_| ())
    }

    async fn remove(&self, profiles: &[ProfileKey], _: Durability) -> Result<(), PortError> {
        let removals = profiles.iter().map(|at| async {
            let bucket = bucket_of(at.profile);
            let shard = shard_of(at.profile, self.shards(at.store, bucket).await?);
            let id = at.profile.as_uuid().into_bytes();
            let stamp = at.profile.created_at().as_micros();
            let values = (stamp, at.store.as_uuid(), bucket, shard, id.as_slice());
            self.send(&self.0.statements.listing_drop, values)
                .await
                .map(|_| ())
        });
        try_join_all(removals).await.map(|_| ())
    }

    async fn page(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        let mut page = Vec::new();
        for (bucket, shards) in self.buckets(store, order, after).await? {
            if page.len() >= limit {
                break;
            }
            let wanted = limit - page.len();
            // All that is wanted might stand in one shard, so each is asked for all of it: ids are small, pages are short,
            // and the round is the same.
            let parts =
                (0..shards).map(|shard| self.shard(store, bucket, shard, order, after, wanted));
            let mut ids = try_join_all(parts).await?.concat();
            ids.sort_unstable();
            if order == Order::Descending {
                ids.reverse();
            }
            ids.truncate(wanted);
            page.append(&mut ids);
        }
        Ok(page)
    }
}

impl Cql {
    /// Over how many shards a bucket is spread; opens the bucket if nobody did.
    async fn shards(&self, store: StoreId, bucket: i32) -> Result<i16, PortError> {
        let cell = self.0.buckets.cell((store, bucket));
        cell.get_or_try_init(|| self.open_bucket(store, bucket))
            .await
            .copied()
    }

    async fn open_bucket(&self, store: StoreId, bucket: i32) -> Result<i16, PortError> {
        let statements = &self.0.statements;
        let key = (store.as_uuid(), bucket);
        if let Some((shards,)) = self.one::<(i16,)>(&statements.bucket_read, key).await? {
            return Ok(shards);
        }
        match self
            .attempt(&statements.bucket_open, (SHARDS, store.as_uuid(), bucket))
            .await
        {
            Decision::Applied => Ok(SHARDS),
            Decision::Refused(answer) => answer
                .smallint("shards")
                .ok_or_else(|| corrupt(&statements.bucket_open.text, format!("{store}: {bucket}"))),
            Decision::Unknown => Err(PortError::Unavailable {
                operation: statements.bucket_open.text.label,
                cause: None,
            }),
        }
    }

    /// The buckets that a page may touch, in its order, with their shards.
    async fn buckets(
        &self,
        store: StoreId,
        order: Order,
        after: Option<ProfileId>,
    ) -> Result<Vec<(i32, i16)>, PortError> {
        let mut buckets = Vec::new();
        self.pages(&self.0.statements.bucket_all, (store.as_uuid(),), |page| {
            for row in page.rows::<(i32, i16)>()? {
                buckets.push(row?);
            }
            Ok(())
        })
        .await?;
        let after = after.map(bucket_of);
        match order {
            Order::Ascending => {
                buckets.retain(|(bucket, _)| after.is_none_or(|after| *bucket >= after))
            }
            Order::Descending => {
                buckets.retain(|(bucket, _)| after.is_none_or(|after| *bucket <= after));
                buckets.reverse();
            }
        }
        Ok(buckets)
    }

    async fn shard(
        &self,
        store: StoreId,
        bucket: i32,
        shard: i16,
        order: Order,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<ProfileId>, PortError> {
        let statements = &self.0.statements;
        let (prepared, end) = match order {
            Order::Ascending => (&statements.listing_up, BEFORE_ALL),
            Order::Descending => (&statements.listing_down, AFTER_ALL),
        };
        let after = after.map(|id| id.as_uuid().into_bytes());
        let bound = after.as_ref().map_or(end, <[u8; 16]>::as_slice);
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let mut ids = Vec::new();
        self.pages(
            prepared,
            (store.as_uuid(), bucket, shard, bound, limit),
            |page| {
                for row in page.rows::<(&[u8],)>()? {
                    let (id,) = row?;
                    ids.push(ProfileId::from_uuid(Uuid::from_slice(id)?));
                }
                Ok(())
            },
        )
        .await?;
        Ok(ids)
    }
}

fn bucket_of(profile: ProfileId) -> i32 {
    let bucket = profile.created_at().as_micros().div_euclid(BUCKET_MICROS);
    // 48 bits of milliseconds are 108,594 buckets.
    i32::try_from(bucket).unwrap_or(i32::MAX)
}

/// The last bits of an id are random, and the same for ever.
fn shard_of(profile: ProfileId, shards: i16) -> i16 {
    let shards = u128::try_from(shards.max(1)).unwrap_or(1);
    i16::try_from(profile.as_uuid().as_u128() % shards).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64, rest: u128) -> ProfileId {
        ProfileId::from_uuid(Uuid::from_u128((u128::from(millis) << 80) | rest))
    }

    #[test]
    fn buckets_follow_the_order_of_ids() {
        let month = u64::try_from(BUCKET_MICROS / 1_000).unwrap();
        assert_eq!(bucket_of(id(0, 5)), 0);
        assert_eq!(bucket_of(id(month - 1, 0)), 0);
        assert_eq!(bucket_of(id(month, 0)), 1);
        assert_eq!(bucket_of(id(0xffff_ffff_ffff, 0)), 108_593);
    }

    #[test]
    fn every_id_has_a_shard_of_its_bucket() {
        let shards: std::collections::BTreeSet<_> =
            (0..100).map(|n| shard_of(id(7, n), SHARDS)).collect();
        assert_eq!(
            shards.into_iter().collect::<Vec<_>>(),
            (0..SHARDS).collect::<Vec<_>>()
        );
        assert_eq!(shard_of(id(7, 3), 1), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let buckets = Buckets::default();
        let store = StoreId::from_uuid(Uuid::nil());
        for bucket in 0..10_000 {
            buckets.cell((store, bucket));
            assert!(buckets.0.lock().unwrap().len() <= REMEMBERED_MAX);
        }
    }
}
