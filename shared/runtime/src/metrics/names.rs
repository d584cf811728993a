//! The names of our metrics. What each means is in [`super::CATALOGUE`].

/// Requests answered.
pub const HTTP_REQUESTS: &str = "kith_http_requests_total";
/// Time from a request to its answer.
pub const HTTP_REQUEST_SECONDS: &str = "kith_http_request_seconds";
/// Requests that are worked on.
pub const HTTP_IN_FLIGHT: &str = "kith_http_in_flight";
/// Requests that may be worked on at once.
pub const HTTP_IN_FLIGHT_MAX: &str = "kith_http_in_flight_max";
/// Bytes of bodies of what is worked on.
pub const HTTP_IN_FLIGHT_BYTES: &str = "kith_http_in_flight_bytes";
/// Bytes of bodies that may be worked on at once.
pub const HTTP_IN_FLIGHT_BYTES_MAX: &str = "kith_http_in_flight_bytes_max";
/// Requests answered without being worked on.
pub const HTTP_REFUSED: &str = "kith_http_refused_total";
/// Time of a database statement.
pub const DB_STATEMENT_SECONDS: &str = "kith_db_statement_seconds";
/// Conditional statements whose effect is unknown.
pub const DB_UNKNOWN_OUTCOMES: &str = "kith_db_unknown_outcomes_total";
/// Time until a record is durable in the log.
pub const PUBLISH_SECONDS: &str = "kith_publish_seconds";
/// Identities resolved.
pub const RESOLVE: &str = "kith_resolve_total";
/// Operations tried again.
pub const RETRIES: &str = "kith_retries_total";
/// Statements not sent again, since too much was.
pub const RETRIES_REFUSED: &str = "kith_retries_refused_total";
/// State of a breaker.
pub const BREAKER_STATE: &str = "kith_breaker_state";
/// Records of the log not yet committed.
pub const LOG_LAG_RECORDS: &str = "kith_log_lag_records";
/// Age of the record that was read last.
pub const LOG_LAG_SECONDS: &str = "kith_log_lag_seconds";
/// Records of the log by how they ended.
pub const LOG_RECORDS: &str = "kith_log_records_total";
/// Records of the worker in flight.
pub const WORKER_IN_FLIGHT_RECORDS: &str = "kith_worker_in_flight_records";
/// Records that the worker may have in flight.
pub const WORKER_IN_FLIGHT_RECORDS_MAX: &str = "kith_worker_in_flight_records_max";
/// Bytes of records that the worker holds.
pub const WORKER_IN_FLIGHT_BYTES: &str = "kith_worker_in_flight_bytes";
/// Bytes of records that the worker may hold.
pub const WORKER_IN_FLIGHT_BYTES_MAX: &str = "kith_worker_in_flight_bytes_max";
/// What the worker waits for.
pub const WORKER_WAITING: &str = "kith_worker_waiting";
/// Records put aside.
pub const DEAD_LETTERS: &str = "kith_dead_letters_total";
/// Time until a dead letter is durable.
pub const DEAD_LETTER_SECONDS: &str = "kith_dead_letter_seconds";
/// Errors of the log's client.
pub const LOG_CLIENT_ERRORS: &str = "kith_log_client_errors_total";
/// Records removed before they were read.
pub const LOG_RECORDS_MISSED: &str = "kith_log_records_missed_total";
/// Changes of what a consumer is assigned.
pub const LOG_REBALANCES: &str = "kith_log_rebalances_total";
/// Rows that no code of ours could have written.
pub const CORRUPT_ROWS: &str = "kith_corrupt_rows_total";
/// Time of a commit of the embedded engine.
pub const EMBEDDED_COMMIT_SECONDS: &str = "kith_embedded_commit_seconds";
/// Writes of a commit of the embedded engine.
pub const EMBEDDED_COMMIT_JOBS: &str = "kith_embedded_commit_jobs";
/// Time of a sync of the embedded engine.
pub const EMBEDDED_SYNC_SECONDS: &str = "kith_embedded_sync_seconds";
/// Writes that wait for the embedded engine.
pub const EMBEDDED_QUEUE_JOBS: &str = "kith_embedded_queue_jobs";
/// Room on the disk of the data directory.
pub const DISK_FREE_BYTES: &str = "kith_disk_free_bytes";
/// Room on that disk below which writes are refused.
pub const DISK_FREE_BYTES_MIN: &str = "kith_disk_free_bytes_min";
/// Spans that were not exported.
pub const SPANS_DROPPED: &str = "kith_spans_dropped_total";
/// Whether the credentials file is refused.
pub const CREDENTIALS_STALE: &str = "kith_credentials_stale";
/// Whether the wall clock is refused.
pub const CLOCK_UNSOUND: &str = "kith_clock_unsound";
/// Own clock minus the database's.
pub const CLOCK_DATABASE_SKEW: &str = "kith_clock_database_skew_seconds";
/// Tasks that panicked.
pub const TASK_PANICS: &str = "kith_task_panics_total";
/// The version that runs.
pub const BUILD_INFO: &str = "kith_build_info";
/// Resident memory of the process.
pub const PROCESS_RESIDENT_MEMORY: &str = "process_resident_memory_bytes";
/// Processor time of the process.
pub const PROCESS_CPU: &str = "process_cpu_seconds_total";
/// Open files of the process.
pub const PROCESS_OPEN_FDS: &str = "process_open_fds";
/// Files that the process may have open.
pub const PROCESS_MAX_FDS: &str = "process_max_fds";
/// Threads of the process.
pub const PROCESS_THREADS: &str = "process_threads";
/// When the process started.
pub const PROCESS_START_TIME: &str = "process_start_time_seconds";
