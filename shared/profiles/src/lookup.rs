//! Lookup: who has this identifier?

use kith_domain::id::ProfileId;
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;

use crate::Profiles;
use crate::environment::Environment;
use crate::error::Trouble;
use crate::ports::{Identity, Select};
use crate::protocol::find::find_all;
use crate::read::canonical;

impl<E: Environment> Profiles<E> {
    /// The canonical profiles that have an identifier, in order; empty if it is free.
    ///
    /// A claim whose identifier row is not there yet is nobody's, too: its request is not acknowledged, and a looked-up id
    /// must be readable (`identity-protocol.md` 5).
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
        let claim = database.claims(&[key]).await?.pop().flatten();
        let Some((claim, owner)) = claim.and_then(|claim| Some((claim, claim.profile?))) else {
            return Ok(Vec::new());
        };
        let row = Select::Ident(identifier.id_type, identifier.value, claim.id);
        let mut found = find_all(database, store.id, vec![(owner, vec![row])]).await?;
        found.retain(|found| found.rows.idents.iter().any(|row| row.claim == claim.id));
        Ok(canonical(&found).into_iter().collect())
    }
}
