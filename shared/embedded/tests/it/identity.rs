use bytes::Bytes;
use kith_domain::id::{ClaimId, DeleteId, LinkToken, ProfileId, ProfileKey, RequestId};
use kith_domain::identifier::ClaimKey;
use kith_embedded::{Embedded, Injection};
use kith_profiles::ports::{
    Conditional, Durability, Identity, Node, NodeRead, Outcome, Pointer, Standing, Verdict,
    VerdictRow, Verdicts,
};
use tokio::task::JoinSet;

use crate::harness::{Home, at, micros, uuid};

fn key(byte: u8) -> ClaimKey {
    ClaimKey::from_bytes([byte; 32])
}

fn claim(key: ClaimKey, expected: Option<ClaimId>, profile: ProfileId) -> (ClaimId, Conditional) {
    let id = ClaimId::from_uuid(uuid());
    let statement = Conditional::Claim {
        key,
        expected,
        id,
        profile,
        added_at: micros(7),
        place: 1,
        by_request: RequestId::from_uuid(uuid()),
    };
    (id, statement)
}

fn token() -> LinkToken {
    LinkToken::from_uuid(uuid())
}

async fn attempt(engine: &Embedded, statement: Conditional) -> Outcome {
    let outcomes = engine.attempt(&[statement], Durability::Ordered).await;
    assert_eq!(outcomes.len(), 1);
    outcomes[0]
}

async fn node(engine: &Embedded, at: ProfileKey) -> Node {
    let read = NodeRead {
        at,
        verdicts: Verdicts::All,
    };
    engine.nodes(&[read]).await.unwrap().remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_claims_of_one_key_exactly_one_is_applied() {
    let home = Home::new();
    let engine = home.open();
    let mut tasks = JoinSet::new();
    for n in 0..1000u128 {
        let engine = engine.clone();
        tasks.spawn(async move {
            let (id, statement) = claim(key(1), None, at(n).profile);
            (id, attempt(&engine, statement).await)
        });
    }
    let outcomes = tasks.join_all().await;
    let stands = engine.claims(&[key(1)]).await.unwrap()[0].unwrap();
    for (id, outcome) in outcomes {
        let expected = if id == stands.id {
            Outcome::Applied
        } else {
            Outcome::Refused(Standing {
                claim_id: Some(stands.id),
                ..Standing::default()
            })
        };
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn a_claim_is_replaced_by_its_exact_id_and_released_without_losing_its_row() {
    let home = Home::new();
    let engine = home.open();
    let (first, statement) = claim(key(1), None, at(1).profile);
    assert_eq!(attempt(&engine, statement.clone()).await, Outcome::Applied);
    // The same statement again has lost to itself.
    let lost = Outcome::Refused(Standing {
        claim_id: Some(first),
        ..Standing::default()
    });
    assert_eq!(attempt(&engine, statement).await, lost);
    let (_, stale) = claim(key(1), Some(ClaimId::from_uuid(uuid())), at(2).profile);
    assert_eq!(attempt(&engine, stale).await, lost);

    let released = ClaimId::from_uuid(uuid());
    let release = Conditional::Release {
        key: key(1),
        expected: first,
        id: released,
        by_request: RequestId::from_uuid(uuid()),
    };
    assert_eq!(attempt(&engine, release).await, Outcome::Applied);
    let row = engine.claims(&[key(2), key(1)]).await.unwrap();
    assert_eq!(row[0], None);
    let row = row[1].unwrap();
    assert_eq!(
        (row.profile, row.id, row.added_at),
        (None, released, micros(7))
    );

    let (second, statement) = claim(key(1), Some(released), at(2).profile);
    assert_eq!(attempt(&engine, statement).await, Outcome::Applied);
    assert_eq!(
        engine.claims(&[key(1)]).await.unwrap()[0].unwrap().id,
        second
    );

    let absent = Conditional::Release {
        key: key(3),
        expected: first,
        id: released,
        by_request: RequestId::from_uuid(uuid()),
    };
    assert_eq!(
        attempt(&engine, absent).await,
        Outcome::Refused(Standing::default())
    );
}

#[tokio::test]
async fn links_hold_to_their_conditions() {
    let home = Home::new();
    let engine = home.open();
    let (parent, child, pointer) = (at(1), at(2), token());
    let point = Conditional::Point {
        child,
        expected: None,
        parent: parent.profile,
        token: pointer,
    };
    assert_eq!(attempt(&engine, point.clone()).await, Outcome::Applied);
    let pointing = Standing {
        parent_token: Some(pointer),
        ..Standing::default()
    };
    assert_eq!(attempt(&engine, point).await, Outcome::Refused(pointing));
    assert_eq!(
        node(&engine, child).await.pointer,
        Some(Pointer {
            parent: parent.profile,
            token: pointer
        })
    );

    let link = |expected| Conditional::Link {
        parent,
        child: child.profile,
        token: pointer,
        expected,
        decided_at: micros(1),
        evidence: Bytes::from_static(b"why"),
    };
    let wrong = attempt(&engine, link(Some(token()))).await;
    assert_eq!(wrong, Outcome::Refused(Standing::default()));
    assert_eq!(attempt(&engine, link(None)).await, Outcome::Applied);
    let linked = Standing {
        verdict: Some(Verdict::Linked),
        ..Standing::default()
    };
    assert_eq!(attempt(&engine, link(None)).await, Outcome::Refused(linked));
    let void = Conditional::Void {
        parent,
        child: child.profile,
        token: pointer,
        decided_at: micros(2),
    };
    assert_eq!(attempt(&engine, void).await, Outcome::Refused(linked));

    let delete = DeleteId::from_uuid(uuid());
    let kill = |profile, expected| Conditional::Kill {
        profile,
        expected,
        id: delete,
    };
    assert_eq!(
        attempt(&engine, kill(child, None)).await,
        Outcome::Refused(pointing)
    );
    assert_eq!(attempt(&engine, kill(parent, None)).await, Outcome::Applied);
    let dead = Standing {
        dead: Some(delete),
        ..Standing::default()
    };
    assert_eq!(
        attempt(&engine, kill(parent, None)).await,
        Outcome::Refused(dead)
    );
    // Nothing links to a dead parent, but what is undecided there can still be voided.
    let late = token();
    let link = Conditional::Link {
        parent,
        child: at(3).profile,
        token: late,
        expected: None,
        decided_at: micros(3),
        evidence: Bytes::new(),
    };
    assert_eq!(attempt(&engine, link).await, Outcome::Refused(dead));
    let void = Conditional::Void {
        parent,
        child: at(3).profile,
        token: late,
        decided_at: micros(4),
    };
    assert_eq!(attempt(&engine, void).await, Outcome::Applied);

    let found = node(&engine, parent).await;
    let row = |child, token, verdict| VerdictRow {
        child,
        token,
        verdict,
    };
    assert_eq!(found.dead, Some(delete));
    assert_eq!(
        found.verdicts,
        [
            row(child.profile, pointer, Verdict::Linked),
            row(at(3).profile, late, Verdict::Void)
        ]
    );
    let one = NodeRead {
        at: parent,
        verdicts: Verdicts::Of(child.profile, pointer),
    };
    let none = NodeRead {
        at: at(9),
        verdicts: Verdicts::All,
    };
    let reads = engine.nodes(&[none, one]).await.unwrap();
    assert_eq!(reads[0], Node::default());
    assert_eq!(
        reads[1].verdicts,
        [row(child.profile, pointer, Verdict::Linked)]
    );
}

#[tokio::test]
async fn statements_of_one_round_see_each_other() {
    let home = Home::new();
    let engine = home.open();
    let (first, one) = claim(key(1), None, at(1).profile);
    let (_, two) = claim(key(1), None, at(2).profile);
    let (_, three) = claim(key(1), Some(first), at(3).profile);
    let outcomes = engine
        .attempt(&[one, two, three], Durability::Durable)
        .await;
    let lost = Standing {
        claim_id: Some(first),
        ..Standing::default()
    };
    assert_eq!(
        outcomes,
        [Outcome::Applied, Outcome::Refused(lost), Outcome::Applied]
    );
}

#[tokio::test]
async fn an_injected_unknown_is_applied_or_not_as_asked_and_happens_once() {
    let home = Home::new();
    let engine = home.open();
    engine.inject(Injection::UnknownDropped);
    engine.inject(Injection::UnknownApplied);
    let (id, statement) = claim(key(1), None, at(1).profile);
    assert_eq!(attempt(&engine, statement.clone()).await, Outcome::Unknown);
    assert_eq!(engine.claims(&[key(1)]).await.unwrap(), [None]);
    assert_eq!(attempt(&engine, statement.clone()).await, Outcome::Unknown);
    assert_eq!(engine.claims(&[key(1)]).await.unwrap()[0].unwrap().id, id);
    let lost_to_itself = Outcome::Refused(Standing {
        claim_id: Some(id),
        ..Standing::default()
    });
    assert_eq!(attempt(&engine, statement).await, lost_to_itself);
}

#[tokio::test]
async fn a_late_statement_comes_after_the_one_that_follows_it() {
    let home = Home::new();
    let engine = home.open();
    engine.inject(Injection::UnknownLate);
    let (late, statement) = claim(key(1), None, at(1).profile);
    assert_eq!(attempt(&engine, statement).await, Outcome::Unknown);
    assert_eq!(engine.claims(&[key(1)]).await.unwrap(), [None]);
    // Another claim of another key: the late one takes its free key after it.
    let (_, statement) = claim(key(2), None, at(1).profile);
    assert_eq!(attempt(&engine, statement).await, Outcome::Applied);
    assert_eq!(engine.claims(&[key(1)]).await.unwrap()[0].unwrap().id, late);

    // If the key was taken meanwhile, the late one comes to nothing.
    engine.inject(Injection::UnknownLate);
    let (_, statement) = claim(key(3), None, at(1).profile);
    assert_eq!(attempt(&engine, statement).await, Outcome::Unknown);
    let (first, statement) = claim(key(3), None, at(2).profile);
    assert_eq!(attempt(&engine, statement).await, Outcome::Applied);
    assert_eq!(
        engine.claims(&[key(3)]).await.unwrap()[0].unwrap().id,
        first
    );
}
