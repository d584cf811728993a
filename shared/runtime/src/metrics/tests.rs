use std::collections::BTreeSet;

use ::metrics::histogram;

use super::*;

/// The value of one series, found by its full name with labels.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[test]
fn installing_twice_gives_the_same_recorder() {
    let (first, second) = (Metrics::install(), Metrics::install());
    counter!(names::RETRIES, "operation" => "twice").increment(3);
    let series = r#"kith_retries_total{operation="twice"}"#;
    assert_eq!(value(&first.render(), series), Some(3.0));
    assert_eq!(value(&second.render(), series), Some(3.0));
}

#[test]
fn a_histogram_in_seconds_has_our_buckets() {
    let metrics = Metrics::install();
    for seconds in [0.000_2, 0.003, 0.003, 40.0] {
        histogram!(names::HTTP_REQUEST_SECONDS, "route" => "/buckets").record(seconds);
    }
    metrics.upkeep();
    let text = metrics.render();
    for (series, expected) in [
        (
            r#"kith_http_request_seconds_bucket{route="/buckets",le="0.00025"}"#,
            1.0,
        ),
        (
            r#"kith_http_request_seconds_bucket{route="/buckets",le="0.0025"}"#,
            1.0,
        ),
        (
            r#"kith_http_request_seconds_bucket{route="/buckets",le="0.005"}"#,
            3.0,
        ),
        (
            r#"kith_http_request_seconds_bucket{route="/buckets",le="30"}"#,
            3.0,
        ),
        (
            r#"kith_http_request_seconds_bucket{route="/buckets",le="+Inf"}"#,
            4.0,
        ),
        (r#"kith_http_request_seconds_count{route="/buckets"}"#, 4.0),
    ] {
        assert_eq!(value(&text, series), Some(expected), "{series}\n{text}");
    }
    let sum = value(&text, r#"kith_http_request_seconds_sum{route="/buckets"}"#).unwrap();
    assert!((sum - 40.006_2).abs() < 1e-9, "{sum}");
}

#[test]
fn a_histogram_of_numbers_has_buckets_too() {
    let metrics = Metrics::install();
    histogram!(names::EMBEDDED_COMMIT_JOBS).record(3);
    let text = metrics.render();
    for (bound, expected) in [("2", 0.0), ("4", 1.0), ("+Inf", 1.0)] {
        let series = format!("kith_embedded_commit_jobs_bucket{{le=\"{bound}\"}}");
        assert_eq!(value(&text, &series), Some(expected), "{text}");
    }
}

#[test]
fn counters_with_known_labels_are_there_from_the_start() {
    let text = Metrics::install().render();
    for series in [
        "kith_log_records_missed_total",
        r#"kith_resolve_total{outcome="created"}"#,
        r#"kith_resolve_total{outcome="merged"}"#,
        r#"kith_log_rebalances_total{kind="lost"}"#,
        r#"kith_http_refused_total{reason="in_flight"}"#,
        r#"kith_dead_letters_total{reason="malformed"}"#,
        r#"kith_corrupt_rows_total{kind="pointer"}"#,
        r#"kith_spans_dropped_total{reason="queue_full"}"#,
    ] {
        assert!(value(&text, series).is_some(), "{series}\n{text}");
    }
}

#[test]
fn the_version_and_the_process_are_shown() {
    let text = Metrics::install().render();
    let build = format!(
        r#"kith_build_info{{version="{}"}}"#,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(value(&text, &build), Some(1.0));
    if cfg!(target_os = "linux") {
        assert!(
            value(&text, "process_resident_memory_bytes").unwrap() > 1e6,
            "{text}"
        );
        assert!(value(&text, "process_threads").unwrap() >= 1.0);
        let open = value(&text, "process_open_fds").unwrap();
        assert!(open >= 3.0);
        assert!(value(&text, "process_max_fds").unwrap() > open);
        assert!(value(&text, "process_start_time_seconds").unwrap() > 1.7e9);
        assert!(value(&text, "process_cpu_seconds_total").is_some());
    }
}

#[test]
fn what_is_shown_is_described_with_its_meaning() {
    let text = Metrics::install().render();
    assert!(
        text.contains("# HELP kith_resolve_total Identities resolved"),
        "{text}"
    );
    assert!(text.contains("# TYPE kith_resolve_total counter"), "{text}");
}

#[test]
fn the_catalogue_keeps_the_naming_rules() {
    let names: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CATALOGUE.len(), "a name twice");
    for metric in CATALOGUE {
        let Metric {
            name, kind, help, ..
        } = *metric;
        assert!(
            name.starts_with("kith_") || name.starts_with("process_"),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), kind == Kind::Counter, "{name}");
        assert!(help.ends_with('.'), "{name}");
    }
}
