//! Deletions: a dead set is purged, and nothing that comes late stays.

use std::time::Duration;

use kith_domain::id::{
    AccountSid, ClaimId, DeleteId, LinkToken, ProfileId, ProfileKey, RequestId, StoreId,
};
use kith_domain::identifier::{ClaimKey, ClaimSecret, IdType, Identifier, IdentifierValue};
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{Places, StoreRecord, StoreStatus};
use kith_profiles::ports::{
    CellRows, Claim, IdentRow, LinkRow, Node, Pointer, Verdict, VerdictRow,
};
use trait_worker::WaitingFor;
use uuid::Uuid;

use crate::records::{event, good, profile, purge, record};
use crate::sim::{START, Sim};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn key(n: u128) -> ProfileKey {
    ProfileKey {
        store: StoreId::from_uuid(Uuid::nil()),
        profile: profile(n),
    }
}

fn store() -> StoreRecord {
    StoreRecord {
        id: StoreId::from_uuid(Uuid::nil()),
        account: "AC00000000000000000000000000000000"
            .parse::<AccountSid>()
            .unwrap(),
        display_name: "test".into(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings: IdentitySettings::default(),
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes([7; 32]),
        groups: Vec::new(),
        places: Places::default(),
    }
}

/// The identifier of member `n`: its claim, its row, and its key.
fn identifier(sim: &Sim, n: u128, owner: ProfileId) -> (ClaimKey, IdentRow) {
    let (id_type, value) = (
        IdType::new("email"),
        IdentifierValue::new(&format!("{n}@example.com")),
    );
    let claim = Claim {
        profile: Some(owner),
        id: ClaimId::from_uuid(Uuid::from_u128(n)),
        added_at: START,
        place: 0,
        by_request: RequestId::from_uuid(Uuid::nil()),
    };
    let row = IdentRow {
        id_type: id_type.clone(),
        value: value.clone(),
        claim: claim.id,
        added_at: START,
        settled: true,
    };
    let key = store()
        .claim_secret
        .claim_key(&Identifier { id_type, value });
    sim.database.set_claim(key, claim);
    (key, row)
}

fn token(n: u128) -> LinkToken {
    LinkToken::from_uuid(Uuid::from_u128(n))
}

fn linked(child: u128) -> VerdictRow {
    VerdictRow {
        child: profile(child),
        token: token(child),
        verdict: Verdict::Linked,
    }
}

fn pointer_of(child: u128, parent: u128) -> Pointer {
    Pointer {
        parent: profile(parent),
        token: token(child),
    }
}

/// A dead chain 3 to 2 to 1, whose upper link is settled, each with an identifier; gives the keys of their claims.
fn dead_set(sim: &Sim) -> Vec<ClaimKey> {
    sim.database.set_store(store());
    let settled = |child, below: &[u128]| CellRows {
        links: vec![LinkRow {
            child: profile(child),
            token: token(child),
            settled: true,
        }],
        members: below.iter().map(|n| profile(*n)).collect(),
        ..CellRows::default()
    };
    let dead = Some(DeleteId::from_uuid(Uuid::from_u128(9)));
    let nodes = [
        (None, dead, vec![linked(2)]),
        (Some(pointer_of(2, 1)), None, vec![linked(3)]),
        (Some(pointer_of(3, 2)), None, vec![]),
    ];
    let rows = [
        settled(2, &[2, 3]),
        CellRows::default(),
        CellRows::default(),
    ];
    let mut keys = Vec::new();
    for ((n, (pointer, dead, verdicts)), mut rows) in (1..).zip(nodes).zip(rows) {
        let node = Node {
            pointer,
            dead,
            verdicts,
        };
        sim.database.set_node(key(n), node);
        let (claim, row) = identifier(sim, n, profile(n));
        keys.push(claim);
        rows.idents.push(row);
        rows.clock = Some(START);
        sim.database.set_rows(key(n), rows);
    }
    keys
}

#[track_caller]
fn assert_nothing_is_left(sim: &Sim, keys: &[ClaimKey]) {
    assert!(sim.database.cells().is_empty());
    assert!(sim.database.rows().is_empty());
    for key in keys {
        assert_eq!(sim.database.claim(key).unwrap().profile, None);
    }
}

#[test]
fn a_dead_set_is_purged_root_last_and_its_claims_name_nobody() {
    let sim = Sim::new();
    let keys = dead_set(&sim);
    let ended = sim.run(async |sim| {
        sim.log.append(0, [purge(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    });
    assert_nothing_is_left(&sim, &keys);
    let purges = sim.database.purges();
    assert_eq!(purges.len(), 3);
    assert_eq!(purges.last(), Some(&profile(1)));
    assert_eq!(ended.summary().applied, 1);
}

#[test]
fn a_purge_read_again_does_nothing_more() {
    let sim = Sim::new();
    let keys = dead_set(&sim);
    sim.run(async |sim| {
        sim.log.append(0, [purge(1), purge(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
        let released: Vec<_> = keys.iter().map(|key| sim.database.claim(key)).collect();
        sim.log.append(0, [purge(1)]);
        sim.until_caught_up().await;
        let again: Vec<_> = keys.iter().map(|key| sim.database.claim(key)).collect();
        assert_eq!(again, released);
    })
    .summary();
    assert_nothing_is_left(&sim, &keys);
}

#[test]
fn a_profile_that_is_alive_is_not_purged() {
    let sim = Sim::new();
    let keys = dead_set(&sim);
    let alive = Node {
        verdicts: vec![linked(2)],
        ..Node::default()
    };
    sim.database.set_node(key(1), alive);
    let before = sim.database.rows();
    sim.run(async |sim| {
        sim.log.append(0, [purge(1), purge(2), purge(7)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
    assert!(sim.database.purges().is_empty());
    assert_eq!(sim.database.rows(), before);
    for (n, key) in (1..).zip(keys) {
        assert_eq!(sim.database.claim(&key).unwrap().profile, Some(profile(n)));
    }
}

#[test]
fn an_identifier_that_somebody_else_has_by_now_stays_theirs() {
    let sim = Sim::new();
    let keys = dead_set(&sim);
    let mut taken = sim.database.claim(&keys[2]).unwrap();
    taken.profile = Some(profile(50));
    taken.id = ClaimId::from_uuid(Uuid::from_u128(50));
    sim.database.set_claim(keys[2], taken);
    sim.run(async |sim| {
        sim.log.append(0, [purge(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
    assert_nothing_is_left(&sim, &keys[..2]);
    assert_eq!(sim.database.claim(&keys[2]), Some(taken));
}

#[test]
fn a_set_of_a_store_that_is_gone_is_purged_all_the_same() {
    let sim = Sim::new();
    let dead = Node {
        dead: Some(DeleteId::from_uuid(Uuid::from_u128(9))),
        ..Node::default()
    };
    sim.database.set_node(key(1), dead);
    let clock = CellRows {
        clock: Some(START),
        ..CellRows::default()
    };
    sim.database.set_rows(key(1), clock);
    sim.run(async |sim| {
        sim.log.append(0, [purge(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
    assert!(sim.database.rows().is_empty());
}

#[test]
fn a_purge_that_ends_anywhere_is_finished_by_the_next() {
    let (mut steps, mut is_whole) = (0, false);
    while !is_whole {
        let sim = Sim::new();
        let keys = dead_set(&sim);
        sim.database.answer_only(Some(steps));
        // This worker ends with the purge half done, and commits nothing.
        let ended = sim.run(async |sim| {
            sim.log.append(0, [purge(1)]);
            sim.log.assign(&[0]);
            sim.pass(Duration::from_millis(50)).await;
        });
        is_whole = ended.summary().applied == 1;
        assert_eq!(sim.log.committed(0), usize::from(is_whole));
        sim.database.answer_only(None);
        sim.run(async |sim| {
            sim.log.assign(&[0]);
            sim.until_caught_up().await;
        })
        .summary();
        assert_nothing_is_left(&sim, &keys);
        steps += 1;
        assert!(steps < 100, "a purge ends");
    }
    assert!(steps > 8, "{steps} steps");
}

#[test]
fn traits_of_a_dead_profile_leave_nothing() {
    let sim = Sim::new();
    let keys = dead_set(&sim);
    sim.run(async |sim| {
        // Before the purge, beside it, and when the database has long forgotten it; of the root and of a member.
        sim.log.assign(&[0]);
        for _ in 0..3 {
            let late = [1, 3].map(|who| record(&event(who, 1, "late")));
            sim.log.append(0, late);
            sim.log.append(0, [purge(1)]);
            let late = [1, 2].map(|who| record(&event(who, 2, "later")));
            sim.log.append(0, late);
            sim.until_caught_up().await;
            sim.database.forget_purges();
        }
        // As far ahead as a stamp may be, and without a purge.
        let ahead = i64::try_from((DAY * 2).as_micros()).unwrap();
        sim.log.append(0, [record(&event(3, ahead, "ahead"))]);
        sim.until_caught_up().await;
    })
    .summary();
    assert_nothing_is_left(&sim, &keys);
}

#[test]
fn a_purge_covers_what_comes_within_a_day_of_the_newest_stamp() {
    let sim = Sim::new();
    dead_set(&sim);
    let newest = START.plus(DAY);
    let mut rows = sim.database.rows().remove(&key(3)).unwrap();
    rows.clock = Some(newest);
    sim.database.set_rows(key(3), rows);
    sim.run(async |sim| {
        sim.log.append(0, [purge(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
    for n in 1..=3 {
        assert_eq!(sim.database.purged_at(key(n)), Some(newest.plus(DAY)));
    }
}

#[test]
fn a_living_profile_costs_one_read_of_its_node() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.log.append(0, [good(1), good(2)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
    assert_eq!(sim.database.calls(), 4, "a write and a look each");
    assert!(sim.database.purges().is_empty());
}

#[test]
fn without_a_clock_purges_wait_and_the_living_do_not() {
    let sim = Sim::new();
    let keys = dead_set(&sim);
    sim.clock.set_unsound(true);
    sim.run(async |sim| {
        sim.log.append(0, [good(40)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
        sim.log
            .append(0, [purge(1), record(&event(2, 1, "late")), good(41)]);
        sim.pass(Duration::from_secs(30)).await;
        assert_eq!(sim.log.committed(0), 1);
        sim.clock.set_unsound(false);
        sim.until_caught_up().await;
    })
    .summary();
    assert_eq!(sim.database.cells().len(), 2, "the living ones");
    assert!(sim.database.rows().is_empty());
    for key in keys {
        assert_eq!(sim.database.claim(&key).unwrap().profile, None);
    }
}

#[test]
fn a_node_that_cannot_be_read_stops_nobody() {
    let sim = Sim::new();
    sim.database.set_nodes_corrupt(true);
    let ended = sim.run(async |sim| {
        sim.log.append(0, [good(1), purge(1), good(2)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    });
    assert_eq!(ended.summary().applied, 3);
    assert_eq!(sim.log.committed(0), 3);
}

#[test]
fn what_is_written_to_a_deleted_store_is_taken_back() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.log.append(0, [good(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
        assert_eq!(sim.database.cells().len(), 1);
        sim.database.set_store_deleted();
        // A store that was alive a moment ago counts as alive: the purge of its deletion covers what is written meanwhile.
        sim.pass(Duration::from_secs(61)).await;
        sim.log.append(0, [good(2)]);
        sim.until_caught_up().await;
    })
    .summary();
    let kept: Vec<_> = sim.database.cells().into_keys().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
}

#[test]
fn while_a_purge_is_tried_again_the_worker_says_what_it_waits_for() {
    let sim = Sim::new();
    dead_set(&sim);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&seen);
    let worker = sim
        .worker()
        .on_pulse(move |pulse| noted.lock().unwrap().push(pulse.waiting_for));
    sim.database.answer_only(Some(3));
    sim.run_worker(worker, async |sim| {
        sim.log.append(0, [purge(1)]);
        sim.log.assign(&[0]);
        sim.pass(Duration::from_secs(3)).await;
        sim.database.answer_only(None);
        sim.until_caught_up().await;
    })
    .summary();
    assert!(seen.lock().unwrap().contains(&Some(WaitingFor::Database)));
    let retries = sim.metric(r#"kith_retries_total{operation="purge"}"#);
    assert!(retries.is_some_and(|count| count >= 2.0), "{retries:?}");
}
