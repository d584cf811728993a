//! Lookup: who has this identifier?

use std::collections::BTreeSet;

use kith_domain::id::{ClaimId, ProfileId};
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;

use crate::Profiles;
use crate::environment::Environment;
use crate::error::Trouble;
use crate::ports::{Identity, OwnerRows, OwnersRead, Select};
use crate::protocol::find::find_roots;
use crate::read::canonical;

/// Profiles in an answer at most (`memory-api.md` 6.7).
pub const PROFILES_MAX: usize = 100;

impl<E: Environment> Profiles<E> {
    /// The canonical profiles that have an identifier, in order, the first 100; empty if it is free.
    ///
    /// A claim whose identifier row is not there yet is nobody's, too: its request is not acknowledged, and a looked-up id
    /// must be readable (`identity-protocol.md` 5). Both tables are asked: a value stays where it was written when its type
    /// becomes unique, or is it no longer.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn lookup(
        &self,
        store: &StoreRecord,
        identifier: Identifier,
    ) -> Result<Vec<ProfileId>, Trouble> {
        let database = self.env.database();
        let key = store.claim_secret.claim_key(&identifier);
        let read = OwnersRead {
            key,
            rows: OwnerRows::All,
        };
        let (keys, reads) = ([key], [read]);
        let (claims, owners) =
            futures_util::try_join!(database.claims(&keys), database.owners(&reads))?;
        let claimed = claims.into_iter().flatten();
        let mut rows: Vec<(ProfileId, ClaimId)> = claimed
            .filter_map(|claim| Some((claim.profile?, claim.id)))
            .collect();
        let shared = owners.into_iter().flat_map(|owners| owners.rows);
        rows.extend(
            shared
                .filter(|row| !row.released)
                .map(|row| (row.profile, row.id)),
        );
        rows.sort_unstable();
        let mut profiles: BTreeSet<ProfileId> = BTreeSet::new();
        // A value may have more owners than an answer names: the oldest first, and no more than it takes.
        for some in rows.chunks(PROFILES_MAX) {
            let starts = some.iter().map(|(owner, claim)| {
                let (id_type, value) = (identifier.id_type.clone(), identifier.value.clone());
                (*owner, vec![Select::Ident(id_type, value, *claim)])
            });
            let mut found = find_roots(database, store.id, starts.collect()).await?;
            found.retain(|found| !found.rows.idents.is_empty());
            profiles.extend(canonical(&found));
            if profiles.len() >= PROFILES_MAX {
                break;
            }
        }
        Ok(profiles.into_iter().take(PROFILES_MAX).collect())
    }
}
