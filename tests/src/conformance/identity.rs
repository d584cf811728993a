//! Conditional statements and their reads.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use kith_domain::id::{DeleteId, LinkToken, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::ClaimKey;
use kith_profiles::ports::{
    Conditional, Durability, Identity, LinkEvidence, Node, NodeRead, Outcome, Pointer, Verdict,
    VerdictRow, Verdicts,
};

use super::{DatabaseFixture, at, claim_id, key, profile, token, uuid};

pub(super) fn claim_key() -> ClaimKey {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(uuid().as_bytes());
    bytes[16..].copy_from_slice(uuid().as_bytes());
    ClaimKey::from_bytes(bytes)
}

pub(super) fn claim(key: ClaimKey, profile: ProfileId) -> (Conditional, kith_domain::id::ClaimId) {
    let id = claim_id();
    let statement = Conditional::Claim {
        key,
        expected: None,
        id,
        profile,
        added_at: at(7),
        place: 3,
        by_request: RequestId::from_uuid(uuid()),
    };
    (statement, id)
}

fn point(
    child: ProfileKey,
    expected: Option<LinkToken>,
    parent: ProfileId,
) -> (Conditional, LinkToken) {
    let token = token();
    (
        Conditional::Point {
            child,
            expected,
            parent,
            token,
        },
        token,
    )
}

fn link(
    parent: ProfileKey,
    child: ProfileId,
    token: LinkToken,
    expected: Option<LinkToken>,
) -> Conditional {
    Conditional::Link {
        parent,
        child,
        token,
        expected,
        decided_at: at(9),
        evidence: Bytes::from_static(b"{\"version\":1}"),
    }
}

fn void(parent: ProfileKey, child: ProfileId, token: LinkToken) -> Conditional {
    Conditional::Void {
        parent,
        child,
        token,
        decided_at: at(9),
    }
}

fn kill(profile: ProfileKey, expected: Option<LinkToken>) -> (Conditional, DeleteId) {
    let id = DeleteId::from_uuid(uuid());
    (
        Conditional::Kill {
            profile,
            expected,
            id,
        },
        id,
    )
}

pub(super) async fn one(database: &impl Identity, statement: &Conditional) -> Outcome {
    let outcomes = database
        .attempt(std::slice::from_ref(statement), Durability::Ordered)
        .await;
    outcomes[0]
}

/// Sends a statement that must be applied, again while its outcome is unknown.
pub(super) async fn applied(database: &impl Identity, statement: &Conditional) -> Result<()> {
    for _ in 0..20 {
        match one(database, statement).await {
            Outcome::Applied => return Ok(()),
            Outcome::Unknown => {}
            Outcome::Refused(standing) => bail!("refused: {statement:?}: {standing:?}"),
        }
    }
    bail!("no answer to {statement:?}")
}

pub(super) async fn refused(
    database: &impl Identity,
    statement: &Conditional,
) -> Result<kith_profiles::ports::Standing> {
    for _ in 0..20 {
        match one(database, statement).await {
            Outcome::Applied => bail!("applied: {statement:?}"),
            Outcome::Unknown => {}
            Outcome::Refused(standing) => return Ok(standing),
        }
    }
    bail!("no answer to {statement:?}")
}

async fn node(database: &impl Identity, at: ProfileKey, verdicts: Verdicts) -> Result<Node> {
    let mut nodes = database.nodes(&[NodeRead { at, verdicts }]).await?;
    ensure!(nodes.len() == 1, "one answer a read");
    Ok(nodes.remove(0))
}

pub(super) async fn a_free_identifier_is_claimed_once(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, key, owner) = (f.database(), claim_key(), profile());
    ensure!(database.claims(&[key]).await? == [None], "never written");
    let (statement, id) = claim(key, owner);
    applied(&database, &statement).await?;
    let read = database.claims(&[key]).await?[0];
    let Some(read) = read else {
        bail!("an applied claim is not read")
    };
    ensure!(read.profile == Some(owner) && read.id == id, "{read:?}");
    ensure!(read.added_at == at(7) && read.place == 3, "{read:?}");
    let Conditional::Claim { by_request, .. } = statement else {
        bail!("a claim")
    };
    ensure!(read.by_request == by_request, "{read:?}");
    Ok(())
}

pub(super) async fn a_refused_claim_says_what_stands(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, key, owner) = (f.database(), claim_key(), profile());
    let (first, id) = claim(key, owner);
    applied(&database, &first).await?;
    let (second, _) = claim(key, profile());
    ensure!(refused(&database, &second).await?.claim_id == Some(id));
    ensure!(database.claims(&[key]).await?[0].map(|claim| claim.profile) == Some(Some(owner)));
    Ok(())
}

pub(super) async fn a_claim_sent_again_is_in_force_once(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, key) = (f.database(), claim_key());
    let (statement, id) = claim(key, profile());
    applied(&database, &statement).await?;
    // Lost to myself: the caller sees its own id, and knows.
    ensure!(refused(&database, &statement).await?.claim_id == Some(id));
    Ok(())
}

pub(super) async fn a_release_names_the_exact_claim(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, key) = (f.database(), claim_key());
    let (first, id) = claim(key, profile());
    applied(&database, &first).await?;
    let release = |expected| Conditional::Release {
        key,
        expected,
        id: claim_id(),
        by_request: RequestId::from_uuid(uuid()),
    };
    ensure!(refused(&database, &release(claim_id())).await?.claim_id == Some(id));
    let free = release(id);
    applied(&database, &free).await?;
    let Some(read) = database.claims(&[key]).await?[0] else {
        bail!("a released row is still a row: an absent one would come back")
    };
    let Conditional::Release { id: freed, .. } = free else {
        bail!("a release")
    };
    ensure!(read.profile.is_none() && read.id == freed, "{read:?}");
    // Over the released row only a claim that names it.
    let (blind, _) = claim(key, profile());
    refused(&database, &blind).await?;
    let Conditional::Claim {
        key,
        id,
        profile,
        added_at,
        place,
        by_request,
        ..
    } = claim(key, profile()).0
    else {
        bail!("a claim")
    };
    let next = Conditional::Claim {
        key,
        expected: Some(freed),
        id,
        profile,
        added_at,
        place,
        by_request,
    };
    applied(&database, &next).await?;
    ensure!(database.claims(&[key]).await?[0].and_then(|claim| claim.profile) == Some(profile));
    Ok(())
}

pub(super) async fn of_many_claims_at_once_one_is_applied(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let database = f.database();
    for _ in 0..5 {
        let key = claim_key();
        let claims: Vec<_> = (0..16).map(|_| claim(key, profile())).collect();
        let outcomes = join_all(claims.iter().map(|(statement, id)| {
            let database = &database;
            async move {
                loop {
                    match one(database, statement).await {
                        Outcome::Applied => return Some(*id),
                        Outcome::Refused(standing) => {
                            return (standing.claim_id == Some(*id)).then_some(*id);
                        }
                        Outcome::Unknown => {}
                    }
                }
            }
        }))
        .await;
        let winners: Vec<_> = outcomes.into_iter().flatten().collect();
        ensure!(winners.len() == 1, "{} winners", winners.len());
        let standing = database.claims(&[key]).await?[0].map(|claim| claim.id);
        ensure!(
            standing == Some(winners[0]),
            "the winner is not the one that stands"
        );
    }
    Ok(())
}

pub(super) async fn of_many_rounds_each_identifier_has_one_owner(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let database = f.database();
    let keys: Vec<ClaimKey> = (0..6).map(|_| claim_key()).collect();
    let owners: Vec<ProfileId> = (0..8).map(|_| profile()).collect();
    join_all(owners.iter().map(|owner| {
        let round: Vec<Conditional> = keys.iter().map(|key| claim(*key, *owner).0).collect();
        let database = &database;
        async move { database.attempt(&round, Durability::Durable).await }
    }))
    .await;
    let read = database.claims(&keys).await?;
    ensure!(read.len() == keys.len(), "one answer a key");
    for claim in read {
        let owner = claim.and_then(|claim| claim.profile);
        ensure!(
            owner.is_some_and(|owner| owners.contains(&owner)),
            "{claim:?}"
        );
    }
    Ok(())
}

pub(super) async fn a_pointer_is_set_where_none_was(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, child, parent) = (f.database(), key(), profile());
    ensure!(
        node(&database, child, Verdicts::None).await? == Node::default(),
        "a live root"
    );
    let (statement, token) = point(child, None, parent);
    applied(&database, &statement).await?;
    let read = node(&database, child, Verdicts::None).await?;
    ensure!(
        read.pointer == Some(Pointer { parent, token }) && read.dead.is_none(),
        "{read:?}"
    );
    ensure!(refused(&database, &statement).await?.parent_token == Some(token));
    Ok(())
}

pub(super) async fn a_pointer_is_replaced_only_as_read(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, child, parent) = (f.database(), key(), profile());
    let (first, token) = point(child, None, parent);
    applied(&database, &first).await?;
    ensure!(
        refused(&database, &point(child, None, parent).0)
            .await?
            .parent_token
            == Some(token)
    );
    refused(&database, &point(child, Some(super::token()), parent).0).await?;
    let other = profile();
    let (second, newer) = point(child, Some(token), other);
    applied(&database, &second).await?;
    let read = node(&database, child, Verdicts::None).await?;
    ensure!(
        read.pointer
            == Some(Pointer {
                parent: other,
                token: newer
            }),
        "{read:?}"
    );
    refused(&database, &first).await?;
    Ok(())
}

pub(super) async fn a_link_needs_a_live_parent_with_its_pointer_as_read(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, parent, child) = (f.database(), key(), profile());
    // A parent that nobody ever wrote.
    applied(&database, &link(parent, child, token(), None)).await?;
    refused(&database, &link(parent, child, token(), Some(token()))).await?;
    // A parent that points further.
    let (pointing, own) = point(parent, None, profile());
    applied(&database, &pointing).await?;
    let (other, with) = (profile(), token());
    let standing = refused(&database, &link(parent, other, with, None)).await?;
    ensure!(standing.verdict.is_none(), "{standing:?}");
    ensure!(
        node(&database, parent, Verdicts::Of(other, with))
            .await?
            .verdicts
            .is_empty()
    );
    // Its pointer was seen void.
    applied(&database, &link(parent, other, with, Some(own))).await?;
    Ok(())
}

pub(super) async fn a_verdict_never_changes(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, parent, child) = (f.database(), key(), profile());
    let (linked, voided) = (token(), token());
    applied(&database, &link(parent, child, linked, None)).await?;
    ensure!(
        refused(&database, &void(parent, child, linked))
            .await?
            .verdict
            == Some(Verdict::Linked)
    );
    let again = refused(&database, &link(parent, child, linked, None)).await?;
    ensure!(again.verdict == Some(Verdict::Linked));
    applied(&database, &void(parent, child, voided)).await?;
    let late = refused(&database, &link(parent, child, voided, None)).await?;
    ensure!(late.verdict == Some(Verdict::Void));
    ensure!(
        refused(&database, &void(parent, child, voided))
            .await?
            .verdict
            == Some(Verdict::Void)
    );
    Ok(())
}

pub(super) async fn void_and_linked_exclude_each_other_under_contention(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let database = f.database();
    for _ in 0..10 {
        let (parent, child, token) = (key(), profile(), token());
        let statements: Vec<Conditional> = (0..4)
            .flat_map(|_| [link(parent, child, token, None), void(parent, child, token)])
            .collect();
        let outcomes = join_all(statements.iter().map(|statement| one(&database, statement))).await;
        let read = node(&database, parent, Verdicts::Of(child, token)).await?;
        ensure!(read.verdicts.len() == 1, "{read:?}");
        let verdict = read.verdicts[0].verdict;
        for (statement, outcome) in statements.iter().zip(outcomes) {
            let says = match statement {
                Conditional::Link { .. } => Verdict::Linked,
                _ => Verdict::Void,
            };
            ensure!(
                outcome != Outcome::Applied || says == verdict,
                "{says:?} and {verdict:?}"
            );
        }
    }
    Ok(())
}

pub(super) async fn a_dead_node_takes_no_pointer_and_no_link(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, at) = (f.database(), key());
    let (killing, id) = kill(at, None);
    applied(&database, &killing).await?;
    ensure!(node(&database, at, Verdicts::None).await?.dead == Some(id));
    ensure!(
        refused(&database, &point(at, None, profile()).0)
            .await?
            .dead
            == Some(id)
    );
    let (child, with) = (profile(), token());
    let standing = refused(&database, &link(at, child, with, None)).await?;
    ensure!(standing.verdict.is_none(), "{standing:?}");
    ensure!(refused(&database, &kill(at, None).0).await?.dead == Some(id));
    ensure!(
        refused(&database, &killing).await?.dead == Some(id),
        "lost to myself"
    );
    // The pointer that was refused is decided, dead parent or not.
    applied(&database, &void(at, child, with)).await?;
    Ok(())
}

pub(super) async fn a_kill_names_the_pointer_it_read(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, at) = (f.database(), key());
    let (pointing, own) = point(at, None, profile());
    applied(&database, &pointing).await?;
    let standing = refused(&database, &kill(at, None).0).await?;
    ensure!(
        standing.dead.is_none() && standing.parent_token == Some(own),
        "{standing:?}"
    );
    refused(&database, &kill(at, Some(token())).0).await?;
    ensure!(node(&database, at, Verdicts::None).await?.dead.is_none());
    applied(&database, &kill(at, Some(own)).0).await?;
    Ok(())
}

pub(super) async fn of_a_link_and_a_kill_the_later_is_refused(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let database = f.database();
    for _ in 0..10 {
        let (parent, child, with) = (key(), profile(), token());
        let linking = link(parent, child, with, None);
        let (killing, _) = kill(parent, None);
        let (linked, killed) =
            futures_util::join!(one(&database, &linking), one(&database, &killing));
        let read = node(&database, parent, Verdicts::Of(child, with)).await?;
        if killed == Outcome::Applied {
            ensure!(read.dead.is_some(), "{read:?}");
        }
        match linked {
            Outcome::Applied => ensure!(read.verdicts.len() == 1, "{read:?}"),
            Outcome::Refused(_) => {
                ensure!(
                    read.verdicts.is_empty() && read.dead.is_some(),
                    "refused by nothing: {read:?}"
                );
            }
            Outcome::Unknown => {}
        }
    }
    Ok(())
}

pub(super) async fn node_reads_give_what_was_asked(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, at) = (f.database(), key());
    let (pointing, own) = point(at, None, profile());
    let children = [(profile(), token()), (profile(), token())];
    applied(&database, &link(at, children[0].0, children[0].1, None)).await?;
    applied(&database, &void(at, children[1].0, children[1].1)).await?;
    applied(&database, &pointing).await?;
    let rows = [
        VerdictRow {
            child: children[0].0,
            token: children[0].1,
            verdict: Verdict::Linked,
        },
        VerdictRow {
            child: children[1].0,
            token: children[1].1,
            verdict: Verdict::Void,
        },
    ];
    let reads = [
        NodeRead {
            at,
            verdicts: Verdicts::None,
        },
        NodeRead {
            at,
            verdicts: Verdicts::Of(rows[1].child, rows[1].token),
        },
        // A row that is absent, in a partition that has a pointer.
        NodeRead {
            at,
            verdicts: Verdicts::Of(rows[1].child, token()),
        },
        NodeRead {
            at,
            verdicts: Verdicts::All,
        },
        NodeRead {
            at: key(),
            verdicts: Verdicts::All,
        },
        NodeRead {
            at: key(),
            verdicts: Verdicts::Of(profile(), token()),
        },
    ];
    let nodes = database.nodes(&reads).await?;
    ensure!(nodes.len() == reads.len(), "one answer a read");
    for read in &nodes[..4] {
        ensure!(
            read.pointer.is_some_and(|pointer| pointer.token == own),
            "{read:?}"
        );
    }
    ensure!(nodes[0].verdicts.is_empty() && nodes[2].verdicts.is_empty());
    ensure!(nodes[1].verdicts == [rows[1]], "{:?}", nodes[1]);
    let mut all = nodes[3].verdicts.clone();
    all.sort_by_key(|row| row.child);
    ensure!(all == rows, "{all:?}");
    ensure!(nodes[4] == Node::default() && nodes[5] == Node::default());
    Ok(())
}

pub(super) async fn links_are_read_with_their_evidence(f: &mut impl DatabaseFixture) -> Result<()> {
    let (database, at, other) = (f.database(), key(), key());
    // The void one is among them in the order of the rows.
    let mut expected = Vec::new();
    for number in 0..40_i64 {
        let why = LinkEvidence {
            child: profile(),
            token: token(),
            decided_at: super::at(1_000 + number),
            evidence: format!("why {number}").into(),
        };
        let link = Conditional::Link {
            parent: at,
            child: why.child,
            token: why.token,
            expected: None,
            decided_at: why.decided_at,
            evidence: why.evidence.clone(),
        };
        applied(&database, &link).await?;
        expected.push(why);
    }
    applied(&database, &void(at, profile(), token())).await?;
    // A verdict never changes, and neither does what stands beside it.
    let again = link(at, expected[0].child, expected[0].token, None);
    refused(&database, &again).await?;
    let unexplained = Conditional::Link {
        parent: other,
        child: profile(),
        token: token(),
        expected: None,
        decided_at: super::at(5),
        evidence: Bytes::new(),
    };
    applied(&database, &unexplained).await?;
    let (pointer, dead) = (key(), key());
    applied(&database, &point(pointer, None, profile()).0).await?;
    applied(&database, &kill(dead, None).0).await?;

    let read = database.links(&[other, at, pointer, dead, key()]).await?;
    ensure!(read.len() == 5, "one answer a node");
    ensure!(read[0].len() == 1 && read[0][0].evidence.is_empty());
    let mut links = read[1].clone();
    links.sort_by_key(|link| link.decided_at);
    ensure!(links == expected, "{links:?}");
    ensure!(read[2..].iter().all(Vec::is_empty), "{read:?}");
    ensure!(database.links(&[]).await?.is_empty());
    Ok(())
}

pub(super) async fn answers_come_in_the_order_of_the_statements(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let database = f.database();
    let taken = claim_key();
    applied(&database, &claim(taken, profile()).0).await?;
    let statements: Vec<Conditional> = (0..12)
        .map(|i| claim(if i % 3 == 0 { taken } else { claim_key() }, profile()).0)
        .collect();
    let outcomes = database.attempt(&statements, Durability::Ordered).await;
    ensure!(
        outcomes.len() == statements.len(),
        "one outcome a statement"
    );
    for (i, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Applied => ensure!(i % 3 != 0, "{i} was taken"),
            Outcome::Refused(_) => ensure!(i % 3 == 0, "{i} was free"),
            Outcome::Unknown => {}
        }
    }
    ensure!(database.attempt(&[], Durability::Durable).await.is_empty());
    ensure!(database.claims(&[]).await?.is_empty() && database.nodes(&[]).await?.is_empty());
    Ok(())
}

pub(super) async fn a_lost_answer_is_unknown_and_never_refused(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let (database, key) = (f.database(), claim_key());
    // Warm: what is lost must be the answer to the statement, not to a handshake.
    database.claims(&[key]).await?;
    let (statement, id) = claim(key, profile());
    f.lose_next_answer().await?;
    let outcome = one(&database, &statement).await;
    ensure!(
        outcome == Outcome::Unknown,
        "an answer that nobody heard was reported as {outcome:?}"
    );
    // Sent again, unchanged, until there is an answer: it must turn out to be in force.
    for _ in 0..50 {
        match one(&database, &statement).await {
            Outcome::Applied => return Ok(()),
            Outcome::Refused(standing) => {
                ensure!(standing.claim_id == Some(id), "{standing:?}");
                return Ok(());
            }
            Outcome::Unknown => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    bail!("no answer ever")
}

pub(super) async fn acknowledged_statements_survive_a_crash(
    f: &mut impl DatabaseFixture,
) -> Result<()> {
    let keys: Vec<ClaimKey> = (0..20).map(|_| claim_key()).collect();
    let owner = profile();
    let statements: Vec<Conditional> = keys.iter().map(|key| claim(*key, owner).0).collect();
    let outcomes = f.database().attempt(&statements, Durability::Durable).await;
    f.crash().await?;
    let claims = f.database().claims(&keys).await?;
    for (outcome, claim) in outcomes.iter().zip(claims) {
        if *outcome == Outcome::Applied {
            ensure!(
                claim.and_then(|claim| claim.profile) == Some(owner),
                "acknowledged and lost"
            );
        }
    }
    Ok(())
}
