//! Create: resolve, stamp, promoted traits, event, second look (`trait-order.md` 2).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use kith_domain::body::WriteSet;
use kith_domain::event::TraitEvent;
use kith_domain::id::{ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::Identifier;
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::CellBytes;
use tracing::Instrument;

use crate::Profiles;
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;
use crate::flights::FlightKey;
use crate::ports::{CellBatch, CellWrite, Cells, Durability, NewRecord, TraitLog};
use crate::protocol::resolve::{Question, Resolution, Resolved, do_chores, resolve};
use crate::protocol::stamp;

/// A create, parsed and valid, with at least one identifier.
#[derive(Debug, Clone)]
pub struct Create {
    /// The store, as the request was validated against it.
    pub store: Arc<StoreRecord>,
    /// What the body says.
    pub writes: WriteSet,
    /// The request.
    pub request: RequestId,
    /// When it must have been answered.
    pub deadline: Deadline,
}

/// The answer to a create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The canonical profile, new or existing.
    pub profile: ProfileId,
    /// How it came about.
    pub resolution: Resolution,
}

/// What a flight gives to each of its requests.
#[derive(Debug, Clone)]
pub(crate) struct Landed {
    resolved: Resolved,
    /// The request whose resolve this was.
    leader: RequestId,
    /// Step 8 of the resolve, done once for all.
    chores: Option<Shared<BoxFuture<'static, Result<(), Trouble>>>>,
}

impl<E: Environment> Profiles<E> {
    /// Creates, finds or merges; returns when identity is durable, and the traits are durable in the log.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown, nothing is undone, and sending the request again is safe.
    pub async fn create(&self, create: Create) -> Result<Accepted, Trouble> {
        let store = Arc::clone(&create.store);
        let landed = self.resolve_together(&create).await?;
        let target = ProfileKey {
            store: store.id,
            profile: landed.resolved.target,
        };
        let stamp = stamp::stamp(&*self.env, landed.resolved.seen)?;

        // Chores belong to identity, the rest to traits: they do not wait for each other, the answer waits for both.
        let traits = async {
            self.write_promoted(target, stamp, &create.writes).await?;
            // Only now: the next request must learn of this stamp even while the event still waits in the log.
            let event = encode(&create, target, stamp);
            let (published, looked) = futures_util::join!(
                self.env.log().publish(event),
                stamp::look_again(&*self.env, target, stamp)
            );
            published?;
            looked
        };
        let chores = async {
            match landed.chores {
                Some(chores) => chores.await,
                None => Ok(()),
            }
        };
        futures_util::try_join!(traits, chores)?;

        let resolution = if landed.leader == create.request {
            landed.resolved.resolution
        } else {
            Resolution::Found
        };
        metrics::counter!("kith_resolve_total", "outcome" => resolution.as_str()).increment(1);
        tracing::Span::current().record("kith.resolve.outcome", resolution.as_str());
        Ok(Accepted {
            profile: target.profile,
            resolution,
        })
    }

    /// Resolves in one flight with whoever waits for the same identifiers.
    async fn resolve_together(&self, create: &Create) -> Result<Landed, Trouble> {
        let secret = &create.store.claim_secret;
        let identifiers = &create.writes.identifiers;
        let keys = identifiers
            .iter()
            .map(|one: &Identifier| secret.claim_key(one))
            .collect();
        let key = FlightKey::new(keys, create.store.settings_version);
        loop {
            let question = Question {
                store: Arc::clone(&create.store),
                identifiers: identifiers.clone(),
                request: create.request,
                deadline: create.deadline,
            };
            let env = Arc::clone(&self.env);
            let span = tracing::info_span!("resolve", kith.identifiers = identifiers.len());
            let work = fly(env, question).instrument(span);
            match self.flights.join(key.clone(), work).await {
                // The deadline of whoever opened the flight, not necessarily mine.
                Err(Trouble::Deadline { .. }) if !create.deadline.has_passed(self.env.clock()) => {}
                landed => return landed,
            }
        }
    }

    /// R3: the clock row and the promoted values, in one batch under the stamp.
    async fn write_promoted(
        &self,
        target: ProfileKey,
        stamp: Micros,
        writes: &WriteSet,
    ) -> Result<(), Trouble> {
        let promoted = writes.writes.iter().filter(|one| one.promoted);
        let mut cells = vec![CellWrite::Clock];
        cells.extend(
            promoted.map(|one| CellWrite::Trait(one.definition, CellBytes::from(&one.write))),
        );
        let batch = CellBatch {
            at: target,
            time: stamp,
            writes: cells,
        };
        Ok(self
            .env
            .database()
            .write(&[batch], Durability::Ordered)
            .await?)
    }
}

async fn fly<E: Environment>(env: Arc<E>, question: Question) -> Result<Landed, Trouble> {
    let resolved = resolve(&*env, &question).await?;
    let leader = question.request;
    let chores = resolved.chores.clone().map(|chores| {
        let seen = resolved.seen;
        async move { do_chores(&*env, &question, &chores, seen).await }
            .in_current_span()
            .boxed()
            .shared()
    });
    Ok(Landed {
        resolved,
        leader,
        chores,
    })
}

/// R4: the event, with every trait of the request. Promoted values ride along under the same stamp: they change nothing,
/// and a rebuild of the cells from the log has them.
fn encode(create: &Create, target: ProfileKey, stamp: Micros) -> NewRecord {
    let traits = create.writes.writes.iter();
    let event = TraitEvent {
        store: target.store,
        profile: target.profile,
        stamp,
        request: create.request,
        schema_version: create.store.schema_version,
        traits: traits
            .map(|one| (one.definition, CellBytes::from(&one.write)))
            .collect(),
    };
    NewRecord {
        key: Bytes::copy_from_slice(target.profile.as_uuid().as_bytes()),
        payload: event.encode().into(),
        headers: Vec::new(),
    }
}
