//! Owners of values that several may own: conditional statements on one partition a value, and their reads.

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::join_all;
use kith_domain::id::{ClaimId, OwnersStamp, ProfileId, RequestId};
use kith_domain::identifier::ClaimKey;
use kith_profiles::ports::{
    Conditional, Durability, Identity, Outcome, OwnerRows, Owners, OwnersRead, SharedClaim,
};

use super::identity::{applied, claim, claim_key, one, refused};
use super::{DatabaseFixture, at, claim_id, profile, uuid};

fn stamp() -> OwnersStamp {
    OwnersStamp::from_uuid(uuid())
}

/// A first row of an owner, whatever the others are.
fn share(key: ClaimKey, profile: ProfileId) -> (Conditional, ClaimId) {
    share_as(key, profile, None, None)
}

fn share_as(
    key: ClaimKey,
    profile: ProfileId,
    expected: Option<ClaimId>,
    as_read: Option<Option<OwnersStamp>>,
) -> (Conditional, ClaimId) {
    let id = claim_id();
    let statement = Conditional::Share {
        key,
        profile,
        expected,
        as_read,
        id,
        stamp: stamp(),
        added_at: at(7),
        place: 3,
        by_request: RequestId::from_uuid(uuid()),
    };
    (statement, id)
}

fn unshare(key: ClaimKey, profile: ProfileId, expected: ClaimId) -> (Conditional, ClaimId) {
    let id = claim_id();
    let statement = Conditional::Unshare {
        key,
        profile,
        expected,
        id,
        stamp: stamp(),
        by_request: RequestId::from_uuid(uuid()),
    };
    (statement, id)
}

/// All owners, in the order of their ids.
async fn all(database: &impl Identity, key: ClaimKey) -> Result<Owners> {
    let rows = OwnerRows::All;
    let mut owners = database.owners(&[OwnersRead { key, rows }]).await?;
    ensure!(owners.len() == 1, "one answer a read");
    let mut owners = owners.remove(0);
    owners.rows.sort_by_key(|row| row.profile);
    Ok(owners)
}

async fn row(
    database: &impl Identity,
    key: ClaimKey,
    profile: ProfileId,
) -> Result<Option<SharedClaim>> {
    let rows = OwnerRows::Of(profile);
    let mut owners = database.owners(&[OwnersRead { key, rows }]).await?;
    ensure!(owners.len() == 1 && owners[0].rows.len() <= 1, "{owners:?}");
    Ok(owners.remove(0).rows.pop())
}

pub(super) async fn a_value_takes_several_owners(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, key) = (f.database(), claim_key());
    ensure!(
        all(&database, key).await? == Owners::default(),
        "never written"
    );
    let owners = [profile(), profile(), profile()];
    for owner in owners {
        ensure!(row(&database, key, owner).await?.is_none());
        let (statement, id) = share(key, owner);
        applied(&database, &statement).await?;
        let Conditional::Share {
            stamp, by_request, ..
        } = statement
        else {
            bail!("an adding")
        };
        let expected = SharedClaim {
            profile: owner,
            released: false,
            id,
            added_at: at(7),
            place: 3,
            by_request,
        };
        ensure!(row(&database, key, owner).await? == Some(expected));
        let read = all(&database, key).await?;
        ensure!(
            read.rows.contains(&expected) && read.stamp == Some(stamp),
            "{read:?}"
        );
    }
    let read = all(&database, key).await?;
    let mut sorted = owners;
    sorted.sort_unstable();
    ensure!(
        read.rows.iter().map(|row| row.profile).eq(sorted),
        "{read:?}"
    );
    // Others of one value, and values of one owner, do not mix.
    ensure!(all(&database, claim_key()).await? == Owners::default());
    ensure!(row(&database, key, profile()).await?.is_none());
    Ok(())
}

pub(super) async fn owners_and_the_claim_of_one_value_do_not_mix(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, key, owner) = (f.database(), claim_key(), profile());
    applied(&database, &share(key, profile()).0).await?;
    ensure!(database.claims(&[key]).await? == [None]);
    applied(&database, &claim(key, owner).0).await?;
    ensure!(all(&database, key).await?.rows.len() == 1);
    ensure!(database.claims(&[key]).await?[0].and_then(|claim| claim.profile) == Some(owner));
    Ok(())
}

pub(super) async fn an_owner_is_added_once_and_sent_again_in_force(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, key, owner) = (f.database(), claim_key(), profile());
    let (first, id) = share(key, owner);
    applied(&database, &first).await?;
    let before = all(&database, key).await?;
    ensure!(
        refused(&database, &first).await?.claim_id == Some(id),
        "lost to myself"
    );
    let (second, _) = share(key, owner);
    ensure!(refused(&database, &second).await?.claim_id == Some(id));
    ensure!(
        all(&database, key).await? == before,
        "a refusal changes nothing, the stamp neither"
    );
    // Another owner's row is no hindrance, and the answer is about the row that was asked for.
    let (other, other_id) = share(key, profile());
    applied(&database, &other).await?;
    ensure!(refused(&database, &other).await?.claim_id == Some(other_id));
    ensure!(refused(&database, &first).await?.claim_id == Some(id));
    Ok(())
}

pub(super) async fn an_owner_is_released_exactly(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, key, owner, other) = (f.database(), claim_key(), profile(), profile());
    let (nobody, _) = unshare(key, owner, claim_id());
    refused(&database, &nobody).await?;
    let (first, id) = share(key, owner);
    applied(&database, &first).await?;
    applied(&database, &share(key, other).0).await?;
    let (wrong, _) = unshare(key, owner, claim_id());
    ensure!(refused(&database, &wrong).await?.claim_id == Some(id));
    let before = all(&database, key).await?.stamp;
    let (free, freed) = unshare(key, owner, id);
    applied(&database, &free).await?;
    ensure!(
        refused(&database, &free).await?.claim_id == Some(freed),
        "lost to myself"
    );
    let read = row(&database, key, owner)
        .await?
        .context("a released row is still a row: an absent one would come back")?;
    ensure!(
        read.released && read.id == freed && read.added_at == at(7),
        "{read:?}"
    );
    let owners = all(&database, key).await?;
    ensure!(owners.stamp != before, "a release changes the stamp");
    ensure!(
        owners
            .rows
            .iter()
            .any(|row| row.profile == other && !row.released)
    );
    // Over the released row only one that names it.
    let (blind, _) = share(key, owner);
    ensure!(refused(&database, &blind).await?.claim_id == Some(freed));
    let (again, again_id) = share_as(key, owner, Some(freed), None);
    applied(&database, &again).await?;
    let read = row(&database, key, owner).await?.context("a row")?;
    ensure!(!read.released && read.id == again_id, "{read:?}");
    Ok(())
}

pub(super) async fn an_owner_is_added_as_read_or_not_at_all(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, key) = (f.database(), claim_key());
    let [one, two, three, four] = [profile(), profile(), profile(), profile()];
    let (wrong, _) = share_as(key, one, None, Some(Some(stamp())));
    refused(&database, &wrong).await?;
    ensure!(
        all(&database, key).await? == Owners::default(),
        "a refusal leaves nothing"
    );
    let (first, first_id) = share_as(key, one, None, Some(None));
    applied(&database, &first).await?;
    ensure!(
        refused(&database, &first).await?.claim_id == Some(first_id),
        "lost to myself"
    );
    // Nobody had the value: that was so, and is no more.
    let (late, _) = share_as(key, two, None, Some(None));
    ensure!(refused(&database, &late).await?.claim_id.is_none());
    let read = all(&database, key).await?.stamp;
    applied(&database, &share(key, three).0).await?;
    let (stale, _) = share_as(key, two, None, Some(read));
    refused(&database, &stale).await?;
    let read = all(&database, key).await?.stamp;
    applied(&database, &unshare(key, one, first_id).0).await?;
    let (stale, _) = share_as(key, two, None, Some(read));
    refused(&database, &stale).await?;
    let read = all(&database, key).await?.stamp;
    applied(&database, &share_as(key, two, None, Some(read)).0).await?;
    // The stamp is right and the row is not.
    let read = all(&database, key).await?.stamp;
    let (row_there, _) = share_as(key, two, None, Some(read));
    refused(&database, &row_there).await?;
    ensure!(row(&database, key, four).await?.is_none());
    Ok(())
}

pub(super) async fn of_many_first_owners_as_read_one_is_added(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let database = f.database();
    for _ in 0..5 {
        let key = claim_key();
        let rows: Vec<_> = (0..12)
            .map(|_| share_as(key, profile(), None, Some(None)))
            .collect();
        let won = join_all(rows.iter().map(|(statement, id)| {
            let database = &database;
            async move {
                loop {
                    match one(database, statement).await {
                        Outcome::Applied => return true,
                        Outcome::Refused(standing) => return standing.claim_id == Some(*id),
                        Outcome::Unknown => {}
                    }
                }
            }
        }))
        .await;
        let owners = all(&database, key).await?;
        let won: Vec<ClaimId> = won
            .iter()
            .zip(&rows)
            .filter_map(|(won, (_, id))| won.then_some(*id))
            .collect();
        ensure!(owners.rows.len() == 1, "{} were added", owners.rows.len());
        ensure!(won == [owners.rows[0].id], "{won:?} were told so");
    }
    Ok(())
}

pub(super) async fn many_owners_are_read_whole(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, key) = (f.database(), claim_key());
    let mut owners: Vec<ProfileId> = (0..60).map(|_| profile()).collect();
    for owner in &owners {
        applied(&database, &share(key, *owner).0).await?;
    }
    owners.sort_unstable();
    let read = all(&database, key).await?;
    ensure!(
        read.rows
            .iter()
            .map(|row| row.profile)
            .eq(owners.iter().copied())
    );
    ensure!(read.stamp.is_some());
    // Several reads in one round, each with its own answer.
    let reads = [
        OwnersRead {
            key,
            rows: OwnerRows::Of(owners[7]),
        },
        OwnersRead {
            key: claim_key(),
            rows: OwnerRows::All,
        },
        OwnersRead {
            key,
            rows: OwnerRows::All,
        },
    ];
    let answers = database.owners(&reads).await?;
    ensure!(answers.len() == 3 && answers[1] == Owners::default());
    ensure!(answers[0].rows.len() == 1 && answers[0].rows[0].profile == owners[7]);
    ensure!(answers[2].rows.len() == 60);
    Ok(())
}

pub(super) async fn acknowledged_owners_survive_a_crash(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (key, kept, gone) = (claim_key(), profile(), profile());
    let database = f.database();
    let (statement, id) = share(key, gone);
    applied(&database, &statement).await?;
    let last = [share(key, kept).0, unshare(key, gone, id).0];
    for statement in &last {
        let mut outcome = Outcome::Unknown;
        while outcome == Outcome::Unknown {
            let one = std::slice::from_ref(statement);
            outcome = database.attempt(one, Durability::Durable).await[0];
        }
    }
    let before = all(&database, key).await?;
    f.crash().await?;
    ensure!(
        all(&f.database(), key).await? == before,
        "acknowledged and lost"
    );
    ensure!(
        before
            .rows
            .iter()
            .any(|row| row.profile == kept && !row.released)
    );
    Ok(())
}
