//! Conditional statements (`identity-protocol.md` 3), tried one after another by the leader.

use kith_domain::id::{ClaimId, LinkToken, OwnersStamp, ProfileId, ProfileKey};
use kith_domain::identifier::ClaimKey;
use kith_profiles::ports::{Claim, Conditional, Outcome, Pointer, Standing, Verdict};

use crate::error::ReadError;
use crate::group::Group;
use crate::inject::Injection;
use crate::layout::row::{NodeRow, OwnerCell, VerdictCell};
use crate::layout::{Space, key};
use crate::staged::Staged;

/// Tries one statement on what the ones before it left.
pub(crate) fn attempt(group: &mut Group<'_>, statement: &Conditional) -> Outcome {
    let fault = group.faults.take(|fault| match fault {
        Injection::UnknownApplied | Injection::UnknownDropped | Injection::UnknownLate => {
            Some(fault)
        }
        Injection::Delay(_) | Injection::SyncFails => None,
    });
    let rows = &mut group.staged;
    let late = match fault {
        None => group.faults.postpone(None),
        Some(Injection::UnknownLate) => group.faults.postpone(Some(statement.clone())),
        Some(Injection::UnknownDropped) => None,
        Some(_) => {
            try_it(rows, statement);
            None
        }
    };
    let outcome = match fault {
        None => try_it(rows, statement),
        Some(_) => Outcome::Unknown,
    };
    if let Some(late) = late {
        try_it(rows, &late);
    }
    outcome
}

fn try_it(rows: &mut Staged<'_>, statement: &Conditional) -> Outcome {
    decide(rows, statement).unwrap_or_else(|error| {
        // The port has no error here; unknown is always true, and the reads say what is wrong.
        tracing::error!(%error, "a conditional statement could not read its row");
        Outcome::Unknown
    })
}

fn decide(rows: &mut Staged<'_>, statement: &Conditional) -> Result<Outcome, ReadError> {
    match statement {
        &Conditional::Claim {
            key,
            expected,
            id,
            profile,
            added_at,
            place,
            by_request,
        } => claim(rows, &key, expected, |_| Claim {
            profile: Some(profile),
            id,
            added_at,
            place,
            by_request,
        }),
        &Conditional::Release {
            key,
            expected,
            id,
            by_request,
        } => claim(rows, &key, Some(expected), |before| Claim {
            profile: None,
            id,
            by_request,
            ..before
        }),
        &Conditional::Share {
            key,
            profile,
            expected,
            as_read,
            id,
            stamp,
            added_at,
            place,
            by_request,
        } => {
            let cell = OwnerCell {
                released: false,
                id,
                added_at,
                place,
                by_request,
            };
            owner(rows, &key, profile, expected, as_read, stamp, |_| cell)
        }
        &Conditional::Unshare {
            key,
            profile,
            expected,
            id,
            stamp,
            by_request,
        } => {
            let release = |before: OwnerCell| OwnerCell {
                released: true,
                id,
                by_request,
                ..before
            };
            owner(rows, &key, profile, Some(expected), None, stamp, release)
        }
        &Conditional::Point {
            child,
            expected,
            parent,
            token,
        } => node(rows, &child, expected, |row| {
            row.pointer = Some(Pointer { parent, token });
        }),
        &Conditional::Kill {
            profile,
            expected,
            id,
        } => node(rows, &profile, expected, |row| row.dead = Some(id)),
        Conditional::Link {
            parent,
            child,
            token,
            expected,
            decided_at,
            evidence,
        } => {
            let row = node_row(rows, parent)?;
            let standing = standing_of(&row);
            let may = row.dead.is_none() && token_of(&row) == *expected;
            verdict(rows, parent, *child, *token, standing, may, || {
                VerdictCell {
                    verdict: Verdict::Linked,
                    decided_at: *decided_at,
                    evidence: evidence.to_vec(),
                }
            })
        }
        &Conditional::Void {
            parent,
            child,
            token,
            decided_at,
        } => verdict(
            rows,
            &parent,
            child,
            token,
            Standing::default(),
            true,
            || VerdictCell {
                verdict: Verdict::Void,
                decided_at,
                evidence: Vec::new(),
            },
        ),
    }
}

/// CLAIM and RELEASE: if the claim's id is the one read.
fn claim(
    rows: &mut Staged<'_>,
    claim_key: &ClaimKey,
    expected: Option<ClaimId>,
    write: impl FnOnce(Claim) -> Claim,
) -> Result<Outcome, ReadError> {
    let row_key = key::claim(claim_key);
    let before: Option<Claim> = rows.row(Space::Claims, &row_key)?;
    let claim_id = before.map(|claim| claim.id);
    if claim_id != expected {
        return Ok(Outcome::Refused(Standing {
            claim_id,
            ..Standing::default()
        }));
    }
    // What a new claim replaces does not matter to it; a release keeps what it does not write.
    let nothing = Claim {
        profile: None,
        id: ClaimId::from_uuid(uuid::Uuid::nil()),
        added_at: kith_domain::time::Micros::EPOCH,
        place: 0,
        by_request: kith_domain::id::RequestId::from_uuid(uuid::Uuid::nil()),
    };
    rows.put_row(Space::Claims, row_key, &write(before.unwrap_or(nothing)));
    Ok(Outcome::Applied)
}

/// ADD and RELEASE of an owner: if its row's id is the one read, and the stamp is, where that is asked.
fn owner(
    rows: &mut Staged<'_>,
    key: &ClaimKey,
    profile: ProfileId,
    expected: Option<ClaimId>,
    as_read: Option<Option<OwnersStamp>>,
    stamp: OwnersStamp,
    write: impl FnOnce(OwnerCell) -> OwnerCell,
) -> Result<Outcome, ReadError> {
    let row_key = key::owner(key, profile);
    let stamp_key = key::owners_stamp(key);
    let before: Option<OwnerCell> = rows.row(Space::Claims, &row_key)?;
    let standing: Option<OwnersStamp> = rows.row(Space::Claims, &stamp_key)?;
    let claim_id = before.map(|cell| cell.id);
    if claim_id != expected || as_read.is_some_and(|read| read != standing) {
        return Ok(Outcome::Refused(Standing {
            claim_id,
            ..Standing::default()
        }));
    }
    let nothing = OwnerCell {
        released: true,
        id: ClaimId::from_uuid(uuid::Uuid::nil()),
        added_at: kith_domain::time::Micros::EPOCH,
        place: 0,
        by_request: kith_domain::id::RequestId::from_uuid(uuid::Uuid::nil()),
    };
    rows.put_row(Space::Claims, row_key, &write(before.unwrap_or(nothing)));
    rows.put_row(Space::Claims, stamp_key, &stamp);
    Ok(Outcome::Applied)
}

/// POINT and KILL: if the node is not dead and its pointer is the one read.
fn node(
    rows: &mut Staged<'_>,
    at: &ProfileKey,
    expected: Option<LinkToken>,
    write: impl FnOnce(&mut NodeRow),
) -> Result<Outcome, ReadError> {
    let mut row = node_row(rows, at)?;
    if row.dead.is_some() || token_of(&row) != expected {
        return Ok(Outcome::Refused(standing_of(&row)));
    }
    write(&mut row);
    rows.put_row(Space::Nodes, key::node(at), &row);
    Ok(Outcome::Applied)
}

/// LINK and VOID: if there is no verdict yet, and whatever else the caller found.
fn verdict(
    rows: &mut Staged<'_>,
    parent: &ProfileKey,
    child: ProfileId,
    token: LinkToken,
    standing: Standing,
    may: bool,
    write: impl FnOnce() -> VerdictCell,
) -> Result<Outcome, ReadError> {
    let row_key = key::verdict(parent, child, token);
    let before: Option<VerdictCell> = rows.row(Space::Nodes, &row_key)?;
    if before.is_some() || !may {
        return Ok(Outcome::Refused(Standing {
            verdict: before.map(|cell| cell.verdict),
            ..standing
        }));
    }
    rows.put_row(Space::Nodes, row_key, &write());
    Ok(Outcome::Applied)
}

fn node_row(rows: &Staged<'_>, at: &ProfileKey) -> Result<NodeRow, ReadError> {
    Ok(rows.row(Space::Nodes, &key::node(at))?.unwrap_or_default())
}

fn token_of(row: &NodeRow) -> Option<LinkToken> {
    row.pointer.map(|pointer| pointer.token)
}

fn standing_of(row: &NodeRow) -> Standing {
    Standing {
        dead: row.dead,
        parent_token: token_of(row),
        ..Standing::default()
    }
}
