//! DELETE: one conditional step on the root, and the whole set is dead (`identity-protocol.md` 5).
//!
//! Its identifiers are free from then on, and every read ends at the mark. What the set had written stays where nobody reads
//! it; erasing that is garbage collection, asked for by an event once the set is dead. Whoever died between the two is
//! repeated by the caller, who then finds a dead profile with rows, and asks again.

use kith_domain::event::Scope;
use kith_domain::id::{DeleteId, ProfileKey};

use crate::Profiles;
use crate::change::Target;
use crate::environment::{Environment, Omission};
use crate::error::Trouble;
use crate::ports::{Conditional, Durability, Ids, TraitLog};
use crate::protocol::attempt;
use crate::protocol::evidence::evidence_of;
use crate::protocol::find::{End, Root, exists, find_all};
use crate::protocol::resolve::Question;
use crate::protocol::settle;
use crate::purge::purge_record;
use crate::read::Located;

impl<E: Environment> Profiles<E> {
    /// Deletes a profile with everybody who was merged into it.
    ///
    /// # Errors
    /// [`Trouble`]: the effect is unknown. Sending the request again may find the profile gone.
    pub async fn delete(&self, target: &Target) -> Result<Located<()>, Trouble> {
        let env = &*self.env;
        let store = target.store.id;
        let at = ProfileKey {
            store,
            profile: target.profile,
        };
        let mut tries = 0;
        loop {
            let starts = vec![(target.profile, Vec::new())];
            let found = find_all(env.database(), store, starts).await?.pop();
            let Some(found) = found else {
                return Ok(Located::Gone);
            };
            match found.end {
                End::Dead => {
                    if found.rows.clock.is_some() {
                        self.ask_for_purge(target).await?;
                    }
                    return Ok(Located::Gone);
                }
                End::Live(root) | End::Undecided(root) if root.id != target.profile => {
                    return Ok(Located::Moved(root.id));
                }
                End::Undecided(Root {
                    pointer: Some(pointer),
                    ..
                }) if !env.omits(Omission::SettleBeforeKill) => {
                    let evidence = evidence_of(&Question {
                        store: target.store.clone(),
                        identifiers: Vec::new(),
                        at: Some(target.profile),
                        exclusive: false,
                        request: target.request,
                        deadline: target.deadline,
                    });
                    settle::settle(
                        env,
                        store,
                        target.profile,
                        pointer,
                        evidence,
                        target.deadline,
                    )
                    .await?;
                    continue;
                }
                End::Live(root) | End::Undecided(root) => {
                    if !exists(env.database(), store, &found).await? {
                        return Ok(Located::Gone);
                    }
                    let kill = Conditional::Kill {
                        profile: at,
                        expected: root.token(),
                        id: DeleteId::from_uuid(env.ids().random()),
                    };
                    let answers =
                        attempt::send(env, &[kill], Durability::Durable, target.deadline).await?;
                    if answers[0].is_won() {
                        self.ask_for_purge(target).await?;
                        return Ok(Located::Here(()));
                    }
                }
            }
            // Dead by another hand, or moved meanwhile: look again.
            self.again(target, &mut tries).await?;
        }
    }

    async fn ask_for_purge(&self, target: &Target) -> Result<(), Trouble> {
        let record = purge_record(target.store.id, Scope::Set(target.profile), target.request);
        Ok(self.env.log().publish(record).await?)
    }
}
