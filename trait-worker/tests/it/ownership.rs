//! Partitions that come and go.

use std::time::Duration;

use crate::database::Mode;
use crate::log::Call;
use crate::records::{good, poison, profile};
use crate::sim::Sim;

#[test]
fn a_revoked_partition_is_finished_committed_and_then_released() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.set_latency(profile(2), Duration::from_secs(3));
        sim.log.append(0, (0..4).map(good));
        sim.log.append(1, [good(10)]);
        sim.log.assign(&[0, 1]);
        sim.until("read", || sim.log.delivered() == 5).await;
        sim.log.revoke(&[0]);
        sim.log.append(1, [good(11)]);
        sim.until("the other one goes on", || sim.log.committed(1) == 2)
            .await;
        assert!(!sim.log.has(&Call::Release(vec![0])), "it is not finished");
        sim.until("released", || sim.log.has(&Call::Release(vec![0])))
            .await;
    });
    let calls = sim.log.calls();
    let commit = calls
        .iter()
        .rposition(|call| matches!(call, Call::Commit(0, _)));
    let release = calls
        .iter()
        .position(|call| *call == Call::Release(vec![0]));
    assert!(commit < release, "{calls:?}");
    assert_eq!(sim.log.committed(0), 4);
    let summary = ended.summary();
    assert_eq!((summary.read, summary.applied), (6, 6));
}

#[test]
fn partitions_revoked_together_are_released_together() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.database.set_latency(profile(1), Duration::from_secs(2));
        sim.log.append(0, [good(1)]);
        sim.log.append(1, [good(2)]);
        sim.log.assign(&[0, 1, 2]);
        sim.until("read", || sim.log.delivered() == 2).await;
        sim.log.revoke(&[0, 1, 2]);
        sim.until("released", || sim.log.has(&Call::Release(vec![0, 1, 2])))
            .await;
        assert_eq!(sim.log.lag_records(), 0);
    })
    .summary();
}

#[test]
fn a_revoked_partition_is_released_in_time_finished_or_not() {
    let mut sim = Sim::new();
    sim.settings.hand_back = Duration::from_secs(4);
    let ended = sim.run(async |sim| {
        sim.database.hold(profile(1));
        sim.log.append(0, (0..3).map(good));
        sim.log.assign(&[0]);
        sim.until("the others written", || sim.database.writes().len() == 2)
            .await;
        sim.log.revoke(&[0]);
        sim.pass(Duration::from_secs(3)).await;
        assert!(!sim.log.has(&Call::Release(vec![0])));
        sim.pass(Duration::from_secs(2)).await;
        assert!(sim.log.has(&Call::Release(vec![0])));
        assert_eq!(sim.log.committed(0), 1);
        // It lands when the partition is somebody else's: the log's double would not take a commit.
        sim.database.let_go(profile(1));
        sim.pass(Duration::from_secs(5)).await;
        assert_eq!(sim.database.writes().len(), 3);
    });
    let summary = ended.summary();
    assert_eq!(
        (summary.read, summary.applied, summary.abandoned),
        (3, 2, 1)
    );
}

#[test]
fn a_lost_partition_is_dropped_without_a_commit() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        for n in 0..3 {
            sim.database.hold(profile(n));
        }
        sim.log.append(0, (0..3).map(good));
        sim.log.assign(&[0]);
        sim.until("read", || sim.log.delivered() == 3).await;
        sim.log.lose(&[0]);
        sim.pass(Duration::from_secs(1)).await;
        for n in 0..3 {
            sim.database.let_go(profile(n));
        }
        sim.pass(Duration::from_secs(5)).await;
    });
    assert_eq!(sim.log.calls(), [Call::Close]);
    let summary = ended.summary();
    assert_eq!((summary.applied, summary.abandoned), (0, 3));
}

#[test]
fn what_comes_late_from_an_assignment_before_moves_nothing() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.hold(profile(0));
        sim.log.append(0, (0..3).map(good));
        sim.log.assign(&[0]);
        sim.until("the others written", || sim.database.writes().len() == 2)
            .await;
        sim.log.lose(&[0]);
        sim.log.assign(&[0]);
        sim.until("read again", || sim.log.delivered() == 6).await;
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(sim.log.committed(0), 0);
        sim.database.let_go(profile(0));
        sim.until_caught_up().await;
    });
    let summary = ended.summary();
    assert_eq!(
        (summary.read, summary.applied, summary.abandoned),
        (6, 5, 1)
    );
}

#[test]
fn a_lost_partition_gives_back_what_it_took_of_the_budget() {
    let mut sim = Sim::new();
    sim.settings.records_in_flight_max = 12;
    sim.run(async |sim| {
        sim.database.hold(profile(0));
        sim.log.append(0, (0..6).map(good));
        for round in 1..20 {
            sim.log.assign(&[0]);
            sim.until("read", || sim.log.delivered() == 6 * round).await;
            sim.pass(Duration::from_secs(1)).await;
            sim.log.lose(&[0]);
            // What hangs in the database keeps its bytes, and no place among the records.
            sim.pass(Duration::from_secs(1)).await;
        }
        sim.database.let_go(profile(0));
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn a_partition_assigned_again_without_a_word_is_read_anew() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, (0..3).map(good));
        sim.log.assign(&[0]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
            .await;
        sim.log.assign(&[0]);
        sim.pass(Duration::from_secs(1)).await;
        assert!(sim.log.is_paused(0), "pausing belongs to an assignment");
        sim.database.set_mode(Mode::Up);
        sim.until_caught_up().await;
    });
    let summary = ended.summary();
    assert_eq!(
        (summary.read, summary.applied, summary.abandoned),
        (6, 3, 3)
    );
}

#[test]
fn work_of_a_lost_partition_is_not_tried_again() {
    let mut sim = Sim::new();
    sim.settings.writes_max = 4;
    let ended = sim.run(async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, (0..50).map(good));
        sim.log.assign(&[0]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
            .await;
        sim.log.lose(&[0]);
        sim.pass(Duration::from_secs(6)).await;
        let tries = sim.database.tries();
        sim.pass(Duration::from_secs(60)).await;
        assert_eq!(sim.database.tries(), tries);
        // And it holds nothing up that comes later.
        sim.database.set_mode(Mode::Up);
        sim.log.append(1, (100..200).map(good));
        sim.log.assign(&[1]);
        sim.until("the other one done", || sim.log.committed(1) == 100)
            .await;
    });
    assert_eq!(ended.summary().abandoned, 50);
}

#[test]
fn a_revoked_partition_during_an_outage_is_released_in_time() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, [poison(), good(1)]);
        sim.log.append(1, [good(2)]);
        sim.log.assign(&[0, 1]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0, 1])))
            .await;
        sim.log.revoke(&[0]);
        sim.pass(sim.settings.hand_back + Duration::from_secs(1))
            .await;
        assert!(sim.log.has(&Call::Release(vec![0])));
        assert_eq!(sim.log.committed(0), 1);
        sim.database.set_mode(Mode::Up);
        sim.until("the other one done", || sim.log.committed(1) == 1)
            .await;
    });
    let summary = ended.summary();
    assert_eq!(
        (summary.applied, summary.dead_lettered, summary.abandoned),
        (1, 1, 1)
    );
}

#[test]
fn a_partition_lost_while_it_is_handed_back_is_not_released() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.database.hold(profile(1));
        sim.log.append(0, [good(1)]);
        sim.log.assign(&[0, 1]);
        sim.until("read", || sim.log.delivered() == 1).await;
        sim.log.revoke(&[0, 1]);
        sim.pass(Duration::from_secs(1)).await;
        sim.log.lose(&[0]);
        sim.until("the rest released", || sim.log.has(&Call::Release(vec![1])))
            .await;
        sim.database.let_go(profile(1));
        sim.pass(Duration::from_secs(20)).await;
    })
    .summary();
    assert!(
        !sim.log
            .calls()
            .iter()
            .any(|call| matches!(call, Call::Commit(..)))
    );
}

#[test]
fn partitions_can_be_asked_back_while_it_ends() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.set_latency(profile(1), Duration::from_secs(2));
        sim.database.set_latency(profile(2), Duration::from_secs(5));
        sim.log.append(0, [good(1)]);
        sim.log.append(1, [good(2)]);
        sim.log.assign(&[0, 1]);
        sim.until("read", || sim.log.delivered() == 2).await;
        sim.shut_down();
        sim.pass(Duration::from_millis(100)).await;
        sim.log.revoke(&[0]);
        sim.until("released", || sim.log.has(&Call::Release(vec![0])))
            .await;
    });
    assert_eq!(sim.log.lag_records(), 0);
    assert_eq!(ended.summary().applied, 2);
}

#[test]
fn while_a_release_takes_its_time_writes_go_on() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.log.set_release_takes(Duration::from_secs(8));
        for n in 0..200 {
            sim.database
                .set_latency(profile(n), Duration::from_millis(100));
        }
        sim.log.append(0, (0..64).map(good));
        sim.log.assign(&[0, 1]);
        sim.until("read", || sim.log.delivered() == 64).await;
        sim.log.revoke(&[1]);
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(sim.database.writes().len(), 64);
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn a_record_of_a_partition_that_is_not_ours_ends_the_worker() {
    use trait_worker::{LedgerError, WorkerError};
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.log.append(0, [good(1)]);
        sim.log.deliver_unassigned(0);
        sim.until("over", || sim.log.has(&Call::Close)).await;
    });
    assert!(matches!(
        ended.error(),
        WorkerError::Books(LedgerError::NotAssigned {
            partition: 0,
            offset: 10
        })
    ));
    assert_eq!(sim.log.calls(), [Call::Close]);
}
