//! What is out of reach, and comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kith_profiles::error::PortError;
use trait_worker::{Pulse, WaitingFor, WorkerError};

use crate::database::{Mode, unavailable};
use crate::log::Call;
use crate::records::{good, poison, profile};
use crate::sim::Sim;

#[test]
fn without_the_database_it_pauses_moves_no_offset_and_puts_nothing_aside() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, (0..10).map(good));
        sim.log.append(1, (10..200).map(good));
        sim.log.assign(&[0, 1]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0, 1])))
            .await;
        let waits =
            |what: &str| sim.metric(&format!(r#"kith_worker_waiting{{dependency="{what}"}}"#));
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(waits("database"), Some(1.0));
        assert_eq!(
            (waits("log"), waits("dead_letters")),
            (Some(0.0), Some(0.0))
        );
        let (polls, tries) = (sim.log.polls(), sim.database.tries());
        sim.pass(Duration::from_secs(600)).await;
        assert_eq!(sim.log.committed(0) + sim.log.committed(1), 0);
        assert!(sim.log.polls() > polls + 600, "the membership is kept");
        // Never more than what may be under way, each every five seconds at most.
        let again = sim.database.tries() - tries;
        assert!(
            (64 * 600 / 5..64 * 600 * 2 / 5 + 64 * 8).contains(&again),
            "{again}"
        );

        sim.database.set_mode(Mode::Up);
        let up = sim.log.polls();
        sim.until_caught_up().await;
        assert!(sim.log.polls() > up);
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(waits("database"), Some(0.0));
    });
    let summary = ended.summary();
    assert_eq!((summary.applied, summary.dead_lettered), (200, 0));
    assert_eq!(sim.letters.tries(), 0);
    assert!(sim.metric(r#"kith_retries_total{operation="persist"}"#) > Some(0.0));
}

#[test]
fn one_profile_out_of_reach_holds_up_its_offset_and_is_written_when_it_can_be() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.database.set_latency(profile(1), Duration::from_secs(1));
        sim.log.append(0, (0..4).map(good));
        sim.log.assign(&[0]);
        sim.until("the others written", || sim.database.writes().len() == 3)
            .await;
        sim.database.set_mode(Mode::Down);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
            .await;
        sim.pass(Duration::from_secs(60)).await;
        assert_eq!(sim.log.committed(0), 1);
        sim.database.set_mode(Mode::Up);
        sim.until_caught_up().await;
        assert!(sim.log.has(&Call::Resume(vec![0])));
    })
    .summary();
}

#[test]
fn partitions_that_come_during_an_outage_are_paused_too() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, [good(1)]);
        sim.log.assign(&[0]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
            .await;
        sim.log.append(1, [good(2)]);
        sim.log.assign(&[1]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![1])))
            .await;
        sim.pass(Duration::from_secs(10)).await;
        assert_eq!(sim.log.delivered(), 1);
        sim.database.set_mode(Mode::Up);
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn a_broken_database_ends_the_worker_without_another_commit() {
    for mode in [Mode::Fatal, Mode::Corrupt] {
        let sim = Sim::new();
        let ended = sim.run(async |sim| {
            sim.log.append(0, (0..3).map(good));
            sim.log.assign(&[0]);
            sim.until_caught_up().await;
            sim.database.set_mode(mode);
            sim.log.append(0, (3..6).map(good));
            sim.until("over", || sim.log.has(&Call::Close)).await;
        });
        assert!(matches!(
            ended.error(),
            WorkerError::Engine {
                stage: "persist",
                ..
            }
        ));
        assert_eq!(sim.log.committed(0), 3);
        assert_eq!(
            sim.metric(r#"kith_log_records_total{outcome="abandoned"}"#),
            Some(3.0)
        );
        assert_eq!(sim.letters.tries(), 0);
    }
}

#[test]
fn nothing_is_committed_any_more_when_something_is_broken() {
    let mut sim = Sim::new();
    sim.settings.tick = Duration::from_secs(10);
    sim.run(async |sim| {
        sim.database.set_latency(profile(1), Duration::from_secs(1));
        sim.log.append(0, (0..2).map(good));
        sim.log.assign(&[0]);
        sim.until("one written", || sim.database.writes().len() == 1)
            .await;
        sim.database.set_mode(Mode::Fatal);
        sim.until("over", || sim.log.has(&Call::Close)).await;
    })
    .error();
    assert_eq!(sim.log.calls(), [Call::Close]);
}

#[test]
fn without_the_log_it_asks_again_and_less_often() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.log.assign(&[0]);
        for _ in 0..20 {
            sim.log.fail(unavailable("poll"));
        }
        sim.log.append(0, [good(1)]);
        sim.pass(Duration::from_secs(30)).await;
        assert_eq!(sim.log.delivered(), 0, "it waits between two tries");
        sim.until_caught_up().await;
    });
    assert_eq!(
        sim.metric(r#"kith_retries_total{operation="poll"}"#),
        Some(20.0)
    );
    ended.summary();
}

#[test]
fn a_broken_log_ends_the_worker() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.log.fail(PortError::Fatal {
            operation: "poll",
            cause: None,
        });
        sim.until("over", || sim.log.has(&Call::Close)).await;
    });
    assert!(matches!(
        ended.error(),
        WorkerError::Engine { stage: "poll", .. }
    ));
}

#[test]
fn a_commit_that_fails_is_made_again() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.log.fail_commits(5);
        sim.log.append(0, [good(1)]);
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    });
    assert_eq!(
        sim.metric(r#"kith_retries_total{operation="commit"}"#),
        Some(5.0)
    );
    ended.summary();
}

#[test]
fn told_to_end_during_an_outage_it_gives_up_in_time() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, [poison(), good(1)]);
        sim.log.assign(&[0]);
        sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
            .await;
        sim.shut_down();
        sim.pass(sim.settings.drain + Duration::from_secs(1)).await;
        assert!(sim.log.has(&Call::Close));
    });
    let summary = ended.summary();
    assert_eq!((summary.dead_lettered, summary.abandoned), (1, 1));
    assert_eq!(sim.log.committed(0), 1);
}

#[test]
fn it_says_what_it_waits_for() {
    let sim = Sim::new();
    let heard: Arc<Mutex<Vec<Pulse>>> = Arc::default();
    let listener = Arc::clone(&heard);
    let worker = sim.worker();
    let worker = worker.on_pulse(move |pulse| listener.lock().unwrap().push(pulse));
    let waits_for = || {
        heard
            .lock()
            .unwrap()
            .last()
            .and_then(|pulse| pulse.waiting_for)
    };
    sim.run_worker(worker, async |sim| {
        sim.database.set_mode(Mode::Down);
        sim.log.append(0, [good(1)]);
        sim.log.assign(&[0]);
        sim.pass(Duration::from_secs(3)).await;
        assert!(heard.lock().unwrap().len() > 12, "a few times a second");
        assert_eq!(waits_for(), Some(WaitingFor::Database));
        sim.database.set_mode(Mode::Up);
        sim.until("it goes on", || waits_for().is_none()).await;
        sim.letters.set_mode(crate::letters::Mode::Down);
        sim.log.append(0, [poison()]);
        sim.until("it is said", || {
            waits_for() == Some(WaitingFor::DeadLetters)
        })
        .await;
        sim.letters.set_mode(crate::letters::Mode::Up);
        sim.until_caught_up().await;
        (0..3).for_each(|_| sim.log.fail(unavailable("poll")));
        sim.until("it is said", || waits_for() == Some(WaitingFor::Log))
            .await;
        sim.until("it goes on", || waits_for().is_none()).await;
    })
    .summary();
}
