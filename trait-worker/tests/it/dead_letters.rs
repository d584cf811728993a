//! Records that no retry can make good.

use std::time::Duration;

use trait_worker::{InvalidMax, WorkerError};

use crate::letters::Mode;
use crate::log::Call;
use crate::records::{good, poison};
use crate::sim::Sim;

#[test]
fn a_dead_letter_is_the_record_with_its_place_and_the_reason() {
    let mut sim = Sim::new();
    sim.settings.topic = "some.topic".to_owned();
    let ended = sim.run(async |sim| {
        let mut empty = poison();
        empty.payload = bytes::Bytes::new();
        sim.log.append(3, [good(1), poison(), empty]);
        sim.log.assign(&[3]);
        sim.until_caught_up().await;
    });
    assert_eq!(ended.summary().dead_lettered, 2);
    let records = sim.log.records();
    let buried = sim.letters.buried();
    assert_eq!(buried.len(), 2);
    assert_eq!(
        (&buried[0].record, buried[0].reason),
        (&records[1], "malformed")
    );
    assert_eq!(
        (&buried[1].record, buried[1].reason),
        (&records[2], "empty")
    );
    assert_eq!(buried[0].topic, "some.topic");
    assert_eq!(
        sim.metric(r#"kith_dead_letters_total{reason="malformed"}"#),
        Some(1.0)
    );
    assert_eq!(
        sim.metric(r#"kith_dead_letters_total{reason="empty"}"#),
        Some(1.0)
    );
}

#[test]
fn its_offset_moves_when_it_is_acknowledged_and_not_before() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.letters.set_mode(Mode::Silent);
        sim.log.append(0, [good(1), poison(), good(2)]);
        sim.log.assign(&[0]);
        sim.until("the good ones written", || sim.database.writes().len() == 2)
            .await;
        sim.pass(Duration::from_secs(5)).await;
        assert_eq!(sim.log.committed(0), 1);
        assert!(!sim.log.is_paused(0), "slow is not out of reach");
        sim.letters.set_mode(Mode::Up);
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn while_they_are_out_of_reach_it_pauses_and_tries_again() {
    for mode in [Mode::Down, Mode::Full] {
        let sim = Sim::new();
        let ended = sim.run(async |sim| {
            sim.letters.set_mode(mode);
            sim.log.append(0, [good(1), poison(), good(2)]);
            sim.log.assign(&[0]);
            sim.until("paused", || sim.log.has(&Call::Pause(vec![0])))
                .await;
            sim.log.append(0, [good(3)]);
            sim.pass(Duration::from_secs(60)).await;
            assert_eq!((sim.log.committed(0), sim.log.delivered()), (1, 3));
            assert!(sim.letters.tries() > 10);
            sim.letters.set_mode(Mode::Up);
            sim.until_caught_up().await;
        });
        let summary = ended.summary();
        assert_eq!((summary.applied, summary.dead_lettered), (3, 1));
        assert_eq!(sim.letters.buried().len(), 1);
    }
}

#[test]
fn one_that_is_too_large_for_them_ends_the_worker() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.letters.set_mode(Mode::TooLarge);
        sim.log.append(0, [good(1), poison()]);
        sim.log.assign(&[0]);
        sim.until("over", || sim.log.has(&Call::Close)).await;
    });
    assert!(matches!(
        ended.error(),
        WorkerError::DeadLetterTooLarge {
            partition: 0,
            offset: 11
        }
    ));
    assert!(sim.log.committed(0) <= 1);
}

#[test]
fn too_many_end_the_worker_and_the_rest_stays_in_the_log() {
    let mut sim = Sim::new();
    sim.settings.invalid_max = Some(InvalidMax {
        records: 10,
        window: 100,
    });
    sim.log.set_batch(7);
    let ended = sim.run(async |sim| {
        let bad = (0..500).map(|_| poison());
        sim.log.append(0, (0..50).map(good).chain(bad));
        sim.log.append(1, (50..60).map(good));
        sim.log.assign(&[0, 1]);
        sim.until("over", || sim.log.has(&Call::Close)).await;
    });
    let limits = (10, 100);
    assert!(
        matches!(ended.error(), WorkerError::TooManyInvalid { records, window } if (*records, *window) == limits)
    );
    let buried = sim.letters.buried().len();
    assert!(buried <= 10, "{buried}");
    assert_eq!(
        sim.log.committed(0),
        50 + buried,
        "what is done, and not one more"
    );
    let ended_as = |outcome: &str| {
        let series = format!(r#"kith_log_records_total{{outcome="{outcome}"}}"#);
        sim.metric(&series).unwrap_or_default()
    };
    let sum = ended_as("applied") + ended_as("dead_lettered") + ended_as("abandoned");
    assert_eq!(sum, f64::from(u32::try_from(sim.log.delivered()).unwrap()));
}

#[test]
fn good_records_between_them_are_applied_before_it_ends() {
    let mut sim = Sim::new();
    sim.settings.invalid_max = Some(InvalidMax {
        records: 2,
        window: 100,
    });
    sim.run(async |sim| {
        sim.letters.set_mode(Mode::Silent);
        let records = (0..6).map(|n| if n % 2 == 0 { good(n) } else { poison() });
        sim.log.append(0, records);
        sim.log.assign(&[0]);
        sim.until("over", || sim.log.has(&Call::Close)).await;
    })
    .error();
    assert_eq!(sim.database.writes().len(), 3);
    assert_eq!(
        sim.log.committed(0),
        1,
        "the first letter was never acknowledged"
    );
}

#[test]
fn without_a_limit_any_number_is_put_aside() {
    let mut sim = Sim::new();
    sim.settings.invalid_max = None;
    let ended = sim.run(async |sim| {
        sim.log.append(0, (0..2_000).map(|_| poison()));
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    });
    assert_eq!(ended.summary().dead_lettered, 2_000);
}
