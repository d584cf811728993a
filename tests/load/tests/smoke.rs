//! A small run of every case: every answer is right, every figure is there, and what is written can be read. Nothing here is
//! about time, so those that need servers run beside the others.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use kith_load::cases::Case;
use kith_load::figure::Figure;
use kith_load::report::Summary;
use kith_load::run;
use kith_load::settings::Settings;
use kith_load::table::ROWS;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_without_servers_runs_and_is_written_down() {
    small_run(|case| !case.needs_servers()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_on_servers_runs_and_is_written_down() {
    let told = small_run(Case::needs_servers).await;
    let rows = told
        .iter()
        .find(|one| one.case == "cql-listing.rows_of_the_largest_partition");
    assert!(
        rows.is_some_and(|rows| (250.0..500.0).contains(&rows.value)),
        "{rows:?}"
    );
}

/// Runs some of the cases, and looks at what they gave and wrote.
#[expect(
    clippy::print_stdout,
    reason = "how long each took is part of a run's result"
)]
async fn small_run(is_chosen: impl Fn(Case) -> bool) -> Vec<Figure> {
    let cases: Vec<Case> = Case::ALL
        .into_iter()
        .filter(|case| is_chosen(*case))
        .collect();
    // Others may pass through it: a case runs PostgreSQL as a user of its own.
    let passable = Permissions::from_mode(0o711);
    let made = tempfile::Builder::new().permissions(passable).tempdir();
    let dir = made.expect("a folder");
    let settings = Settings {
        cases: cases.iter().map(|case| case.name().to_owned()).collect(),
        profiles: 2_000,
        pages: 3,
        bulk_requests: 1,
        sweep_ms: 50,
        loop_ms: 200,
        callers: vec![64],
        overload_callers: 600,
        allocation_requests: 20,
        growth_profiles: 8_000,
        growth_merges: 10,
        growth_people: 2,
        growth_ms: 50,
        in_flight: 8,
        backlog: 300,
        changes: 20,
        repetitions: 1,
        out: dir.path().join("out"),
        data: dir.path().join("data"),
        page_only: false,
        servers_needed: false,
        postgres_needed: false,
    };
    let mut told = Vec::new();
    run(&settings, |figure| told.push(figure.clone()))
        .await
        .expect("every answer is right");

    let summary = Summary::read(&settings.out).expect("what was written");
    assert_eq!(summary.cases, told);
    for case in &cases {
        let run = summary.runs.get(case.name());
        assert!(run.is_some(), "{}", case.name());
        println!("{}: {} s", case.name(), run.map_or(0.0, |run| run.seconds));
        let figures = told.iter().filter(|one| one.case.starts_with(case.name()));
        assert!(figures.count() >= 8, "{}", case.name());
    }
    for row in ROWS {
        let measured = row.figures.iter().filter(|figure| {
            let case = figure.split('.').next().unwrap_or_default();
            cases.iter().any(|known| known.name() == case)
        });
        for figure in measured {
            let found = told.iter().find(|one| one.case == *figure);
            assert!(found.is_some_and(|one| one.met.is_some()), "{figure}");
        }
    }
    for figure in &told {
        let grows = figure.case.ends_with("growth_of_two_more_walks");
        let is_known_table = figure.case.contains("statements_on_");
        let is_refused = figure.case.ends_with("_refused");
        let is_tuning = figure.case.contains(".best_tuning_");
        // Ticks of a processor are long, and what tracing costs is less than what a short run scatters.
        let is_small = figure.case.contains("_processor") || figure.case.ends_with("_cost");
        let is_small = is_small || figure.case.ends_with("sampled_1_exported");
        // Of one repetition.
        let is_spread = figure.case.ends_with("_spread");
        let may_be_none =
            grows || is_known_table || is_refused || is_tuning || is_small || is_spread;
        assert!(may_be_none || figure.value > 0.0, "{figure:?}");
        assert_eq!(figure.met.is_some(), figure.target.is_some(), "{figure:?}");
    }
    told
}
