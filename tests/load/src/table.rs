//! The table: what the project promised to measure, a row each, and the figures that answer it. `summary.json` is made of it.

use serde::Serialize;

use crate::figure::{Figure, Spread};

/// A row that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name in `summary.json`.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The figures that answer it, as `case.what`. Of several each has to meet its target: the first that does not is the row's,
    /// and where all do the first.
    pub figures: &'static [&'static str],
}

const fn row(name: &'static str, about: &'static str, figures: &'static [&'static str]) -> Row {
    Row {
        name,
        about,
        figures,
    }
}

/// All rows, in the order of the page.
pub const ROWS: &[Row] = &[
    row(
        "known-person",
        "known person, Kafka and Cassandra, 64 in flight, part of the ceiling of the bare loops",
        &[
            "pipeline-create.known_1_of_ceiling",
            "pipeline-create.known_2_of_ceiling",
            "pipeline-create.known_4_of_ceiling",
        ],
    ),
    row(
        "new-person",
        "new person, the same",
        &[
            "pipeline-create.new_1_of_ceiling",
            "pipeline-create.new_2_of_ceiling",
            "pipeline-create.new_4_of_ceiling",
        ],
    ),
    row(
        "worker-drain",
        "worker drain, part of the bare consume and batch loop",
        &["worker-drain.worker_of_bare"],
    ),
    row(
        "tracing-1-percent",
        "what tracing costs with 1 % sampled",
        &["tracing.sampled_1_cost"],
    ),
    row(
        "tracing-100-percent",
        "what tracing costs with all sampled",
        &["tracing.sampled_100_cost"],
    ),
    row(
        "standalone-new-people",
        "standalone, new people, durable, times the PostgreSQL baseline in the same run",
        &[
            "standalone-versus-postgres.new_rate_of_kith_to_postgres_at_64_callers",
            "standalone-versus-postgres.new_rate_of_kith_to_postgres_each_at_its_best",
        ],
    ),
    row(
        "standalone-known-people",
        "standalone, known people, the same",
        &[
            "standalone-versus-postgres.known_rate_of_kith_to_postgres_at_64_callers",
            "standalone-versus-postgres.known_rate_of_kith_to_postgres_each_at_its_best",
        ],
    ),
    row(
        "standalone-p99",
        "standalone p99 at 60 % of the baseline's capacity, against the baseline's p50 at the same rate",
        &[
            "standalone-versus-postgres.new_open_at_60_percent_kith_p99_to_p50_of_postgres",
            "standalone-versus-postgres.known_open_at_60_percent_kith_p99_to_p50_of_postgres",
        ],
    ),
    row(
        "growth-standalone",
        "a request on the embedded store, from 10^4 profiles to the most: the worst of all kinds",
        &["standalone-requests.worst_growth_with_profiles"],
    ),
    row(
        "growth-cassandra",
        "a request on Cassandra, the same",
        &["cql-requests.worst_growth_with_profiles"],
    ),
    row(
        "memory-ingest-api",
        "resident memory of ingest-api under load",
        &["pipeline-create.ingest_memory_at_most"],
    ),
    row(
        "memory-trait-worker",
        "resident memory of trait-worker under load",
        &[
            "worker-drain.worker_memory_at_most",
            "pipeline-create.worker_memory_at_most",
        ],
    ),
    row(
        "memory-standalone",
        "resident memory of the standalone at 10^6 profiles",
        &["standalone-growth.memory_at_most"],
    ),
    row(
        "binary",
        "size of the standalone",
        &["standalone-growth.binary"],
    ),
    row(
        "ready-empty",
        "the standalone is ready, empty",
        &["standalone-growth.ready_empty"],
    ),
    row(
        "ready-full",
        "the standalone is ready, at 10^6 profiles",
        &["standalone-growth.ready_full"],
    ),
];

/// What was found for a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The row.
    pub case: &'static str,
    /// The value.
    pub value: f64,
    /// What it counts.
    pub unit: String,
    /// What it must be.
    pub target: Option<String>,
    /// Whether it is that.
    pub met: Option<bool>,
    /// How far its repetitions lie apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// What it is about, in words.
    pub about: &'static str,
    /// The figure, of `figures.json`.
    pub figure: String,
}

/// The rows that these figures answer; those that were not measured are absent.
#[must_use]
pub fn table(figures: &[Figure]) -> Vec<Found> {
    let found = |row: &Row| {
        let of = |name: &&str| figures.iter().find(|figure| figure.case == **name);
        let mut own = row.figures.iter().filter_map(of);
        let missed = own.clone().find(|figure| figure.met == Some(false));
        let figure = missed.or_else(|| own.next())?;
        Some(Found {
            case: row.name,
            value: figure.value,
            unit: figure.unit.clone(),
            target: figure.target.clone(),
            met: figure.met,
            spread: figure.spread,
            about: row.about,
            figure: figure.case.clone(),
        })
    };
    ROWS.iter().filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_row_has_the_value_and_the_verdict_of_its_figure_and_others_are_absent() {
        let figures = [
            Figure::below("standalone-growth.binary", 26.0, "MiB", 25.0),
            Figure::shown("standalone-growth.data", 400.0, "MiB"),
        ];
        let found = table(&figures);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].case, found[0].value), ("binary", 26.0));
        assert_eq!(found[0].met, Some(false));
        assert_eq!(found[0].target.as_deref(), Some("< 25 MiB"));
    }

    #[test]
    fn of_several_figures_the_first_that_misses_its_target_answers_the_row() {
        let of = |identifiers: u64, part: f64| {
            let name = format!("pipeline-create.known_{identifiers}_of_ceiling");
            Figure::at_least(&name, part, "of the ceiling", 0.9)
        };
        let value = |figures: &[Figure]| {
            let found = table(figures);
            assert_eq!(found.len(), 1);
            (found[0].value, found[0].met)
        };
        assert_eq!(value(&[of(1, 0.95), of(2, 0.92)]), (0.95, Some(true)));
        assert_eq!(
            value(&[of(1, 0.95), of(2, 0.85), of(4, 0.8)]),
            (0.85, Some(false))
        );
        assert_eq!(value(&[of(4, 0.8)]), (0.8, Some(false)));
    }

    #[test]
    fn no_two_rows_have_one_name_or_one_figure() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        let figures: Vec<&str> = ROWS.iter().flat_map(|row| row.figures).copied().collect();
        let distinct: BTreeSet<&str> = figures.iter().copied().collect();
        assert_eq!((names.len(), distinct.len()), (ROWS.len(), figures.len()));
    }
}
