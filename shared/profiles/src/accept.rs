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
use crate::protocol::resolve::{Question, Resolved};
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

/// R2 to R6 for a target that was resolved. Chores belong to identity, the rest to traits: they do not wait for each other, the
/// answer waits for both.
///
/// # Errors
/// [`Trouble`]: the effect is unknown, nothing is undone, and sending the request again is safe.
pub(crate) async fn accept<E: Environment>(
    env: &E,
    resolved: &Resolved,
    write: Write<'_>,
    chores: Option<SharedChores>,
) -> Result<(), Trouble> {
    let stamp = stamp::stamp(env, resolved.seen)?;
    let chores = async {
        match chores {
            Some(chores) => chores.await,
            None => Ok(()),
        }
    };
    futures_util::try_join!(write_traits(env, resolved, write, stamp), chores)?;
    Ok(())
}

/// R3 to R5.
async fn write_traits<E: Environment>(
    env: &E,
    resolved: &Resolved,
    write: Write<'_>,
    stamp: Micros,
) -> Result<(), Trouble> {
    let at = |profile| ProfileKey {
        store: write.store.id,
        profile,
    };
    let target = at(resolved.target);
    let batch = |at, writes| CellBatch {
        at,
        time: stamp,
        writes,
    };
    let event = (!write.traits.is_empty()).then(|| encode(&write, target, stamp));
    let promoted = write.traits.iter().filter(|one| one.promoted);
    let mut promoted: Vec<CellWrite> = promoted
        .map(|one| CellWrite::Trait(one.definition, CellBytes::from(&one.write)))
        .collect();

    // R3. Clock row and promoted values are one batch of one partition. Where other partitions have to have the clock row too,
    // the values wait for all of them: a failed attempt must not be read where its retry does not find its stamp.
    let starts = if env.omits(Omission::ClocksOfStarts) {
        &[]
    } else {
        resolved.starts.as_slice()
    };
    let mut cells = vec![CellWrite::Clock];
    if starts.is_empty() || env.omits(Omission::ValuesAfterClocks) {
        cells.append(&mut promoted);
    }
    let mut clocks = vec![batch(target, cells)];
    let starts = starts.iter();
    clocks.extend(starts.map(|start| batch(at(*start), vec![CellWrite::Clock])));
    let values = (!promoted.is_empty()).then(|| batch(target, promoted));

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
    let values = async {
        match values {
            Some(values) => env.database().write(&[values], durability).await,
            None => Ok(()),
        }
    };
    if env.omits(Omission::ClockBeforeEvent) {
        publish.await?;
        env.database().write(&clocks, durability).await?;
        values.await?;
        return stamp::look_again(env, target, stamp).await;
    }
    env.database().write(&clocks, durability).await?;
    // Only now: the next request must learn of this stamp even while the event still waits in the log.
    let (published, written, looked) =
        futures_util::join!(publish, values, stamp::look_again(env, target, stamp));
    published?;
    written?;
    looked
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
