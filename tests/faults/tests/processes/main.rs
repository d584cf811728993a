//! Faults of workers, processes, records, disks and the collector: rows 13 to 25 of the table (`docs/reliability.md`), on one node and
//! one broker. `make test` runs 13, 15, 18, 20 to 22 and 24, `make faults` all of them.

#![expect(
    clippy::disallowed_methods,
    reason = "callers of a test need no lifecycle"
)]

mod callers;
mod clocks;
mod collector;
mod database;
mod disks;
mod log;
mod people;
mod records;
mod workers;
