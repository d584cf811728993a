//! How processes live and end.

use std::time::{Duration, Instant};

use crate::parent::Process;

#[test]
fn a_signal_ends_it_in_order_with_0() {
    for name in ["TERM", "INT"] {
        let process = Process::start("obedient", &[]).started();
        process.get_until("/readyz", |status, _| status == 200);
        process.signal(name);
        process.hears("work is told");
        // Draining: not ready, and yet answering.
        let (status, body) = process.get("/readyz");
        assert_eq!(status, 503);
        assert!(body.contains(r#""ready":false,"draining":true"#), "{body}");
        assert_eq!(process.get("/livez").0, 200);
        let end = process.ended();
        assert_eq!(end.code, Some(0), "{end:?}");
        assert_eq!(end.said, ["work is done"], "{end:?}");
    }
}

#[test]
fn a_signal_ends_a_process_that_is_still_starting() {
    let process = Process::start("connecting", &[]);
    process.hears("connecting");
    process.signal("TERM");
    let end = process.ended();
    assert_eq!(end.code, Some(0), "{end:?}");
}

#[test]
fn a_second_signal_ends_it_at_once_with_a_code_of_its_own() {
    for (second, code) in [("TERM", 143), ("INT", 130)] {
        let process = Process::start("stubborn", &[]).started();
        process.get_until("/livez", |status, _| status == 200);
        process.signal("TERM");
        process.get_until("/readyz", |_, body| body.contains(r#""draining":true"#));
        process.signal(second);
        let end = process.ended();
        assert_eq!(end.code, Some(code), "{end:?}");
    }
}

#[test]
fn a_component_that_never_ends_is_left_behind_after_the_grace_period() {
    let process = Process::start("stubborn", &[("KITH_SHUTDOWN_GRACE", "1s")]).started();
    process.get_until("/livez", |status, _| status == 200);
    let told = Instant::now();
    process.signal("TERM");
    let end = process.ended();
    assert_eq!(end.code, Some(75), "{end:?}");
    assert!(told.elapsed() >= Duration::from_secs(1));
    let line = end
        .logged
        .iter()
        .find(|line| line.contains("grace period exceeded"));
    assert!(
        line.is_some_and(|line| line.contains(r#"[\"work\"]"#)),
        "{end:?}"
    );
}

#[test]
fn a_blocking_call_that_never_ends_does_not_keep_it() {
    let process = Process::start("blocks", &[]).started();
    process.get_until("/readyz", |status, _| status == 200);
    process.signal("TERM");
    assert_eq!(process.ended().code, Some(0));
}

#[test]
fn losing_a_component_ends_it_with_the_reason_as_code() {
    for (part, code) in [("panics", 70), ("ends", 1)] {
        let end = Process::start(part, &[]).ended();
        assert_eq!(end.code, Some(code), "{end:?}");
    }
}

#[test]
fn a_panic_is_a_line_with_its_place_and_without_values() {
    let end = Process::start("panics", &[]).ended();
    let line = end
        .logged
        .iter()
        .find(|line| line.contains(r#""message":"panic""#))
        .unwrap();
    assert!(
        line.contains("child.rs:") && line.contains("a fixed message"),
        "{line}"
    );

    let end = Process::start("quotes", &[]).ended();
    assert!(
        end.logged.iter().any(|line| line.contains("child.rs:")),
        "{end:?}"
    );
    assert!(
        !end.logged.iter().any(|line| line.contains("someone@")),
        "{end:?}"
    );
}

#[test]
fn a_wrong_setting_is_one_line_and_78() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (name, text) in [
        ("KITH_SHUTDOWN_GRACE", "soon"),
        ("KITH_CONFIG", "/nonexistent/kith.toml"),
        ("RUST_LOG", "kith=loud"),
        ("OTEL_TRACES_EXPORTER", "console"),
    ] {
        let end = Process::start("obedient", &[(name, text)]).ended();
        assert_eq!(end.code, Some(78), "{end:?}");
        assert_eq!(end.logged.len(), 1, "{end:?}");
        assert!(end.logged[0].starts_with(name), "{end:?}");
    }
    let end = Process::start("obedient", &[("CHILD_ARGUMENTS", "--cql-nodes a:1")]).ended();
    assert_eq!(end.code, Some(78), "{end:?}");
    assert_eq!(
        end.logged,
        ["--cql-nodes: unknown argument: not a flag of child"]
    );
    let end = Process::start("obedient", &[("KITH_ADMIN_LISTEN", &taken)]).ended();
    assert_eq!(end.code, Some(78), "{end:?}");
    let last = end.logged.last().unwrap();
    assert!(
        last.starts_with("KITH_ADMIN_LISTEN (environment): cannot listen at "),
        "{end:?}"
    );
}

#[test]
fn not_ready_says_what_is_missing() {
    let process = Process::start("stubborn", &[]).started();
    let (status, body) = process.get("/readyz");
    let expected = r#"{"ready":false,"draining":false,"waiting":[{"condition":"work","reason":"not yet"}],"held_up":[]}"#;
    assert_eq!((status, body.as_str()), (503, expected));
    assert_eq!(
        process.get("/livez"),
        (200, r#"{"alive":true,"silent":[]}"#.to_owned())
    );
}

#[test]
fn metrics_are_shown_and_other_paths_are_not_there() {
    let process = Process::start("obedient", &[]).started();
    let (status, text) = process.get("/metrics");
    assert_eq!(status, 200);
    assert!(text.contains("kith_build_info{version="), "{text}");
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
    assert_eq!(process.get("/").0, 404);
    assert_eq!(process.get("/v1/Stores").0, 404);
}

#[test]
fn log_lines_are_json_unless_text_is_asked_for() {
    let log = |variables| {
        let process = Process::start("obedient", variables).started();
        process.get_until("/readyz", |status, _| status == 200);
        process.signal("TERM");
        process.ended().logged
    };
    let lines = log(&[]);
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with(r#"{"timestamp":""#)),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("process ends")),
        "{lines:?}"
    );
    let lines = log(&[("KITH_LOG_FORMAT", "text")]);
    assert!(
        !lines.is_empty() && lines.iter().all(|line| !line.starts_with('{')),
        "{lines:?}"
    );
    assert!(
        lines.iter().all(|line| !line.contains('\u{1b}')),
        "{lines:?}"
    );
    assert_eq!(log(&[("RUST_LOG", "off")]), Vec::<String>::new());
}

#[test]
fn help_is_printed_and_nothing_is_run() {
    let end = Process::start("obedient", &[("CHILD_ARGUMENTS", "--help")]).ended();
    assert_eq!(end.code, Some(0), "{end:?}");
    assert_eq!(end.logged, Vec::<String>::new());
    assert!(
        end.said
            .iter()
            .any(|line| line.contains("--admin-listen <ADDRESS>")),
        "{end:?}"
    );
}
