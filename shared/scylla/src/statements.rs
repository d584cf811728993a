//! Every statement that a running process sends, in one list, and their prepared forms.
//!
//! Three uses, never mixed (a test below walks the list): reads; plain writes with an explicit time; conditional updates
//! without one. Nothing here can change a table, and nothing deletes from a conditional one.

use scylla::client::execution_profile::ExecutionProfileHandle;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::unprepared::Statement;

use crate::config::Keyspace;
use crate::error::ConnectError;
use crate::telemetry;

/// What a statement does to its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Plain,
    Conditional,
}

/// A statement's text and its names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// What it does, in the protocol's words: the `operation` of metrics.
    pub(crate) word: &'static str,
    /// Its verb in CQL: `db.operation.name` of spans.
    pub(crate) verb: &'static str,
    pub(crate) table: &'static str,
    /// Verb and table: the name of the span.
    pub(crate) span: &'static str,
    /// Word and table: how errors and logs call it.
    pub(crate) label: &'static str,
    pub(crate) kind: Use,
    /// `{keyspace}` stands for the keyspace.
    pub(crate) cql: &'static str,
}

/// A statement, ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) text: Text,
    pub(crate) statement: PreparedStatement,
}

/// How statements are sent: one profile for conditional ones, one for the rest.
#[derive(Debug, Clone)]
pub(crate) struct Profiles {
    pub(crate) plain: ExecutionProfileHandle,
    pub(crate) conditional: ExecutionProfileHandle,
}

macro_rules! text {
    ($kind:ident $word:literal $verb:literal $table:literal $cql:literal) => {
        Text {
            word: $word,
            verb: $verb,
            table: $table,
            span: concat!($verb, " ", $table),
            label: concat!($word, " ", $table),
            kind: Use::$kind,
            cql: $cql,
        }
    };
}

macro_rules! statements {
    ($($(#[$doc:meta])* $field:ident: $kind:ident $word:literal $verb:literal $table:literal $cql:literal;)*) => {
        /// All statements, prepared.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $($(#[$doc])* pub(crate) $field: Prepared,)*
        }

        impl Statements {
            /// Prepares them one after another, so that the first that fails is named.
            pub(crate) async fn prepare(
                session: &Session,
                keyspace: &Keyspace,
                profiles: &Profiles,
            ) -> Result<Self, ConnectError> {
                Ok(Self {
                    $($field: prepare(session, keyspace, profiles, text!($kind $word $verb $table $cql)).await?,)*
                })
            }
        }

        pub(crate) const ALL: &[Text] = &[$(text!($kind $word $verb $table $cql)),*];
    };
}

statements! {
    // ------------------------------------------------------------------------------------------------------- identity

    claim_read: Read "read" "SELECT" "claim"
        "SELECT profile, claim_id, added_at, place, by_request FROM {keyspace}.claim WHERE key = ?";
    claim: Conditional "claim" "UPDATE" "claim"
        "UPDATE {keyspace}.claim SET profile = ?, claim_id = ?, added_at = ?, place = ?, by_request = ? \
         WHERE key = ? IF claim_id = ?";
    /// What was added when, and where, stays: only the owner goes.
    release: Conditional "release" "UPDATE" "claim"
        "UPDATE {keyspace}.claim SET profile = null, claim_id = ?, by_request = ? WHERE key = ? IF claim_id = ?";

    owner_read: Read "read" "SELECT" "shared_claim"
        "SELECT released, claim_id, added_at, place, by_request FROM {keyspace}.shared_claim \
         WHERE key = ? AND profile = ?";
    owners_read: Read "read_all" "SELECT" "shared_claim"
        "SELECT profile, released, claim_id, added_at, place, by_request, stamp FROM {keyspace}.shared_claim \
         WHERE key = ?";
    share: Conditional "share" "UPDATE" "shared_claim"
        "UPDATE {keyspace}.shared_claim SET stamp = ?, claim_id = ?, released = false, added_at = ?, place = ?, \
         by_request = ? WHERE key = ? AND profile = ? IF claim_id = ?";
    share_as_read: Conditional "share_as_read" "UPDATE" "shared_claim"
        "UPDATE {keyspace}.shared_claim SET stamp = ?, claim_id = ?, released = false, added_at = ?, place = ?, \
         by_request = ? WHERE key = ? AND profile = ? IF claim_id = ? AND stamp = ?";
    /// As a release: what was added when, and where, stays.
    unshare: Conditional "unshare" "UPDATE" "shared_claim"
        "UPDATE {keyspace}.shared_claim SET stamp = ?, claim_id = ?, released = true, by_request = ? \
         WHERE key = ? AND profile = ? IF claim_id = ?";

    /// The partition's own columns whatever its rows: a row that is absent hides them from every other form of SELECT.
    node_self: Read "read" "SELECT" "node"
        "SELECT DISTINCT parent, parent_token, dead FROM {keyspace}.node WHERE store = ? AND profile = ?";
    node_verdict: Read "read_verdict" "SELECT" "node"
        "SELECT verdict, parent, parent_token, dead FROM {keyspace}.node \
         WHERE store = ? AND profile = ? AND child = ? AND link_token = ?";
    node_all: Read "read_all" "SELECT" "node"
        "SELECT child, link_token, verdict, parent, parent_token, dead FROM {keyspace}.node \
         WHERE store = ? AND profile = ?";
    /// What nobody decides by, and no other read brings along.
    node_links: Read "read_links" "SELECT" "node"
        "SELECT child, link_token, verdict, decided_at, evidence FROM {keyspace}.node \
         WHERE store = ? AND profile = ?";
    point: Conditional "point" "UPDATE" "node"
        "UPDATE {keyspace}.node SET parent = ?, parent_token = ? WHERE store = ? AND profile = ? \
         IF dead = null AND parent_token = ?";
    link: Conditional "link" "UPDATE" "node"
        "UPDATE {keyspace}.node SET verdict = 'linked', decided_at = ?, evidence = ? \
         WHERE store = ? AND profile = ? AND child = ? AND link_token = ? \
         IF verdict = null AND dead = null AND parent_token = ?";
    void: Conditional "void" "UPDATE" "node"
        "UPDATE {keyspace}.node SET verdict = 'void', decided_at = ? \
         WHERE store = ? AND profile = ? AND child = ? AND link_token = ? IF verdict = null";
    kill: Conditional "kill" "UPDATE" "node"
        "UPDATE {keyspace}.node SET dead = ? WHERE store = ? AND profile = ? IF dead = null AND parent_token = ?";

    // ---------------------------------------------------------------------------------------------------------- cells

    /// Exact rows. One statement for any number of them; see `cells::plan` for the bound on the list.
    cells_rows: Read "read_rows" "SELECT" "cells"
        "SELECT kind, k1, k2, k3, value, time, settled FROM {keyspace}.cells \
         WHERE store = ? AND profile = ? AND (kind, k1, k2, k3) IN ?";
    /// Whole kinds, in the order of the key.
    cells_kinds: Read "read_kinds" "SELECT" "cells"
        "SELECT kind, k1, k2, k3, value, time, settled FROM {keyspace}.cells \
         WHERE store = ? AND profile = ? AND kind IN ?";
    /// One form for rows of every kind: what a kind does not have is bound unset, which leaves it as it is.
    cells_put: Plain "put" "INSERT" "cells"
        "INSERT INTO {keyspace}.cells (store, profile, kind, k1, k2, k3, value, time, settled) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    cells_forget: Plain "forget" "DELETE" "cells"
        "DELETE FROM {keyspace}.cells USING TIMESTAMP ? \
         WHERE store = ? AND profile = ? AND kind = ? AND k1 = ? AND k2 = ? AND k3 = ?";
    /// The whole partition. Its tombstone covers what is written at or before its time, also what comes later.
    cells_purge: Plain "purge" "DELETE" "cells"
        "DELETE FROM {keyspace}.cells USING TIMESTAMP ? WHERE store = ? AND profile = ?";

    // -------------------------------------------------------------------------------------------------------- listing

    listing_put: Plain "put" "INSERT" "listing"
        "INSERT INTO {keyspace}.listing (store, bucket, shard, profile) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    /// At the time of the row itself: of two writes with one time the removal counts.
    listing_drop: Plain "purge" "DELETE" "listing"
        "DELETE FROM {keyspace}.listing USING TIMESTAMP ? WHERE store = ? AND bucket = ? AND shard = ? AND profile = ?";
    listing_up: Read "read_up" "SELECT" "listing"
        "SELECT profile FROM {keyspace}.listing WHERE store = ? AND bucket = ? AND shard = ? AND profile > ? \
         ORDER BY profile ASC LIMIT ?";
    listing_down: Read "read_down" "SELECT" "listing"
        "SELECT profile FROM {keyspace}.listing WHERE store = ? AND bucket = ? AND shard = ? AND profile < ? \
         ORDER BY profile DESC LIMIT ?";
    bucket_read: Read "read" "SELECT" "listing_bucket"
        "SELECT shards FROM {keyspace}.listing_bucket WHERE store = ? AND bucket = ?";
    bucket_all: Read "read_all" "SELECT" "listing_bucket"
        "SELECT bucket, shards FROM {keyspace}.listing_bucket WHERE store = ?";
    bucket_open: Conditional "open" "UPDATE" "listing_bucket"
        "UPDATE {keyspace}.listing_bucket SET shards = ? WHERE store = ? AND bucket = ? IF shards = null";

    // -------------------------------------------------------------------------------------------------------- control

    account_read: Read "read" "SELECT" "account_store"
        "SELECT store, display_name, revision, description, version, ending FROM {keyspace}.account_store \
         WHERE account = ?";
    account_name: Conditional "name" "UPDATE" "account_store"
        "UPDATE {keyspace}.account_store SET display_name = ?, description = ?, version = ? \
         WHERE account = ? AND store = ? IF display_name = null";
    account_write: Conditional "write" "UPDATE" "account_store"
        "UPDATE {keyspace}.account_store SET revision = ?, display_name = ?, description = ?, version = ?, ending = ? \
         WHERE account = ? AND store = ? IF revision = ?";
    account_forget: Conditional "forget" "UPDATE" "account_store"
        "UPDATE {keyspace}.account_store SET display_name = null, description = null, version = null \
         WHERE account = ? AND store = ? IF display_name != null";
    store_read: Read "read" "SELECT" "store_control"
        "SELECT entry, body, account, status, version, display_name, description, claim_secret, settings, \
         settings_version, schema_version FROM {keyspace}.store_control WHERE store = ?";
    store_create: Conditional "create" "UPDATE" "store_control"
        "UPDATE {keyspace}.store_control SET account = ?, status = ?, version = ?, display_name = ?, description = ?, \
         claim_secret = ?, settings = ?, settings_version = ?, schema_version = ? WHERE store = ? IF account = null";
    /// The account stays, so that nobody makes the store again; the key of its claims goes, and with it their meaning.
    store_delete: Conditional "delete" "UPDATE" "store_control"
        "UPDATE {keyspace}.store_control SET status = 'DELETED', display_name = null, description = null, \
         claim_secret = null, settings = null WHERE store = ? IF account = ? AND claim_secret != null";
    store_status: Read "read_status" "SELECT" "store_control"
        "SELECT DISTINCT status FROM {keyspace}.store_control WHERE store = ?";
    group_create: Conditional "create_group" "UPDATE" "store_control"
        "UPDATE {keyspace}.store_control SET body = ? WHERE store = ? AND entry = ? IF body = null";

    settings_write: Conditional "write_settings" "UPDATE" "store_control"
        "UPDATE {keyspace}.store_control SET settings = ?, settings_version = ? WHERE store = ? \
         IF settings_version = ? AND claim_secret != null";
    /// Without a body the group is none.
    group_write: Conditional "write_group" "UPDATE" "store_control"
        "UPDATE {keyspace}.store_control SET schema_version = ?, body = ? WHERE store = ? AND entry = ? \
         IF schema_version = ? AND claim_secret != null";

    operation_read: Read "read" "SELECT" "operation"
        "SELECT body FROM {keyspace}.operation WHERE account = ? AND operation = ?";
    operation_put: Plain "put" "INSERT" "operation"
        "INSERT INTO {keyspace}.operation (account, operation, body) VALUES (?, ?, ?) USING TIMESTAMP ? AND TTL ?";

    secret_read: Read "read" "SELECT" "secret"
        "SELECT value FROM {keyspace}.secret WHERE name = ?";

    // --------------------------------------------------------------------------------------------------------- health

    /// The smallest read that needs a quorum.
    ping: Read "ping" "SELECT" "schema_version"
        "SELECT version FROM {keyspace}.schema_version WHERE component = 'kith'";
}

/// Several rows of one profile's cells in one statement.
pub(crate) const CELLS_BATCH: Text =
    text!(Plain "put_batch" "BATCH" "cells" "made of the statements put and forget");
/// A store and its groups in one statement.
pub(crate) const STORE_BATCH: Text = text!(Conditional "create" "BATCH" "store_control" "made of the statements create and create_group");

/// The text with its keyspace.
pub(crate) fn in_keyspace(cql: &str, keyspace: &Keyspace) -> String {
    cql.replace("{keyspace}", keyspace.as_str())
}

pub(crate) async fn prepare(
    session: &Session,
    keyspace: &Keyspace,
    profiles: &Profiles,
    text: Text,
) -> Result<Prepared, ConnectError> {
    let unprepared = Statement::new(in_keyspace(text.cql, keyspace));
    let mut statement =
        session
            .prepare(unprepared)
            .await
            .map_err(|source| ConnectError::Prepare {
                statement: text.label,
                source: Box::new(source),
            })?;
    let conditional = text.kind == Use::Conditional;
    let profile = if conditional {
        &profiles.conditional
    } else {
        &profiles.plain
    };
    statement.set_execution_profile_handle(Some(profile.clone()));
    // A conditional statement may be sent again, but it is the use case that does it: the answer to the second is then
    // known to be the answer to a second, and "lost to myself" is success.
    statement.set_is_idempotent(!conditional);
    if conditional {
        telemetry::show_unknown_outcomes(&text);
    }
    Ok(Prepared { text, statement })
}

#[cfg(test)]
pub(crate) mod tests;
