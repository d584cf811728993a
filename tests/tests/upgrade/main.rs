//! The binaries of the release before beside those of this build, on one database and one topic, and one after another on one data
//! directory: each reads what the other wrote, and an upgrade can be taken back.
//!
//! `make verify-upgrade` builds the release before (the commit that `CHANGELOG.md` names), says where its binaries are in
//! `KITH_UPGRADE_BIN_DIR`, and runs these tests; `make test` leaves them out.

#![expect(
    clippy::disallowed_methods,
    reason = "callers of a test need no lifecycle"
)]

mod people;
mod release;
mod services;
mod standalone;
mod view;
