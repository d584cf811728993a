//! Create: resolve in one flight with whoever waits for the same identifiers, then accept the traits.

use std::sync::Arc;

use kith_domain::body::WriteSet;
use kith_domain::id::{ProfileId, RequestId};
use kith_domain::store::StoreRecord;
use tracing::Instrument;

use crate::Profiles;
use crate::accept::{SharedChores, Write, accept, share};
use crate::environment::{Deadline, Environment};
use crate::error::Trouble;
use crate::flights::FlightKey;
use crate::protocol::resolve::{Question, Resolution, Resolved, resolve};

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
    chores: Option<SharedChores>,
}

impl<E: Environment> Profiles<E> {
    /// Creates, finds or merges; returns when identity is durable, and the traits are durable in the log.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown, nothing is undone, and sending the request again is safe.
    pub async fn create(&self, create: Create) -> Result<Accepted, Trouble> {
        let landed = self.resolve_together(&create).await?;
        let write = Write {
            store: &create.store,
            request: create.request,
            traits: &create.writes.writes,
        };
        accept(&*self.env, &landed.resolved, write, landed.chores).await?;
        let resolution = if landed.leader == create.request {
            landed.resolved.resolution
        } else {
            Resolution::Found
        };
        metrics::counter!("kith_resolve_total", "outcome" => resolution.as_str()).increment(1);
        tracing::Span::current().record("kith.resolve.outcome", resolution.as_str());
        Ok(Accepted {
            profile: landed.resolved.target,
            resolution,
        })
    }

    /// Resolves in one flight with whoever waits for the same identifiers.
    async fn resolve_together(&self, create: &Create) -> Result<Landed, Trouble> {
        let (secret, settings) = (&create.store.claim_secret, &create.store.settings);
        let identifiers = &create.writes.identifiers;
        let matches = identifiers
            .iter()
            .any(|one| settings.rule_of(&one.id_type).is_some());
        let keys = identifiers
            .iter()
            .map(|one| secret.claim_key(one))
            .collect();
        let key = FlightKey::new(keys, create.store.settings_version);
        loop {
            let question = Question {
                store: Arc::clone(&create.store),
                identifiers: identifiers.clone(),
                at: None,
                exclusive: false,
                request: create.request,
                deadline: create.deadline,
            };
            let env = Arc::clone(&self.env);
            let span = tracing::debug_span!("resolve", kith.identifiers = identifiers.len());
            let work = fly(env, question).instrument(span);
            // Without a type that matches, equal identifiers say nothing: each request is a person of its own.
            if !matches {
                return work.await;
            }
            match self.flights.join(key.clone(), work).await {
                // The deadline of whoever opened the flight, not necessarily mine.
                Err(Trouble::Deadline { .. }) if !create.deadline.has_passed(self.env.clock()) => {}
                landed => return landed,
            }
        }
    }
}

async fn fly<E: Environment>(env: Arc<E>, question: Question) -> Result<Landed, Trouble> {
    let mut resolved = resolve(&*env, &question).await?;
    let leader = question.request;
    let seen = resolved.seen;
    let chores = resolved
        .chores
        .take()
        .map(|chores| share(env, question, chores, seen));
    Ok(Landed {
        resolved,
        leader,
        chores,
    })
}
