//! What is measured, by value.

use std::collections::BTreeSet;
use std::time::Duration;

use kith_domain::event::EventError;
use kith_profiles::error::PublishError;
use kith_runtime::metrics::{CATALOGUE, names};

use crate::records::{good, profile};
use crate::sim::Sim;

fn lag(sim: &Sim, partition: i32) -> (Option<f64>, Option<f64>) {
    let of = |name: &str| sim.metric(&format!(r#"{name}{{partition="{partition}"}}"#));
    (of("kith_log_lag_records"), of("kith_log_lag_seconds"))
}

#[test]
fn lag_is_the_age_of_the_oldest_record_that_is_not_done() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.log.assign(&[0, 1]);
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(lag(sim, 0), (Some(0.0), Some(0.0)));

        sim.database.hold(profile(1));
        sim.log.append(0, (0..3).map(good));
        sim.pass(Duration::from_secs(20)).await;
        let (records, seconds) = lag(sim, 0);
        assert_eq!(records, Some(2.0), "the first one is committed");
        assert!(
            seconds >= Some(19.0) && seconds <= Some(20.0),
            "{seconds:?}"
        );
        assert_eq!(lag(sim, 1), (Some(0.0), Some(0.0)));

        sim.database.let_go(profile(1));
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(lag(sim, 0), (Some(0.0), Some(0.0)));
    })
    .summary();
}

#[test]
fn lag_grows_also_where_nothing_is_read() {
    let mut sim = Sim::new();
    sim.settings.records_in_flight_max = 1;
    sim.log.set_batch(1);
    sim.run(async |sim| {
        sim.database.hold(profile(1));
        sim.log.append(0, [good(1)]);
        sim.log.append(1, [good(2)]);
        sim.log.assign(&[0, 1]);
        sim.pass(Duration::from_secs(10)).await;
        assert_eq!(sim.log.delivered(), 1);
        let (records, seconds) = lag(sim, 1);
        assert_eq!(records, Some(1.0));
        assert!(seconds >= Some(9.0) && seconds <= Some(10.0), "{seconds:?}");
        sim.database.let_go(profile(1));
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn a_partition_of_somebody_else_has_no_lag_here() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.database.hold(profile(1));
        sim.log.append(0, [good(1)]);
        sim.log.append(1, [good(1)]);
        sim.log.assign(&[0, 1]);
        sim.pass(Duration::from_secs(5)).await;
        assert_eq!(lag(sim, 0).0, Some(1.0));
        sim.log.lose(&[0]);
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(lag(sim, 0), (Some(0.0), Some(0.0)));
        assert_eq!(lag(sim, 1).0, Some(1.0));
    })
    .summary();
    assert_eq!(
        lag(&sim, 1),
        (Some(0.0), Some(0.0)),
        "nor when the worker is gone"
    );
}

#[test]
fn a_worker_shows_how_full_it_is() {
    let mut sim = Sim::new();
    sim.settings.records_in_flight_max = 8;
    sim.run(async |sim| {
        let of = |name: &str| sim.metric(name);
        sim.log.assign(&[0]);
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(of("kith_worker_in_flight_records"), Some(0.0));
        assert_eq!(of("kith_worker_in_flight_records_max"), Some(8.0));
        assert_eq!(
            of("kith_worker_in_flight_bytes_max"),
            Some(f64::from(16 << 20))
        );

        sim.database.hold(profile(1));
        sim.log.append(0, [good(1)]);
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(of("kith_worker_in_flight_records"), Some(1.0));
        assert!(of("kith_worker_in_flight_bytes") > Some(0.0));

        sim.database.let_go(profile(1));
        sim.until_caught_up().await;
        sim.pass(Duration::from_secs(1)).await;
        assert_eq!(of("kith_worker_in_flight_records"), Some(0.0));
        assert_eq!(of("kith_worker_in_flight_bytes"), Some(0.0));
    })
    .summary();
}

#[test]
fn the_reasons_and_outcomes_of_the_catalogue_are_those_of_the_code() {
    let values = |name: &str, label: &str| {
        let metric = CATALOGUE.iter().find(|metric| metric.name == name).unwrap();
        let label = metric.labels.iter().find(|one| one.name == label).unwrap();
        label.values.iter().copied().collect::<BTreeSet<_>>()
    };
    let reasons = [
        EventError::Empty,
        EventError::Malformed,
        EventError::UnknownVersion(2),
        EventError::UnknownKind,
        EventError::BadStamp,
        EventError::NoTraits,
        EventError::RepeatedTrait,
        EventError::TooManyTraits,
    ];
    assert_eq!(
        values(names::DEAD_LETTERS, "reason"),
        reasons.iter().map(EventError::reason).collect()
    );
    let published = [
        Ok(()),
        Err(PublishError::Full),
        Err(PublishError::TooLarge),
        Err(PublishError::Unavailable(None)),
    ];
    for name in [names::PUBLISH_SECONDS, names::DEAD_LETTER_SECONDS] {
        assert_eq!(
            values(name, "outcome"),
            published.iter().map(PublishError::outcome).collect(),
            "{name}"
        );
    }
}

#[test]
fn with_a_clock_that_cannot_be_trusted_everything_goes_on() {
    let sim = Sim::new();
    sim.run(async |sim| {
        sim.clock.set_unsound(true);
        sim.log.append(0, (0..10).map(good));
        sim.log.assign(&[0]);
        sim.until_caught_up().await;
    })
    .summary();
}

#[test]
fn the_outcomes_add_up_to_the_records_read() {
    let sim = Sim::new();
    let ended = sim.run(async |sim| {
        sim.database.hold(profile(5));
        sim.log
            .append(0, (0..9).map(good).chain([crate::records::poison()]));
        sim.log.assign(&[0]);
        sim.until("read", || sim.log.delivered() == 10).await;
    });
    let of = |outcome: &str| {
        let series = format!(r#"kith_log_records_total{{outcome="{outcome}"}}"#);
        sim.metric(&series)
    };
    assert_eq!(
        [of("applied"), of("dead_lettered"), of("abandoned")],
        [Some(8.0), Some(1.0), Some(1.0)]
    );
    assert_eq!(ended.summary().read, 10);
}
