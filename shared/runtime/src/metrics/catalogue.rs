//! What is measured.

use super::names;

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; starts anew with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of samples by upper bound: [`super::SECONDS`], or [`super::NUMBERS`] if the name does not end in seconds.
    Histogram,
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// The values that it has; empty if they are known only when it runs (routes, partitions).
    pub values: &'static [&'static str],
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; the unit is its last word, before `total`.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it means.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
}

const fn open(name: &'static str) -> Label {
    Label { name, values: &[] }
}

const fn one_of(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values }
}

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [Label],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        help,
        labels,
    }
}

/// Every metric of every binary.
pub static CATALOGUE: &[Metric] = &[
    metric(
        names::HTTP_REQUESTS,
        Kind::Counter,
        &[open("method"), open("route"), open("status")],
        "Requests answered, by the pattern of the route.",
    ),
    metric(
        names::HTTP_REQUEST_SECONDS,
        Kind::Histogram,
        &[open("route")],
        "Seconds from a request to its answer.",
    ),
    metric(
        names::HTTP_IN_FLIGHT,
        Kind::Gauge,
        &[],
        "Requests that are worked on.",
    ),
    metric(
        names::HTTP_IN_FLIGHT_MAX,
        Kind::Gauge,
        &[],
        "Requests that may be worked on at once; more are refused.",
    ),
    metric(
        names::HTTP_IN_FLIGHT_BYTES,
        Kind::Gauge,
        &[],
        "Bytes of the bodies of requests that are worked on.",
    ),
    metric(
        names::HTTP_IN_FLIGHT_BYTES_MAX,
        Kind::Gauge,
        &[],
        "Bytes of bodies that may be worked on at once; requests with more are refused.",
    ),
    metric(
        names::HTTP_REFUSED,
        Kind::Counter,
        &[one_of(
            "reason",
            &[
                "in_flight",
                "bytes",
                "log_unavailable",
                "database_unavailable",
                "rate_limit",
            ],
        )],
        "Requests answered 429 or 503 without being worked on, by reason.",
    ),
    metric(
        names::DB_STATEMENT_SECONDS,
        Kind::Histogram,
        &[
            open("operation"),
            open("collection"),
            one_of(
                "outcome",
                &[
                    "ok",
                    "applied",
                    "refused",
                    "unknown",
                    "error",
                    "unavailable",
                    "corrupt",
                    "fatal",
                ],
            ),
        ],
        "Seconds of a database statement, by operation, table and outcome.",
    ),
    metric(
        names::DB_UNKNOWN_OUTCOMES,
        Kind::Counter,
        &[open("operation"), open("collection")],
        "Conditional statements that may or may not have been applied.",
    ),
    metric(
        names::PUBLISH_SECONDS,
        Kind::Histogram,
        &[one_of(
            "outcome",
            &["ok", "full", "too_large", "unavailable"],
        )],
        "Seconds until a record was durable in the log, or was not.",
    ),
    metric(
        names::RESOLVE,
        Kind::Counter,
        &[one_of("outcome", &["created", "found", "merged"])],
        "Identities resolved: a new profile, a known one, several made one.",
    ),
    metric(
        names::RETRIES,
        Kind::Counter,
        &[one_of(
            "operation",
            &[
                "conditional",
                "resolve",
                "poll",
                "persist",
                "purge",
                "dead_letter",
                "commit",
            ],
        )],
        "Operations tried again.",
    ),
    metric(
        names::RETRIES_REFUSED,
        Kind::Counter,
        &[],
        "Conditional statements without an answer that were not sent again, since too many were; their requests were answered 503.",
    ),
    metric(
        names::BREAKER_STATE,
        Kind::Gauge,
        &[one_of("dependency", &["database", "log"])],
        "0: closed. 1: half open, a request tries the dependency. 2: open, requests are answered 503 at once.",
    ),
    metric(
        names::LOG_LAG_RECORDS,
        Kind::Gauge,
        &[open("partition")],
        "Records of the trait log not yet committed.",
    ),
    metric(
        names::LOG_LAG_SECONDS,
        Kind::Gauge,
        &[open("partition")],
        "Age of the oldest record that is not yet done, in seconds; 0 when caught up.",
    ),
    metric(
        names::LOG_RECORDS,
        Kind::Counter,
        &[one_of(
            "outcome",
            &["applied", "dead_lettered", "abandoned"],
        )],
        "Records read from the trait log, by how they ended. The outcomes add up to the records read.",
    ),
    metric(
        names::WORKER_IN_FLIGHT_RECORDS,
        Kind::Gauge,
        &[],
        "Records that the worker has read and not yet done.",
    ),
    metric(
        names::WORKER_IN_FLIGHT_RECORDS_MAX,
        Kind::Gauge,
        &[],
        "Records in flight past which the worker reads nothing more.",
    ),
    metric(
        names::WORKER_IN_FLIGHT_BYTES,
        Kind::Gauge,
        &[],
        "Bytes of records that the worker holds.",
    ),
    metric(
        names::WORKER_IN_FLIGHT_BYTES_MAX,
        Kind::Gauge,
        &[],
        "Bytes of records held past which the worker reads nothing more.",
    ),
    metric(
        names::WORKER_WAITING,
        Kind::Gauge,
        &[one_of("dependency", &["database", "dead_letters", "log"])],
        "1 while the worker cannot go on without this dependency, and tries again.",
    ),
    metric(
        names::DEAD_LETTERS,
        Kind::Counter,
        &[one_of(
            "reason",
            &[
                "empty",
                "malformed",
                "unknown_version",
                "unknown_kind",
                "bad_stamp",
                "no_traits",
                "repeated_trait",
                "too_many_traits",
            ],
        )],
        "Records put aside because no retry can make them good, by reason.",
    ),
    metric(
        names::DEAD_LETTER_SECONDS,
        Kind::Histogram,
        &[one_of(
            "outcome",
            &["ok", "full", "too_large", "unavailable"],
        )],
        "Seconds until a dead letter was durable, or was not.",
    ),
    metric(
        names::LOG_CLIENT_ERRORS,
        Kind::Counter,
        &[one_of("client", &["producer", "consumer"]), open("error")],
        "Errors that the client of the log reported on its own account.",
    ),
    metric(
        names::LOG_RECORDS_MISSED,
        Kind::Counter,
        &[],
        "Records that retention removed before they were read. Anything but 0 is a loss.",
    ),
    metric(
        names::LOG_REBALANCES,
        Kind::Counter,
        &[one_of("kind", &["assigned", "revoked", "lost"])],
        "Changes of the partitions that this consumer reads.",
    ),
    metric(
        names::CORRUPT_ROWS,
        Kind::Counter,
        &[one_of("kind", &["row", "pointer", "link"])],
        "Rows read that no code of ours could have written.",
    ),
    metric(
        names::EMBEDDED_COMMIT_SECONDS,
        Kind::Histogram,
        &[],
        "Seconds of a commit of the embedded engine, from staging to visible.",
    ),
    metric(
        names::EMBEDDED_COMMIT_JOBS,
        Kind::Histogram,
        &[],
        "Writes that shared a commit of the embedded engine.",
    ),
    metric(
        names::EMBEDDED_SYNC_SECONDS,
        Kind::Histogram,
        &[],
        "Seconds of a sync of the embedded engine's journal.",
    ),
    metric(
        names::EMBEDDED_QUEUE_JOBS,
        Kind::Gauge,
        &[],
        "Writes that wait for the embedded engine.",
    ),
    metric(
        names::DISK_FREE_BYTES,
        Kind::Gauge,
        &[],
        "Bytes that are free on the disk of the data directory.",
    ),
    metric(
        names::DISK_FREE_BYTES_MIN,
        Kind::Gauge,
        &[],
        "Free bytes on that disk below which writes are answered 503.",
    ),
    metric(
        names::SPANS_DROPPED,
        Kind::Counter,
        &[one_of(
            "reason",
            &["queue_full", "export_failed", "shut_down"],
        )],
        "Spans that were recorded and not exported.",
    ),
    metric(
        names::CREDENTIALS_STALE,
        Kind::Gauge,
        &[],
        "1 while the credentials file cannot be read or is malformed, and what it said before holds.",
    ),
    metric(
        names::CLOCK_UNSOUND,
        Kind::Gauge,
        &[],
        "1 while the wall clock is not trusted and no stamps are given.",
    ),
    metric(
        names::CLOCK_DATABASE_SKEW,
        Kind::Gauge,
        &[],
        "Seconds by which the own wall clock is ahead of the median of the database nodes'.",
    ),
    metric(
        names::TASK_PANICS,
        Kind::Counter,
        &[one_of(
            "task",
            &[
                "bulk",
                "change_identifiers",
                "create",
                "create group",
                "create store",
                "delete",
                "delete group",
                "delete store",
                "finish deletion",
                "patch",
                "remove_identifiers",
                "replace settings",
                "resume deletions",
                "update group",
                "update store",
            ],
        )],
        "Tasks that panicked, each of them a bug.",
    ),
    metric(
        names::BUILD_INFO,
        Kind::Gauge,
        &[open("version")],
        "1, with the version that runs.",
    ),
    metric(
        names::PROCESS_RESIDENT_MEMORY,
        Kind::Gauge,
        &[],
        "Resident memory of the process in bytes.",
    ),
    metric(
        names::PROCESS_CPU,
        Kind::Counter,
        &[],
        "Processor time of the process in whole seconds.",
    ),
    metric(
        names::PROCESS_OPEN_FDS,
        Kind::Gauge,
        &[],
        "Open files of the process.",
    ),
    metric(
        names::PROCESS_MAX_FDS,
        Kind::Gauge,
        &[],
        "Files that the process may have open at once.",
    ),
    metric(
        names::PROCESS_THREADS,
        Kind::Gauge,
        &[],
        "Threads of the process.",
    ),
    metric(
        names::PROCESS_START_TIME,
        Kind::Gauge,
        &[],
        "When the process started, in seconds since 1970.",
    ),
];
