//! A small run of every case: every answer is right, every figure is there, and what is written can be read. Nothing here is
//! about time.

use kith_load::cases::Case;
use kith_load::report::Summary;
use kith_load::run;
use kith_load::settings::Settings;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_runs_and_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        cases: Vec::new(),
        profiles: 2_000,
        pages: 3,
        bulk_requests: 1,
        loop_ms: 200,
        in_flight: 8,
        backlog: 300,
        changes: 20,
        repetitions: 1,
        out: dir.path().join("out"),
        data: dir.path().join("data"),
        servers_needed: false,
    };
    let mut told = Vec::new();
    run(&settings, |figure| told.push(figure.clone()))
        .await
        .unwrap();

    let summary = Summary::read(&settings.out).unwrap();
    assert_eq!(summary.cases, told);
    for case in Case::ALL {
        assert!(summary.runs.contains_key(case.name()), "{}", case.name());
        let figures = told.iter().filter(|one| one.case.starts_with(case.name()));
        assert!(figures.count() >= 10, "{}", case.name());
    }
    for figure in &told {
        let grows = figure.case.ends_with("growth_of_two_more_walks");
        let is_known_table = figure.case.contains("statements_on_");
        let is_spread = figure.case.ends_with("_spread");
        let is_refused = figure.case.ends_with("_refused");
        // Ticks of a processor are long, and what tracing costs is less than what a short run scatters.
        let is_small = figure.case.ends_with("_processor") || figure.case.ends_with("_cost");
        let is_small = is_small || figure.case.ends_with("sampled_1_exported");
        let may_be_none = grows || is_known_table || is_spread || is_refused || is_small;
        assert!(may_be_none || figure.value > 0.0, "{figure:?}");
        assert_eq!(figure.met.is_some(), figure.target.is_some(), "{figure:?}");
    }
    let rows = told
        .iter()
        .find(|one| one.case == "cql-listing.rows_of_the_largest_partition");
    assert!(
        rows.is_some_and(|rows| (250.0..500.0).contains(&rows.value)),
        "{rows:?}"
    );
}
