//! Stamps and clock rows: what makes the newer write win whatever the hosts' clocks say (`trait-order.md`).

use kith_domain::id::{ProfileId, ProfileKey, StoreId};
use kith_domain::time::Micros;

use crate::corrupt::not_older;
use crate::environment::{Environment, Omission};
use crate::error::Trouble;
use crate::ports::{
    CellBatch, CellRead, CellWrite, Clock, Database, Durability, Identity, NodeRead, Pointer,
    Select, Verdict, Verdicts,
};

/// The wall clock.
///
/// # Errors
/// [`Trouble::Clock`] while it cannot be trusted.
pub(crate) fn now<E: Environment>(env: &E) -> Result<Micros, Trouble> {
    Ok(env.clock().now()?)
}

/// R2: newer than every acknowledged write of whoever was met. Never clamped: that would break the order.
///
/// # Errors
/// [`Trouble::Clock`].
pub(crate) fn stamp<E: Environment>(env: &E, seen: Micros) -> Result<Micros, Trouble> {
    if env.omits(Omission::LaterThanSeen) {
        return Ok(now(env)?.max(seen));
    }
    Ok(now(env)?.max(seen.next()))
}

/// The clock row of a profile, as of a read that begins now.
async fn clock_of<D: Database>(database: &D, at: ProfileKey) -> Result<Micros, Trouble> {
    let read = CellRead {
        at,
        select: vec![Select::Clock],
    };
    let rows = database.read(&[read]).await?.pop().unwrap_or_default();
    Ok(rows.clock.unwrap_or(Micros::EPOCH))
}

/// Raises the clock row of a profile to `time`, if it is not there yet.
async fn raise_clock<D: Database>(
    database: &D,
    at: ProfileKey,
    time: Micros,
    durability: Durability,
) -> Result<(), Trouble> {
    let batch = CellBatch {
        at,
        time,
        writes: vec![CellWrite::Clock],
    };
    Ok(database.write(&[batch], durability).await?)
}

/// Section 3: before LINK, and after the pointer was acknowledged or read, the clock of `child` is carried up to `parent`.
/// `known` is the parent's clock as last read, if it was. Returns the child's clock, to be added to what was seen.
///
/// # Errors
/// [`Trouble`]; a copy whose link is never made is harmless.
pub(crate) async fn carry_clock<E: Environment>(
    env: &E,
    store: StoreId,
    child: ProfileId,
    parent: ProfileId,
    known: Option<Micros>,
) -> Result<Micros, Trouble> {
    let clock = clock_of(
        env.database(),
        ProfileKey {
            store,
            profile: child,
        },
    )
    .await?;
    if clock > known.unwrap_or(Micros::EPOCH) {
        let at = ProfileKey {
            store,
            profile: parent,
        };
        raise_clock(env.database(), at, clock, Durability::Ordered).await?;
    }
    Ok(clock)
}

/// R5, the second look: while the target has a pointer that is not void, its parent's clock row gets the stamp too. Either
/// whoever links reads the writer's clock row, or this look sees the pointer.
///
/// # Errors
/// [`Trouble`].
pub(crate) async fn look_again<E: Environment>(
    env: &E,
    target: ProfileKey,
    stamp: Micros,
) -> Result<(), Trouble> {
    if env.omits(Omission::SecondLook) {
        return Ok(());
    }
    let database = env.database();
    let mut at = target;
    let mut pointer = pointer_of(
        database,
        NodeRead {
            at,
            verdicts: Verdicts::None,
        },
    )
    .await?;
    while let Some(Pointer { parent, token }) = pointer {
        let child = at.profile;
        if parent >= child {
            return Err(not_older("look again", at.store, child, parent).into());
        }
        at.profile = parent;
        // The parent's node tells the verdict on this pointer and, in the same read, the parent's own pointer.
        let read = NodeRead {
            at,
            verdicts: Verdicts::Of(child, token),
        };
        let node = database.nodes(&[read]).await?.pop().unwrap_or_default();
        let verdict = super::find::verdict_of(&node, child, token);
        let is_passed_over = verdict.is_none() && env.omits(Omission::SecondLookUndecided);
        if verdict == Some(Verdict::Void) || is_passed_over {
            break;
        }
        raise_clock(database, at, stamp, Durability::Durable).await?;
        // What this parent points at is read after its clock row was written, as for the target itself.
        pointer = pointer_of(
            database,
            NodeRead {
                at,
                verdicts: Verdicts::None,
            },
        )
        .await?;
    }
    Ok(())
}

async fn pointer_of<D: Database>(database: &D, read: NodeRead) -> Result<Option<Pointer>, Trouble> {
    Ok(database
        .nodes(&[read])
        .await?
        .pop()
        .unwrap_or_default()
        .pointer)
}
