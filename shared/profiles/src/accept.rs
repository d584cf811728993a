//! Accepting writes for a profile that was resolved: stamp, promoted traits, event, second look (`trait-order.md` 2), and the
//! chores of the resolve beside them.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use kith_domain::body::TraitWriteOf;
use kith_domain::event::TraitEvent;
use kith_domain::id::{ProfileKey, RequestId};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use kith_domain::traits::CellBytes;
use tracing::Instrument;

use crate::environment::{Environment, Omission};
use crate::error::Trouble;
use crate::ports::{CellBatch, CellWrite, Cells, Durability, NewRecord, TraitLog};
use crate::protocol::chores::{Chores, do_chores};
use crate::protocol::resolve::Question;
use crate::protocol::stamp;

/// Step 8 of a resolve, done once for everybody who waits for it.
pub(crate) type SharedChores = Shared<BoxFuture<'static, Result<(), Trouble>>>;

/// Chores that nobody has begun: whoever waits drives them.
pub(crate) fn share<E: Environment>(
    env: Arc<E>,
    question: Question,
    chores: Chores,
    seen: Micros,
) -> SharedChores {
    async move { do_chores(&*env, &question, &chores, seen).await }
        .in_current_span()
        .boxed()
        .shared()
}

/// What is written for a profile, and by whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) store: &'a StoreRecord,
    pub(crate) request: RequestId,
    /// None at all: an identifier came without a trait, and only the person's clock goes on.
    pub(crate) traits: &'a [TraitWriteOf],
}

/// R2 to R6 for a target. Chores belong to identity, the rest to traits: they do not wait for each other, the answer waits
/// for both.
///
/// # Errors
/// [`Trouble`]: the effect is unknown, nothing is undone, and sending the request again is safe.
pub(crate) async fn accept<E: Environment>(
    env: &E,
    target: ProfileKey,
    seen: Micros,
    write: Write<'_>,
    chores: Option<SharedChores>,
) -> Result<(), Trouble> {
    let stamp = stamp::stamp(env, seen)?;
    let traits = async {
        let event = (!write.traits.is_empty()).then(|| encode(&write, target, stamp));
        // Without a publish after it, this is the write that waits for the disk.
        let durability = match event {
            Some(_) => Durability::Ordered,
            None => Durability::Durable,
        };
        let publish = async {
            match event {
                Some(event) => env.log().publish(event).await,
                None => Ok(()),
            }
        };
        if env.omits(Omission::ClockBeforeEvent) {
            publish.await?;
            write_promoted(env, target, stamp, write.traits, durability).await?;
            return stamp::look_again(env, target, stamp).await;
        }
        write_promoted(env, target, stamp, write.traits, durability).await?;
        // Only now: the next request must learn of this stamp even while the event still waits in the log.
        let (published, looked) =
            futures_util::join!(publish, stamp::look_again(env, target, stamp));
        published?;
        looked
    };
    let chores = async {
        match chores {
            Some(chores) => chores.await,
            None => Ok(()),
        }
    };
    futures_util::try_join!(traits, chores)?;
    Ok(())
}

/// R3: the clock row and the promoted values, in one batch under the stamp.
async fn write_promoted<E: Environment>(
    env: &E,
    target: ProfileKey,
    stamp: Micros,
    traits: &[TraitWriteOf],
    durability: Durability,
) -> Result<(), Trouble> {
    let promoted = traits.iter().filter(|one| one.promoted);
    let mut cells = vec![CellWrite::Clock];
    cells.extend(promoted.map(|one| CellWrite::Trait(one.definition, CellBytes::from(&one.write))));
    let batch = CellBatch {
        at: target,
        time: stamp,
        writes: cells,
    };
    Ok(env.database().write(&[batch], durability).await?)
}

/// R4: the event, with every trait of the request. Promoted values ride along under the same stamp: they change nothing,
/// and a rebuild of the cells from the log has them.
fn encode(write: &Write<'_>, target: ProfileKey, stamp: Micros) -> NewRecord {
    let traits = write.traits.iter();
    let event = TraitEvent {
        store: target.store,
        profile: target.profile,
        stamp,
        request: write.request,
        schema_version: write.store.schema_version,
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
