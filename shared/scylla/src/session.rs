//! A connection to the database: how it is made, and how statements go over it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kith_profiles::error::PortError;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::{Session, TlsContext};
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::{Consistency, SerialConsistency};
use secrecy::ExposeSecret;

use crate::check;
use crate::config::{CqlConfig, Dialect, Reach};
use crate::error::{CheckError, ConnectError, SessionError};
use crate::listing::Buckets;
use crate::schema::Drift;
use crate::statements::{Profiles, Statements};
use crate::telemetry::{self, Telemetry};
use crate::tls;

/// A node that does not answer must not hold requests for long: connecting is given up after this ...
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// ... and a connection on which nothing came back for these two together is closed, with all that waits on it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A read or plain write that takes longer than this part of its timeout goes to a second node as well: one that hangs would
/// hold up nearly every request, for each has several statements. Not much sooner: a database that is slow because it has too
/// much to do must not get twice as much.
const HEDGED_AFTER: u32 = 2;

/// The database of Kith in CQL: identity, cells, listing and control. A clone is another handle on the same connections.
#[derive(Clone)]
pub struct Cql(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) buckets: Buckets,
    pub(crate) profiles: Profiles,
    pub(crate) telemetry: Telemetry,
    config: CqlConfig,
}

impl fmt::Debug for Cql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cql")
            .field("keyspace", &self.0.config.keyspace)
            .finish_non_exhaustive()
    }
}

impl Cql {
    /// Connects, looks whether the tables are those that this version needs, prepares every statement, and reads once.
    ///
    /// # Errors
    /// [`ConnectError`]: a setting, the network, a schema that was not migrated, or a server that does not take a
    /// statement; the last two say which, and what to run.
    pub async fn connect(config: &CqlConfig) -> Result<Self, ConnectError> {
        // The driver bounds each of its steps, but not the preparation of a statement at a node that hangs.
        tokio::time::timeout(config.connect_timeout, Self::connect_unbounded(config))
            .await
            .unwrap_or(Err(ConnectError::Timeout(config.connect_timeout)))
    }

    async fn connect_unbounded(config: &CqlConfig) -> Result<Self, ConnectError> {
        config.validate()?;
        telemetry::describe();
        let session = open(config, tls::context(config)?).await?;
        know_datacenter(&session, config)?;
        let (configured, found) = (config.dialect, check::product(&session, config).await?);
        if found != configured {
            return Err(ConnectError::WrongDialect { configured, found });
        }
        let drift = check::drift(&session, config).await?;
        if !drift.is_empty() {
            return Err(ConnectError::Schema {
                keyspace: config.keyspace.to_string(),
                drift,
            });
        }
        let profiles = profiles(config);
        // On the heap: one future a statement, each of a size of its own, would make that of every caller a large one.
        let preparing = Statements::prepare(&session, &config.keyspace, &profiles);
        let statements = Box::pin(preparing).await?;
        let telemetry = Telemetry {
            system: config.dialect.system_name(),
            namespace: config.keyspace.as_str().into(),
        };
        let cql = Self(Arc::new(Inner {
            session,
            statements,
            buckets: Buckets::default(),
            profiles,
            telemetry,
            config: config.clone(),
        }));
        cql.ping().await.map_err(ConnectError::FirstRead)?;
        Ok(cql)
    }

    /// Reads one row at a quorum: whether the database would answer a request.
    ///
    /// # Errors
    /// [`PortError`].
    pub async fn ping(&self) -> Result<(), PortError> {
        self.one::<(Option<i32>,)>(&self.0.statements.ping, ())
            .await
            .map(|_| ())
    }

    /// Looks again whether the tables are those that this version needs.
    ///
    /// # Errors
    /// [`CheckError`] if they cannot be read.
    pub async fn check(&self) -> Result<Vec<Drift>, CheckError> {
        check::drift(&self.0.session, &self.0.config).await
    }
}

/// Opens a session that prefers no keyspace: texts carry theirs, so that `migrate` can start before there is one. Encrypted if there is
/// something to encrypt with.
pub(crate) async fn open(
    config: &CqlConfig,
    tls: Option<TlsContext>,
) -> Result<Session, SessionError> {
    let pool = match config.dialect {
        Dialect::Scylla => PoolSize::PerShard(config.pool_size),
        Dialect::Cassandra => PoolSize::PerHost(config.pool_size),
    };
    let mut builder = SessionBuilder::new()
        .known_nodes(&config.nodes)
        .default_execution_profile_handle(profiles(config).plain)
        .connection_timeout(CONNECT_TIMEOUT)
        .keepalive_interval(KEEPALIVE_INTERVAL)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
        .pool_size(pool)
        .tls_context(tls)
        // Which node has which key is all that we want to know of the schema, and of our keyspace only.
        .keyspaces_to_fetch([config.keyspace.as_str()])
        .fetch_full_schema_metadata(false)
        // Only `migrate` alters anything, and it knows what it did.
        .refresh_metadata_on_auto_schema_agreement(false);
    if let Some(datacenter) = &config.local_dc {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    if let (Some(user), Some(password)) = (&config.username, &config.password) {
        builder = builder.user(user, password.expose_secret());
    }
    Ok(builder.build().await?)
}

/// A name that no node has would leave every statement without a node to go to.
fn know_datacenter(session: &Session, config: &CqlConfig) -> Result<(), ConnectError> {
    let Some(named) = &config.local_dc else {
        return Ok(());
    };
    let state = session.get_cluster_state();
    let mut found: Vec<_> = state
        .get_nodes_info()
        .iter()
        .filter_map(|node| node.datacenter.clone())
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.contains(named) {
        Ok(())
    } else {
        Err(ConnectError::UnknownDatacenter {
            named: named.clone(),
            found,
        })
    }
}

/// How statements are sent. Quorums everywhere: the protocols count on every read seeing every acknowledged write.
///
/// Conditional statements are never sent again by the driver, and never twice at once: the answer must be the answer to
/// the statement that was sent. Reads and plain writes may be: they change nothing that the first did not.
pub(crate) fn profiles(config: &CqlConfig) -> Profiles {
    let (consistency, serial) = match config.reach {
        Reach::LocalDatacenter => (Consistency::LocalQuorum, SerialConsistency::LocalSerial),
        Reach::AllDatacenters => (Consistency::Quorum, SerialConsistency::Serial),
    };
    let base = ExecutionProfile::builder()
        .consistency(consistency)
        .serial_consistency(Some(serial))
        .load_balancing_policy(DefaultPolicy::builder().token_aware(true).build())
        .speculative_execution_policy(None)
        .build();
    let plain = base
        .to_builder()
        .request_timeout(Some(config.request_timeout))
        .retry_policy(Arc::new(DefaultRetryPolicy::new()))
        .speculative_execution_policy(Some(Arc::new(SimpleSpeculativeExecutionPolicy {
            max_retry_count: 1,
            retry_interval: config.request_timeout / HEDGED_AFTER,
        })))
        .build();
    let conditional = base
        .to_builder()
        .request_timeout(Some(config.conditional_timeout()))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .build();
    Profiles {
        plain: plain.into_handle(),
        conditional: conditional.into_handle(),
    }
}
