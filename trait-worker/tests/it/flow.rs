//! The way of good records, and the bounds around it.

use std::time::Duration;

use kith_domain::event::TraitEvent;
use kith_profiles::apply::fold;
use kith_profiles::ports::CellWrite;
use trait_worker::{Settings, Worker};

use crate::log::{Call, Source};
use crate::records::{event, good, poison, profile, record};
use crate::sim::Sim;

const MILLIS: Duration = Duration::from_millis(1);

/// Checks that the database holds exactly what all records of the log say, folded at once.
#[track_caller]
fn assert_everything_is_applied(sim: &Sim) {
    let events = sim.log.records().into_iter();
    let events = events.filter_map(|record| TraitEvent::decode(&record.payload).ok());
    let mut expected = Vec::new();
    for batch in fold(events) {
        for write in batch.writes {
            let CellWrite::Trait(definition, value) = write else {
                panic!("{write:?}");
            };
            expected.push(((batch.at, definition), (batch.time, value)));
        }
    }
    expected.sort();
    let found = sim.database.cells().into_iter();
    let found: Vec<_> = found
        .map(|(key, cell)| (key, (cell.time, cell.value)))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_record_is_applied_and_committed() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.log.assign(&[0, 1, 2]);
        for n in 0..600u32 {
            let person = u128::from(n * 7 % 40);
            let stamp = i64::from(n * 31 % 500);
            let event = event(person, stamp, &n.to_string());
            sim.database
                .set_latency(profile(person), MILLIS * (n * 13 % 50));
            sim.log
                .append(i32::try_from(n % 3).unwrap(), [record(&event)]);
        }
        sim.until_caught_up().await;
    });
    assert_everything_is_applied(&sim);
    let summary = ended.summary();
    assert_eq!((summary.read, summary.applied), (600, 600));
    assert_eq!(sim.log.calls().last(), Some(&Call::Close));
}

#[test]
fn offsets_move_only_over_what_is_done_with_all_before_it() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.database.hold(profile(1));
        sim.log.append(0, (0..4).map(good));
        sim.log.assign(&[0]);
        sim.until("the others written", || sim.database.writes().len() == 3)
            .await;
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(sim.log.committed(0), 1, "the second is not done");
        sim.database.let_go(profile(1));
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn records_of_one_profile_in_one_poll_are_one_write() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        let newest_last = (0..5).map(|n| record(&event(7, n, "a")));
        let newest_first = (0..5).rev().map(|n| record(&event(8, n, "b")));
        sim.log
            .append(0, newest_last.chain(newest_first).chain([good(9)]));
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    });
    assert_everything_is_applied(&sim);
    assert_eq!(sim.database.tries(), 3);
    assert_eq!(ended.summary().applied, 11);
}

#[test]
fn poison_in_the_middle_does_not_stop_the_flow() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        let records = (0..200).map(|n| if n % 20 == 9 { poison() } else { good(n) });
        sim.log.append(0, records);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    });
    assert_everything_is_applied(&sim);
    let summary = ended.summary();
    assert_eq!((summary.applied, summary.dead_lettered), (190, 10));
}

#[test]
fn past_the_budget_reading_pauses_and_goes_on_when_half_is_done() {
    let mut sim = Sim::new();
    sim.settings.records_in_flight_max = 20;
    sim.log.set_batch(5);
    let ended = sim.run(async |sim| {
        for n in 0..100 {
            sim.database.hold(profile(n));
        }
        sim.log.append(0, (0..100).map(good));
        sim.log.assign(&[0]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
            .await;
        let polls = sim.log.polls();
        sim.pass(Duration::from_secs(5)).await;
        assert_eq!(sim.log.delivered(), 20);
        assert!(sim.log.polls() > polls, "the log is polled all the same");

        for n in 0..9 {
            sim.database.let_go(profile(n));
        }
        sim.pass(Duration::from_secs(1)).await;
        assert!(sim.log.is_paused(0), "more than half is in flight");
        sim.database.let_go(profile(9));
        sim.until("resumed", || sim.log.has(&Call::Resume(vec![0])))
            .await;
        for n in 10..100 {
            sim.database.let_go(profile(n));
        }
        sim.until_caught_up().await;
    });
    assert_eq!(ended.summary().applied, 100);
}

#[test]
fn bytes_are_bounded_too() {
    let mut sim = Sim::new();
    sim.settings.record_bytes_in_flight_max = 100_000;
    sim.log.set_batch(1);
    sim.run(async |sim| {
        let large = "x".repeat(30_000);
        for n in 0..20 {
            sim.database.hold(profile(n));
            sim.log.append(0, [record(&event(n, 1, &large))]);
        }
        sim.log.assign(&[0]);
        sim.pass(Duration::from_secs(5)).await;
        assert_eq!(
            sim.log.delivered(),
            4,
            "the one that passes the limit included"
        );
        for n in 0..20 {
            sim.database.let_go(profile(n));
        }
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn a_backlog_is_worked_off_within_the_same_bounds() {
    let mut sim = Sim::new();
    sim.settings.records_in_flight_max = 200;
    sim.settings.writes_max = 16;
    let ended = sim.run(async |sim| {
        for partition in 0..4u8 {
            let start = u128::from(partition) * 10_000;
            for n in start..start + 50 {
                sim.database
                    .set_latency(profile(n), Duration::from_millis(3));
            }
            sim.log
                .append(i32::from(partition), (start..start + 5_000).map(good));
        }
        sim.log.assign(&[0, 1, 2, 3]);
        sim.until_caught_up().await;
    });
    assert_eq!(ended.summary().applied, 20_000);
    assert!(sim.database.most_under_way() <= 16);
    // The budget, and the event of the log that passed it.
    assert!(
        sim.log.most_unwritten() <= 200 + 100,
        "{}",
        sim.log.most_unwritten()
    );
}

#[test]
fn told_to_end_it_finishes_what_it_has_read() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        for n in 0..150 {
            sim.database.set_latency(profile(n), Duration::from_secs(2));
        }
        sim.log.append(0, (0..150).map(good));
        sim.log.assign(&[0]);
        sim.until("read", || sim.log.delivered() == 150).await;
        sim.shut_down();
        sim.pass(Duration::from_millis(1)).await;
        sim.log.append(0, [good(1_000)]);
    });
    let summary = ended.summary();
    assert_eq!(
        (summary.read, summary.applied, summary.abandoned),
        (150, 150, 0)
    );
    assert_eq!(sim.log.committed(0), 150, "and reads nothing more");
    assert_eq!(sim.log.calls().last(), Some(&Call::Close));
}

#[test]
fn told_to_end_it_does_not_wait_for_ever() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.hold(profile(2));
        sim.log.append(0, (0..5).map(good));
        sim.log.assign(&[0]);
        sim.until("the others written", || sim.database.writes().len() == 4)
            .await;
    });
    let summary = ended.summary();
    assert_eq!(
        (summary.read, summary.applied, summary.abandoned),
        (5, 4, 1)
    );
    assert_eq!(sim.log.committed(0), 2, "up to what was never done");
}

#[test]
fn told_to_end_before_anything_came_it_ends() {
    let sim = Sim::new();
    assert_eq!(sim.run(async |_| {}).summary().read, 0);
}

#[test]
fn the_worker_can_be_spawned() {
    fn spawnable<T: Send>(_: &T) {}
    let sim = Sim::new();
    let worker = Worker::new(
        Source::new(&sim.log),
        sim.database.clone(),
        sim.letters.clone(),
        sim.clock.clone(),
        sim.ids.clone(),
        Settings::default(),
    );
    spawnable(&worker.run(std::future::pending()));
}
