//! The conditional statements of the identity protocol, one test each, and the reads.

use std::collections::BTreeSet;

use bytes::Bytes;
use kith_domain::id::{ClaimId, DeleteId, LinkToken, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::ClaimKey;
use kith_profiles::ports::{
    Claim, Conditional, Durability, Identity, Node, NodeRead, Outcome, Pointer, Standing, Verdict,
    VerdictRow, Verdicts,
};
use kith_scylla::Cql;
use uuid::Uuid;

use crate::harness::{at, key, profile, token, with_cql};

const REFUSED_BY_NOTHING: Outcome = Outcome::Refused(Standing {
    claim_id: None,
    verdict: None,
    dead: None,
    parent_token: None,
});

/// Sends statements, and again those whose outcome stays unknown, as a use case does. Where several nodes vote, statements
/// on one partition get in each other's way.
async fn attempt_until_known(cql: &Cql, statements: &[Conditional]) -> Vec<Outcome> {
    let mut outcomes = vec![Outcome::Unknown; statements.len()];
    loop {
        let open: Vec<_> = (0..statements.len())
            .filter(|n| outcomes[*n] == Outcome::Unknown)
            .collect();
        if open.is_empty() {
            return outcomes;
        }
        let sent: Vec<_> = open.iter().map(|n| statements[*n].clone()).collect();
        let answers = cql.attempt(&sent, Durability::Durable).await;
        for (n, answer) in open.into_iter().zip(answers) {
            outcomes[n] = answer;
        }
    }
}

pub(crate) async fn attempt(cql: &Cql, statement: &Conditional) -> Outcome {
    let outcomes = cql
        .attempt(std::slice::from_ref(statement), Durability::Durable)
        .await;
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

async fn applied(cql: &Cql, statement: &Conditional) {
    assert_eq!(
        attempt(cql, statement).await,
        Outcome::Applied,
        "{statement:?}"
    );
}

async fn standing(cql: &Cql, statement: &Conditional) -> Standing {
    match attempt(cql, statement).await {
        Outcome::Refused(standing) => standing,
        other @ (Outcome::Applied | Outcome::Unknown) => panic!("{other:?} of {statement:?}"),
    }
}

pub(crate) async fn claim_of(cql: &Cql, key: ClaimKey) -> Option<Claim> {
    cql.claims(&[key]).await.unwrap()[0]
}

async fn node(cql: &Cql, at: ProfileKey, verdicts: Verdicts) -> Node {
    cql.nodes(&[NodeRead { at, verdicts }])
        .await
        .unwrap()
        .remove(0)
}

pub(crate) fn claim_key() -> ClaimKey {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    ClaimKey::from_bytes(bytes)
}

pub(crate) fn claim(
    key: ClaimKey,
    expected: Option<ClaimId>,
    by: ProfileId,
) -> (Conditional, Claim) {
    let claim = Claim {
        profile: Some(by),
        id: ClaimId::from_uuid(Uuid::new_v4()),
        added_at: at(1_700_000_000_000_001),
        place: 40_000,
        by_request: RequestId::from_uuid(Uuid::new_v4()),
    };
    let statement = Conditional::Claim {
        key,
        expected,
        id: claim.id,
        profile: by,
        added_at: claim.added_at,
        place: claim.place,
        by_request: claim.by_request,
    };
    (statement, claim)
}

fn release(key: ClaimKey, expected: ClaimId) -> (Conditional, ClaimId, RequestId) {
    let id = ClaimId::from_uuid(Uuid::new_v4());
    let by_request = RequestId::from_uuid(Uuid::new_v4());
    (
        Conditional::Release {
            key,
            expected,
            id,
            by_request,
        },
        id,
        by_request,
    )
}

fn point(
    child: ProfileKey,
    expected: Option<LinkToken>,
    parent: ProfileId,
    token: LinkToken,
) -> Conditional {
    Conditional::Point {
        child,
        expected,
        parent,
        token,
    }
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
        decided_at: at(5),
        evidence: Bytes::from_static(b"why"),
    }
}

fn void(parent: ProfileKey, child: ProfileId, token: LinkToken) -> Conditional {
    Conditional::Void {
        parent,
        child,
        token,
        decided_at: at(6),
    }
}

fn kill(profile: ProfileKey, expected: Option<LinkToken>) -> (Conditional, DeleteId) {
    let id = DeleteId::from_uuid(Uuid::new_v4());
    (
        Conditional::Kill {
            profile,
            expected,
            id,
        },
        id,
    )
}

#[tokio::test]
async fn a_claim_is_taken_once_and_its_loser_learns_by_whom() {
    with_cql(async |cql, _| {
        let key = claim_key();
        assert_eq!(claim_of(&cql, key).await, None);

        let (mine, row) = claim(key, None, profile());
        applied(&cql, &mine).await;
        assert_eq!(claim_of(&cql, key).await, Some(row));

        // Sent again after it was applied: lost to myself.
        assert_eq!(standing(&cql, &mine).await.claim_id, Some(row.id));
        // Somebody who saw it free.
        let (late, _) = claim(key, None, profile());
        assert_eq!(standing(&cql, &late).await.claim_id, Some(row.id));
        // Somebody who saw another claim, where there is a row and where there is none.
        let stranger = Some(ClaimId::from_uuid(Uuid::new_v4()));
        assert_eq!(
            standing(&cql, &claim(key, stranger, profile()).0)
                .await
                .claim_id,
            Some(row.id)
        );
        let (absent, _) = claim(claim_key(), stranger, profile());
        assert_eq!(attempt(&cql, &absent).await, REFUSED_BY_NOTHING);
        assert_eq!(claim_of(&cql, key).await, Some(row));

        // Somebody who read it.
        let (next, next_row) = claim(key, Some(row.id), profile());
        applied(&cql, &next).await;
        assert_eq!(claim_of(&cql, key).await, Some(next_row));
    })
    .await;
}

#[tokio::test]
async fn a_release_frees_the_exact_claim_and_leaves_a_row() {
    with_cql(async |cql, _| {
        let key = claim_key();
        let (taking, row) = claim(key, None, profile());
        applied(&cql, &taking).await;

        let (wrong, ..) = release(key, ClaimId::from_uuid(Uuid::new_v4()));
        assert_eq!(standing(&cql, &wrong).await.claim_id, Some(row.id));
        let (absent, ..) = release(claim_key(), row.id);
        assert_eq!(attempt(&cql, &absent).await, REFUSED_BY_NOTHING);

        let (freeing, id, by_request) = release(key, row.id);
        applied(&cql, &freeing).await;
        let freed = Claim {
            profile: None,
            id,
            by_request,
            ..row
        };
        assert_eq!(claim_of(&cql, key).await, Some(freed));
        assert_eq!(standing(&cql, &freeing).await.claim_id, Some(id));

        // The value that was there never comes back: a taking that knew it is refused for ever.
        assert_eq!(standing(&cql, &taking).await.claim_id, Some(id));
        let (again, again_row) = claim(key, Some(id), profile());
        applied(&cql, &again).await;
        assert_eq!(claim_of(&cql, key).await, Some(again_row));
        assert_eq!(standing(&cql, &freeing).await.claim_id, Some(again_row.id));
    })
    .await;
}

#[tokio::test]
async fn a_pointer_replaces_the_one_that_was_read() {
    with_cql(async |cql, _| {
        let (child, parent, first, second) = (key(), profile(), token(), token());
        assert_eq!(node(&cql, child, Verdicts::None).await, Node::default());

        let pointing = point(child, None, parent, first);
        let unread = point(child, Some(second), parent, token());
        assert_eq!(attempt(&cql, &unread).await, REFUSED_BY_NOTHING);
        applied(&cql, &pointing).await;
        let pointer = Some(Pointer {
            parent,
            token: first,
        });
        assert_eq!(
            node(&cql, child, Verdicts::None).await,
            Node {
                pointer,
                ..Node::default()
            }
        );
        assert_eq!(standing(&cql, &pointing).await.parent_token, Some(first));

        let other = profile();
        applied(&cql, &point(child, Some(first), other, second)).await;
        let pointer = Some(Pointer {
            parent: other,
            token: second,
        });
        assert_eq!(node(&cql, child, Verdicts::None).await.pointer, pointer);

        let (killing, id) = kill(child, Some(second));
        applied(&cql, &killing).await;
        let stands = standing(&cql, &point(child, Some(second), parent, token())).await;
        assert_eq!((stands.dead, stands.parent_token), (Some(id), Some(second)));
    })
    .await;
}

#[tokio::test]
async fn a_link_is_decided_once_and_only_by_a_live_root() {
    with_cql(async |cql, _| {
        // A node never written: the row and the partition's own columns are absent.
        let (parent, child, asked) = (key(), profile(), token());
        let linking = link(parent, child, asked, None);
        applied(&cql, &linking).await;
        assert_eq!(
            standing(&cql, &linking).await.verdict,
            Some(Verdict::Linked)
        );
        // Whoever comes later finds the verdict, whatever it wanted.
        assert_eq!(
            standing(&cql, &void(parent, child, asked)).await.verdict,
            Some(Verdict::Linked)
        );

        // The same partition, another row, a pointer: rows and own columns in one condition.
        let pointed = token();
        applied(&cql, &point(parent, None, profile(), pointed)).await;
        let (other, second) = (profile(), token());
        let blind = standing(&cql, &link(parent, other, second, None)).await;
        assert_eq!((blind.verdict, blind.parent_token), (None, Some(pointed)));
        applied(&cql, &link(parent, other, second, Some(pointed))).await;
        // The row that is there refuses even where the rest of the condition holds.
        let again = standing(&cql, &link(parent, other, second, Some(pointed))).await;
        assert_eq!(
            (again.verdict, again.parent_token),
            (Some(Verdict::Linked), Some(pointed))
        );

        // Dead: nothing is linked any more, and what was linked stays.
        let (killing, id) = kill(parent, Some(pointed));
        applied(&cql, &killing).await;
        let late = standing(&cql, &link(parent, profile(), token(), Some(pointed))).await;
        assert_eq!((late.verdict, late.dead), (None, Some(id)));
        let rows = node(&cql, parent, Verdicts::All).await.verdicts;
        assert_eq!(rows.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_void_is_decided_once_even_at_the_dead() {
    with_cql(async |cql, _| {
        let (parent, child, asked) = (key(), profile(), token());
        let (killing, dead) = kill(parent, None);
        applied(&cql, &killing).await;

        // Refused, with the mark: the row is absent, so what comes back beside `[applied]` differs between servers.
        let refused = standing(&cql, &link(parent, child, asked, None)).await;
        assert_eq!(refused.verdict, None);

        let voiding = void(parent, child, asked);
        applied(&cql, &voiding).await;
        assert_eq!(standing(&cql, &voiding).await.verdict, Some(Verdict::Void));
        let refused = standing(&cql, &link(parent, child, asked, None)).await;
        assert_eq!(
            (refused.verdict, refused.dead),
            (Some(Verdict::Void), Some(dead))
        );

        // A node never written.
        let (fresh, second) = (key(), token());
        applied(&cql, &void(fresh, child, second)).await;
        let row = VerdictRow {
            child,
            token: second,
            verdict: Verdict::Void,
        };
        let read = node(&cql, fresh, Verdicts::Of(child, second)).await;
        assert_eq!(
            read,
            Node {
                verdicts: vec![row],
                ..Node::default()
            }
        );
    })
    .await;
}

#[tokio::test]
async fn a_root_dies_once() {
    with_cql(async |cql, _| {
        let root = key();
        let (wrong, _) = kill(root, Some(token()));
        assert_eq!(attempt(&cql, &wrong).await, REFUSED_BY_NOTHING);
        let (killing, id) = kill(root, None);
        applied(&cql, &killing).await;
        assert_eq!(
            node(&cql, root, Verdicts::None).await,
            Node {
                dead: Some(id),
                ..Node::default()
            }
        );
        assert_eq!(standing(&cql, &killing).await.dead, Some(id));
        assert_eq!(standing(&cql, &kill(root, None).0).await.dead, Some(id));

        // One that moved meanwhile.
        let (moved, pointed) = (key(), token());
        applied(&cql, &point(moved, None, profile(), pointed)).await;
        let stands = standing(&cql, &kill(moved, None).0).await;
        assert_eq!((stands.dead, stands.parent_token), (None, Some(pointed)));
        applied(&cql, &kill(moved, Some(pointed)).0).await;
    })
    .await;
}

#[tokio::test]
async fn a_node_shows_its_own_columns_whatever_its_rows() {
    with_cql(async |cql, _| {
        let (at, child, asked, pointed) = (key(), profile(), token(), token());
        let absent = Verdicts::Of(profile(), token());
        assert_eq!(node(&cql, at, absent).await, Node::default());
        assert_eq!(node(&cql, at, Verdicts::All).await, Node::default());

        // Own columns without rows.
        let parent = profile();
        applied(&cql, &point(at, None, parent, pointed)).await;
        let own = Node {
            pointer: Some(Pointer {
                parent,
                token: pointed,
            }),
            ..Node::default()
        };
        for verdicts in [Verdicts::None, absent, Verdicts::All] {
            assert_eq!(node(&cql, at, verdicts).await, own, "{verdicts:?}");
        }

        // Both.
        applied(&cql, &void(at, child, asked)).await;
        let row = VerdictRow {
            child,
            token: asked,
            verdict: Verdict::Void,
        };
        let both = Node {
            verdicts: vec![row],
            ..own.clone()
        };
        assert_eq!(node(&cql, at, Verdicts::None).await, own);
        assert_eq!(node(&cql, at, absent).await, own);
        assert_eq!(node(&cql, at, Verdicts::Of(child, asked)).await, both);
        assert_eq!(node(&cql, at, Verdicts::All).await, both);

        // Rows without own columns; and answers in the order of the reads.
        let plain = key();
        applied(&cql, &link(plain, child, asked, None)).await;
        let row = VerdictRow {
            child,
            token: asked,
            verdict: Verdict::Linked,
        };
        let reads = [
            NodeRead {
                at: plain,
                verdicts: Verdicts::None,
            },
            NodeRead {
                at,
                verdicts: Verdicts::None,
            },
            NodeRead {
                at: plain,
                verdicts: Verdicts::All,
            },
            NodeRead {
                at: plain,
                verdicts: Verdicts::Of(child, asked),
            },
        ];
        let linked = Node {
            verdicts: vec![row],
            ..Node::default()
        };
        assert_eq!(
            cql.nodes(&reads).await.unwrap(),
            [Node::default(), own, linked.clone(), linked]
        );
    })
    .await;
}

#[tokio::test]
async fn a_node_with_more_children_than_a_page_shows_them_all() {
    with_cql(async |cql, _| {
        let parent = key();
        let children: BTreeSet<_> = (0..1_100).map(|_| (profile(), token())).collect();
        let statements: Vec<_> = children
            .iter()
            .map(|(child, token)| link(parent, *child, *token, None))
            .collect();
        for round in statements.chunks(4) {
            for outcome in attempt_until_known(&cql, round).await {
                let done = match outcome {
                    Outcome::Applied => true,
                    Outcome::Refused(standing) => standing.verdict == Some(Verdict::Linked),
                    Outcome::Unknown => false,
                };
                assert!(done, "{outcome:?}");
            }
        }
        let (killing, dead) = kill(parent, None);
        applied(&cql, &killing).await;
        let read = node(&cql, parent, Verdicts::All).await;
        assert_eq!(read.dead, Some(dead));
        let found: BTreeSet<_> = read
            .verdicts
            .iter()
            .map(|row| (row.child, row.token))
            .collect();
        assert_eq!(found, children);
    })
    .await;
}

#[tokio::test]
async fn of_many_who_claim_at_once_one_wins_and_all_see_it() {
    with_cql(async |cql, _| {
        let key = claim_key();
        let (statements, rows): (Vec<_>, Vec<_>) =
            (0..12).map(|_| claim(key, None, profile())).unzip();
        let mut winners = Vec::new();
        let outcomes = attempt_until_known(&cql, &statements).await;
        for (row, outcome) in rows.iter().zip(outcomes) {
            match outcome {
                Outcome::Applied => winners.push(row.id),
                // Lost to an earlier sending of its own.
                Outcome::Refused(standing) if standing.claim_id == Some(row.id) => {
                    winners.push(row.id);
                }
                Outcome::Refused(_) | Outcome::Unknown => {}
            }
        }
        assert_eq!(winners.len(), 1);
        let standing = claim_of(&cql, key).await.unwrap();
        assert_eq!(standing.id, winners[0]);
        assert!(rows.contains(&standing));
    })
    .await;
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_questions() {
    with_cql(async |cql, _| {
        let keys: Vec<_> = (0..6).map(|_| claim_key()).collect();
        let (statements, rows): (Vec<_>, Vec<_>) = keys
            .iter()
            .step_by(2)
            .map(|key| claim(*key, None, profile()))
            .unzip();
        assert_eq!(
            cql.attempt(&statements, Durability::Ordered).await,
            [Outcome::Applied; 3]
        );
        let expected = [
            Some(rows[0]),
            None,
            Some(rows[1]),
            None,
            Some(rows[2]),
            None,
        ];
        assert_eq!(cql.claims(&keys).await.unwrap(), expected);
        assert_eq!(cql.claims(&[]).await.unwrap(), []);
        assert_eq!(cql.attempt(&[], Durability::Ordered).await, []);
    })
    .await;
}
