//! The use cases of Kith, over ports: no vendor type, no runtime call, so that a simulator runs this code as it stands.
//!
//! Start reading at [`create`] for the way a request goes, at the `protocol` folder for identity, and at [`ports`] for what
//! an engine owes.

use std::sync::Arc;

use kith_domain::id::{AccountSid, StoreId};
use kith_domain::store::StoreRecord;

mod accept;
pub mod apply;
pub mod bulk;
pub mod catalog;
pub mod change;
pub mod corrupt;
pub mod create;
pub mod definitions;
mod delete;
pub mod environment;
pub mod error;
pub mod explain;
mod flights;
pub mod letters;
pub mod lookup;
pub mod ports;
mod protocol;
pub mod purge;
pub mod read;
pub mod retries;

use catalog::Catalog;
use environment::Environment;
use error::Trouble;
use flights::Flights;
pub use protocol::resolve::Resolution;

/// The use cases of one process, and what its requests share: the stores it knows and the flights under way.
#[derive(Debug)]
pub struct Profiles<E: Environment> {
    env: Arc<E>,
    catalog: Catalog,
    flights: Flights<Result<create::Landed, Trouble>>,
}

impl<E: Environment> Profiles<E> {
    /// Use cases over these ports.
    #[must_use]
    pub fn new(env: E) -> Self {
        Self {
            env: Arc::new(env),
            catalog: Catalog::default(),
            flights: Flights::new(),
        }
    }

    /// The ports.
    #[must_use]
    pub fn environment(&self) -> &E {
        &self.env
    }

    /// A store of this account, as it was at most [`catalog::FRESH_FOR`] ago. `None` alike for a store of somebody else and
    /// for one that does not exist.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn store(
        &self,
        account: &AccountSid,
        store: StoreId,
    ) -> Result<Option<Arc<StoreRecord>>, Trouble> {
        Ok(self.catalog.store(&*self.env, account, store).await?)
    }
}
