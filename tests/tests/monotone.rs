//! Monotone quorum reads on three real nodes (`identity-protocol.md` 1, V2): what one quorum read of the adapter saw, a later
//! one sees, also when the two quorums share none of the nodes that had it. Blocking read repair does it; a table without it
//! is shown to fail the same test, so that the test can.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kith_domain::id::{ClaimId, ProfileId, RequestId};
use kith_domain::identifier::ClaimKey;
use kith_profiles::ports::Identity;
use kith_scylla::{Cql, CqlConfig, Dialect, migrate};
use kith_tests::poll::until;
use kith_tests::process::free_address;
use kith_tests::servers::workspace;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::{Consistency, Statement};
use uuid::Uuid;

/// Three nodes of this test's own, which keep no hints. Dropping them stops them.
struct Nodes {
    dir: PathBuf,
    environment: Vec<(String, String)>,
    addresses: Vec<SocketAddr>,
}

impl Nodes {
    async fn start() -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("kith-nodes-{}", Uuid::new_v4().as_simple()));
        let mut environment: Vec<(String, String)> = vec![
            ("KITH_LOCAL_DIR".into(), dir.display().to_string()),
            ("KITH_LOCAL_MIGRATE".into(), "0".into()),
            ("KITH_LOCAL_HINTS".into(), "false".into()),
            ("NODES".into(), "3".into()),
        ];
        let mut cql = 0;
        for name in [
            "KAFKA_PORT",
            "KAFKA_CONTROLLER_PORT",
            "KAFKA_PROXIED_PORT",
            "KAFKA_PROXY_PORT",
            "STORAGE_PORT",
            "CQL_PORT",
        ] {
            cql = free_address()?.port();
            environment.push((format!("KITH_LOCAL_{name}"), cql.to_string()));
        }
        let addresses = (1..=3)
            .map(|node| SocketAddr::from(([127, 0, 0, node], cql)))
            .collect();
        let nodes = Self {
            dir,
            environment,
            addresses,
        };
        nodes.run("up", &[]).await?;
        Ok(nodes)
    }

    async fn node(&self, number: usize, action: &str) -> Result<()> {
        self.run("node", &[&format!("cassandra{number}"), action])
            .await
    }

    async fn run(&self, script: &str, arguments: &[&str]) -> Result<()> {
        let mut command = self.command(script, arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "deploy/local/{script} {arguments:?}: {said}"
        );
        Ok(())
    }

    fn command(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(workspace().join("deploy/local").join(script));
        command.args(arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A session whose statements go to this node, at this consistency.
    async fn session(&self, number: usize, consistency: Consistency) -> Result<Session> {
        let address = self.addresses[number - 1];
        let target =
            SingleTargetLoadBalancingPolicy::new(NodeIdentifier::NodeAddress(address), None);
        let profile = ExecutionProfile::builder()
            .consistency(consistency)
            .load_balancing_policy(target)
            .retry_policy(Arc::new(FallthroughRetryPolicy))
            .request_timeout(Some(Duration::from_secs(5)))
            .build();
        let session = SessionBuilder::new()
            .known_node_addr(address)
            .default_execution_profile_handle(profile.into_handle());
        Ok(session.build().await?)
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for number in 1..=3 {
            drop(
                self.command("node", &[&format!("cassandra{number}"), "thaw"])
                    .output(),
            );
        }
        drop(self.command("down", &["--delete"]).output());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// How many of three nodes a node takes for alive, if they are not all: whoever asks for all of them is told at once.
async fn alive(session: &Session) -> Result<Option<i32>> {
    let mut statement = Statement::new("SELECT key FROM monotone.claim WHERE key = 0x00");
    statement.set_consistency(Consistency::All);
    match session.query_unpaged(statement, &[]).await {
        Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Unavailable { alive, .. },
            _,
        ))) => Ok(Some(alive)),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(None),
    }
}

/// Leaves a write on node 1 alone, lets quorums of {1, 2} and then of {2, 3} be asked. What each answered.
async fn two_quorums<T, R, Fut>(
    nodes: &Nodes,
    write: &Session,
    statement: Statement,
    ask: R,
) -> Result<(T, T)>
where
    R: Fn() -> Fut,
    Fut: Future<Output = Result<Option<T>>>,
{
    nodes.node(2, "freeze").await?;
    nodes.node(3, "freeze").await?;
    // Whoever is taken for away is sent nothing, and no hints are kept. What was sent to a frozen node would be dropped there once it is
    // too old, but for a node whose own idea of the time is as old.
    let are_away = || async { Ok((alive(write).await? == Some(1)).then_some(())) };
    until(Duration::from_secs(90), "nodes that are away", are_away).await?;
    write
        .query_unpaged(statement, &[])
        .await
        .context("the write at ONE")?;
    nodes.node(2, "thaw").await?;
    let first = until(Duration::from_secs(60), "a quorum of nodes 1 and 2", &ask).await?;
    nodes.node(1, "freeze").await?;
    nodes.node(3, "thaw").await?;
    let second = until(Duration::from_secs(60), "a quorum of nodes 2 and 3", &ask).await?;
    nodes.node(1, "thaw").await?;
    Ok((first, second))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_quorum_read_saw_later_ones_see() -> Result<()> {
    let nodes = Nodes::start().await?;
    let config = CqlConfig {
        nodes: nodes.addresses.iter().map(ToString::to_string).collect(),
        keyspace: "monotone".parse()?,
        dialect: Dialect::Cassandra,
        ..CqlConfig::default()
    };
    migrate(&config).await?;
    let database = Cql::connect(&config).await?;
    let one = nodes.session(1, Consistency::One).await?;

    // A claim that reached one replica, as one in flight does.
    let key = ClaimKey::from_bytes([7; 32]);
    let (profile, id) = (
        ProfileId::from_uuid(Uuid::now_v7()),
        ClaimId::from_uuid(Uuid::new_v4()),
    );
    let request = RequestId::from_uuid(Uuid::new_v4());
    let hex: String = key
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let write = format!(
        "UPDATE monotone.claim SET profile = {}, claim_id = {}, added_at = 1, place = 0, by_request = {} WHERE key = 0x{hex}",
        profile.as_uuid(),
        id.as_uuid(),
        request.as_uuid()
    );
    let ask = || async {
        Ok(Some(
            database.claims(&[key]).await?[0].map(|claim| claim.id),
        ))
    };
    let (first, second) = two_quorums(&nodes, &one, Statement::new(write), ask).await?;
    ensure!(
        first == Some(id),
        "the first read, of nodes 1 and 2, missed what node 1 has"
    );
    ensure!(
        second == Some(id),
        "seen once, and missed by a later quorum"
    );

    // The same without blocking read repair: the second quorum misses it, so the test can fail.
    let all = nodes.session(2, Consistency::All).await?;
    let table = "CREATE TABLE monotone.unrepaired (key int PRIMARY KEY, value int) WITH read_repair = 'NONE'";
    all.query_unpaged(table, &[]).await?;
    all.await_schema_agreement().await?;
    let quorum = nodes.session(2, Consistency::Quorum).await?;
    let ask = || async {
        let rows = quorum
            .query_unpaged("SELECT value FROM monotone.unrepaired WHERE key = 1", &[])
            .await?
            .into_rows_result()?;
        Ok(Some(
            rows.maybe_first_row::<(i32,)>()?.map(|(value,)| value),
        ))
    };
    let write = Statement::new("UPDATE monotone.unrepaired SET value = 7 WHERE key = 1");
    let (first, second) = two_quorums(&nodes, &one, write, ask).await?;
    ensure!(first == Some(7), "the first read missed what node 1 has");
    ensure!(
        second.is_none(),
        "without repair the second quorum had it: this test cannot fail"
    );
    Ok(())
}
