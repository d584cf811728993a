//! SETTLE: decides a pointer that somebody left behind. Anyone may do it for anyone.

use bytes::Bytes;
use kith_domain::id::{ProfileId, ProfileKey, StoreId};

use super::attempt::{self, Answer};
use super::find::{Root, verdict_of};
use super::stamp;
use crate::corrupt::not_older;
use crate::environment::{Deadline, Environment, Omission};
use crate::error::Trouble;
use crate::ports::{Conditional, Database, Durability, NodeRead, Pointer, Verdict, Verdicts};

/// Returns the verdict on the pointer `pointer` of `child`, which it writes if nobody has yet.
///
/// # Errors
/// [`Trouble`]; whatever was sent is harmless.
pub(crate) async fn settle<E: Environment>(
    env: &E,
    store: StoreId,
    child: ProfileId,
    pointer: Pointer,
    evidence: Bytes,
    deadline: Deadline,
) -> Result<Verdict, Trouble> {
    if pointer.parent >= child {
        return Err(not_older("settle", store, child, pointer.parent).into());
    }
    let parent = ProfileKey {
        store,
        profile: pointer.parent,
    };
    let node = read(env.database(), parent, child, pointer).await?;
    if let Some(verdict) = verdict_of(&node, child, pointer.token) {
        return Ok(verdict);
    }
    let may_link = node.dead.is_none()
        && match node.pointer {
            None => true,
            // A parent that points further, or may, is no root or may stop being one.
            Some(above) if above.parent >= pointer.parent => {
                return Err(not_older("settle", store, pointer.parent, above.parent).into());
            }
            Some(above) => {
                let grandparent = ProfileKey {
                    store,
                    profile: above.parent,
                };
                let upper = read(env.database(), grandparent, pointer.parent, above).await?;
                verdict_of(&upper, pointer.parent, above.token) == Some(Verdict::Void)
            }
        };
    if may_link {
        let root = Root {
            id: pointer.parent,
            pointer: node.pointer,
        };
        if !env.omits(Omission::CarryClock) {
            stamp::carry_clock(env, store, child, root.id, None).await?;
        }
        let link = link(env, store, child, pointer, root, evidence)?;
        match attempt::send(env, &[link], Durability::Ordered, deadline).await?[0] {
            Answer::Won => return Ok(Verdict::Linked),
            Answer::Lost(standing) => {
                if let Some(verdict) = standing.verdict {
                    return Ok(verdict);
                }
            }
        }
    }
    if env.omits(Omission::Void) {
        return Ok(Verdict::Void);
    }
    let void = Conditional::Void {
        parent,
        child,
        token: pointer.token,
        decided_at: stamp::now(env)?,
    };
    match attempt::send(env, &[void], Durability::Ordered, deadline).await?[0] {
        Answer::Won => Ok(Verdict::Void),
        // Refused: there is a row. An engine that cannot say which is asked.
        Answer::Lost(standing) => match standing.verdict {
            Some(verdict) => Ok(verdict),
            None => {
                let node = read(env.database(), parent, child, pointer).await?;
                verdict_of(&node, child, pointer.token).ok_or(Trouble::Deadline {
                    during: "settling a pointer",
                })
            }
        },
    }
}

/// The LINK statement of `child` at `root`, with the root's own pointer as it was read.
///
/// # Errors
/// [`Trouble::Clock`].
pub(crate) fn link<E: Environment>(
    env: &E,
    store: StoreId,
    child: ProfileId,
    pointer: Pointer,
    root: Root,
    evidence: Bytes,
) -> Result<Conditional, Trouble> {
    Ok(Conditional::Link {
        parent: ProfileKey {
            store,
            profile: root.id,
        },
        child,
        token: pointer.token,
        expected: root.token(),
        decided_at: stamp::now(env)?,
        evidence,
    })
}

async fn read<D: Database>(
    database: &D,
    at: ProfileKey,
    child: ProfileId,
    pointer: Pointer,
) -> Result<crate::ports::Node, Trouble> {
    let read = NodeRead {
        at,
        verdicts: Verdicts::Of(child, pointer.token),
    };
    Ok(database.nodes(&[read]).await?.pop().unwrap_or_default())
}
