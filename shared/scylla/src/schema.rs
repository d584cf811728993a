//! The tables: one description, from which [`crate::migrate`] makes them and [`crate::check`] judges what is there.
//!
//! Every table belongs to one family. A table that conditional statements write is written by nothing else, and a table of
//! plain writes never sees a condition: CQL takes no client's time on a conditional write, and a cell that carries ballots
//! and stamps at once is ordered by chance (`engineering.md` 3.1).

use std::fmt;

use crate::config::{CqlConfig, Dialect, Tablets};

/// The shape below, counted. One more with every change of it.
pub const SCHEMA_VERSION: i32 = 2;

/// How a table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    /// By conditional statements only; no row is ever deleted.
    Conditional,
    /// By plain statements with an explicit time only.
    Plain,
}

/// Where a column stands in its table, as `system_schema.columns` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Partition,
    Clustering,
    Static,
    Regular,
}

impl Place {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Partition => "partition_key",
            Self::Clustering => "clustering",
            Self::Static => "static",
            Self::Regular => "regular",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) cql_type: &'static str,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// What stands in the table's own comment, for whoever meets it in a shell.
    pub(crate) comment: &'static str,
    /// Key columns in the order of the key.
    pub(crate) columns: &'static [Column],
}

const fn partition(name: &'static str, cql_type: &'static str) -> Column {
    Column {
        name,
        cql_type,
        place: Place::Partition,
    }
}

const fn clustering(name: &'static str, cql_type: &'static str) -> Column {
    Column {
        name,
        cql_type,
        place: Place::Clustering,
    }
}

const fn fixed(name: &'static str, cql_type: &'static str) -> Column {
    Column {
        name,
        cql_type,
        place: Place::Static,
    }
}

const fn regular(name: &'static str, cql_type: &'static str) -> Column {
    Column {
        name,
        cql_type,
        place: Place::Regular,
    }
}

/// All tables.
pub(crate) const TABLES: &[Table] = &[
    // Who owns an identifier. `key` is a keyed hash, so nothing here names a person. No profile: released.
    Table {
        name: "claim",
        family: Family::Conditional,
        comment: "who owns an identifier; conditional statements only, rows are never deleted",
        columns: &[
            partition("key", "blob"),
            regular("profile", "uuid"),
            regular("claim_id", "uuid"),
            regular("added_at", "bigint"),
            regular("place", "int"),
            regular("by_request", "uuid"),
        ],
    },
    // Who owns a value that several may own: one row an owner. `stamp` is fresh in every statement that adds or releases a
    // row (identity-protocol.md 11). The owner is in the key and rows stay for ever, so a release needs a mark of its own.
    Table {
        name: "shared_claim",
        family: Family::Conditional,
        comment: "who owns a value that several may own; conditional statements only, rows are never deleted",
        columns: &[
            partition("key", "blob"),
            clustering("profile", "uuid"),
            fixed("stamp", "uuid"),
            regular("claim_id", "uuid"),
            regular("released", "boolean"),
            regular("added_at", "bigint"),
            regular("place", "int"),
            regular("by_request", "uuid"),
        ],
    },
    // A profile's own pointer and mark, and one row a child's pointer that was ever decided here.
    Table {
        name: "node",
        family: Family::Conditional,
        comment: "a profile's pointer, its mark and its verdicts; conditional statements only, rows are never deleted",
        columns: &[
            partition("store", "uuid"),
            partition("profile", "uuid"),
            clustering("child", "uuid"),
            clustering("link_token", "uuid"),
            fixed("parent", "uuid"),
            fixed("parent_token", "uuid"),
            fixed("dead", "uuid"),
            regular("verdict", "text"),
            regular("decided_at", "bigint"),
            regular("evidence", "blob"),
        ],
    },
    // Everything plain about a profile. The keys of each kind:
    //   clock   -    -     -      time
    //   ident   type value claim  time (when it was added), settled
    //   link    child token -     settled
    //   member  profile -  -
    //   root    -    -     -      value (the ancestor)
    //   trait   definition - -    value, time
    // Ids are written as hyphenated text, as a shell shows them; what a kind does not use is the empty text. `link` must
    // sort before `member`: a page that ends between them then shows marks first and the rows they speak of later.
    Table {
        name: "cells",
        family: Family::Plain,
        comment: "a profile's clock, identifiers, links, members and traits; plain writes with explicit times only",
        columns: &[
            partition("store", "uuid"),
            partition("profile", "uuid"),
            clustering("kind", "text"),
            clustering("k1", "text"),
            clustering("k2", "text"),
            clustering("k3", "text"),
            regular("value", "blob"),
            regular("time", "bigint"),
            regular("settled", "boolean"),
        ],
    },
    // The profiles of a store, a partition a month and shard. The id is a blob because that is what sorts like ids on both
    // products: type uuid puts the version first.
    Table {
        name: "listing",
        family: Family::Plain,
        comment: "the profiles of a store by month; plain writes with explicit times only",
        columns: &[
            partition("store", "uuid"),
            partition("bucket", "int"),
            partition("shard", "smallint"),
            clustering("profile", "blob"),
        ],
    },
    // Which months have profiles, and over how many shards each is spread. Fixed when the month is first used: a row must
    // be found again where it was put.
    Table {
        name: "listing_bucket",
        family: Family::Conditional,
        comment: "the months of a listing and their shards; conditional statements only",
        columns: &[
            partition("store", "uuid"),
            clustering("bucket", "int"),
            regular("shards", "smallint"),
        ],
    },
    // The stores of an account, with what can be said of them without their own partition. `revision` is fresh with every
    // change, so that names are unique and counted. `ending` is a deletion whose purge is not asked for yet.
    Table {
        name: "account_store",
        family: Family::Conditional,
        comment: "the stores of an account; conditional statements only",
        columns: &[
            partition("account", "text"),
            clustering("store", "uuid"),
            fixed("revision", "uuid"),
            regular("display_name", "text"),
            regular("description", "text"),
            regular("version", "bigint"),
            regular("ending", "uuid"),
        ],
    },
    // What became of changes. Rows go by themselves.
    Table {
        name: "operation",
        family: Family::Plain,
        comment: "operations of the control plane for a week; plain writes with explicit times only",
        columns: &[
            partition("account", "text"),
            partition("operation", "uuid"),
            regular("body", "text"),
        ],
    },
    // Keys that all processes share. Written once, by `migrate`.
    Table {
        name: "secret",
        family: Family::Conditional,
        comment: "keys of this installation; conditional statements only",
        columns: &[partition("name", "text"), regular("value", "blob")],
    },
    // A store, and one row a trait group. The store's key for its claims lives here and nowhere else: without it the keys
    // of its claims mean nothing.
    Table {
        name: "store_control",
        family: Family::Conditional,
        comment: "a store, its settings and its trait groups; conditional statements only",
        columns: &[
            partition("store", "uuid"),
            clustering("entry", "text"),
            fixed("account", "text"),
            fixed("status", "text"),
            fixed("version", "bigint"),
            fixed("display_name", "text"),
            fixed("description", "text"),
            fixed("claim_secret", "blob"),
            fixed("settings", "text"),
            fixed("settings_version", "bigint"),
            fixed("schema_version", "bigint"),
            regular("body", "text"),
        ],
    },
    // Which version of this file the keyspace was last brought to.
    Table {
        name: "schema_version",
        family: Family::Conditional,
        comment: "the version of these tables; conditional statements only",
        columns: &[partition("component", "text"), regular("version", "int")],
    },
];

/// One way in which the keyspace differs from what this version needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Drift {
    /// There is no such keyspace.
    NoKeyspace,
    /// The keyspace skips the commit log: an acknowledged write does not survive a crash.
    NotDurable,
    /// A table is missing.
    NoTable {
        /// Which.
        table: &'static str,
    },
    /// A column is missing.
    NoColumn {
        /// Of which table.
        table: &'static str,
        /// Which.
        column: &'static str,
    },
    /// A column is there, but is another one.
    WrongColumn {
        /// Of which table.
        table: &'static str,
        /// Which.
        column: &'static str,
        /// Type and place that it should have.
        expected: String,
        /// Type and place that it has.
        found: String,
    },
    /// Reads of this table are not monotone, and the identity protocol is wrong without that (`identity-protocol.md` 1).
    ReadRepair {
        /// Which table.
        table: &'static str,
        /// What the option says.
        found: String,
    },
    /// The keyspace was not brought to this version yet. A later version is no drift: what is needed is there.
    Version {
        /// What is recorded, if anything is.
        found: Option<i32>,
        /// What is needed.
        known: i32,
    },
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeyspace => f.write_str("there is no such keyspace"),
            Self::NotDurable => f.write_str("the keyspace has durable_writes = false"),
            Self::NoTable { table } => write!(f, "table {table} is missing"),
            Self::NoColumn { table, column } => write!(f, "column {table}.{column} is missing"),
            Self::WrongColumn {
                table,
                column,
                expected,
                found,
            } => {
                write!(
                    f,
                    "column {table}.{column} is {found} instead of {expected}"
                )
            }
            Self::ReadRepair { table, found } => {
                write!(
                    f,
                    "table {table} has read_repair {found} instead of BLOCKING"
                )
            }
            Self::Version {
                found: Some(found),
                known,
            } => {
                write!(f, "the schema has version {found}, {known} is needed")
            }
            Self::Version { found: None, known } => {
                write!(f, "no schema version is recorded, {known} is needed")
            }
        }
    }
}

impl Drift {
    /// The statement that makes it good, if there is one.
    ///
    /// A missing key column, and a column of the wrong type, need a new table and somebody who knows what was in the old
    /// one. The version is not schema: `migrate` writes it last.
    pub(crate) fn remedy(&self, config: &CqlConfig) -> Option<String> {
        let keyspace = &config.keyspace;
        match self {
            Self::NoKeyspace => Some(create_keyspace(config)),
            Self::NotDurable => Some(format!(
                "ALTER KEYSPACE {keyspace} WITH durable_writes = true"
            )),
            Self::NoTable { table } => {
                let table = TABLES.iter().find(|t| t.name == *table)?;
                Some(create_table(table, config))
            }
            Self::NoColumn { table, column } => {
                let columns = TABLES.iter().find(|t| t.name == *table)?.columns;
                let column = columns.iter().find(|c| c.name == *column)?;
                let suffix = match column.place {
                    Place::Regular => "",
                    Place::Static => " STATIC",
                    Place::Partition | Place::Clustering => return None,
                };
                Some(format!(
                    "ALTER TABLE {keyspace}.{table} ADD {} {}{suffix}",
                    column.name, column.cql_type
                ))
            }
            Self::ReadRepair { table, .. } => Some(format!(
                "ALTER TABLE {keyspace}.{table} WITH read_repair = 'BLOCKING'"
            )),
            Self::WrongColumn { .. } | Self::Version { .. } => None,
        }
    }
}

fn create_keyspace(config: &CqlConfig) -> String {
    let tablets = match (config.dialect, config.tablets) {
        (Dialect::Scylla, Tablets::Disabled) => " AND tablets = {'enabled': false}",
        (Dialect::Scylla, Tablets::Enabled) => " AND tablets = {'enabled': true}",
        (Dialect::Scylla, Tablets::Unspecified) | (Dialect::Cassandra, _) => "",
    };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', \
         'replication_factor': {}}}{tablets}",
        config.keyspace, config.replication_factor
    )
}

fn create_table(table: &Table, config: &CqlConfig) -> String {
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|c| {
            let suffix = if c.place == Place::Static {
                " STATIC"
            } else {
                ""
            };
            format!("{} {}{suffix}", c.name, c.cql_type)
        })
        .collect();
    let key = |place| {
        let names = table.columns.iter().filter(move |c| c.place == place);
        names.map(|c| c.name).collect::<Vec<_>>()
    };
    let mut primary = vec![format!("({})", key(Place::Partition).join(", "))];
    primary.extend(key(Place::Clustering).into_iter().map(str::to_owned));
    // It is Cassandra's default, and said all the same: what the protocol rests on should be seen to be there. ScyllaDB
    // has no such option and always repairs before it answers a quorum read.
    let read_repair = match config.dialect {
        Dialect::Cassandra => " AND read_repair = 'BLOCKING'",
        Dialect::Scylla => "",
    };
    format!(
        "CREATE TABLE IF NOT EXISTS {}.{} ({}, PRIMARY KEY ({})) WITH comment = '{}'{read_repair}",
        config.keyspace,
        table.name,
        columns.join(", "),
        primary.join(", "),
        table.comment.replace('\'', "''"),
    )
}

#[cfg(test)]
mod tests;
