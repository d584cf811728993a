//! `migrate`: keyspace, tables and topics, from one job and never from a service. Repeating it is safe.

use std::error::Error;

use kith_kafka::{KafkaConfig, ensure_topics};
use kith_profiles::ports::{Clock, Control};
use kith_runtime::clock::{SystemClock, SystemIds};
use kith_runtime::credentials::Credentials;
use kith_runtime::lifecycle::Exit;
use kith_scylla::{Cql, CqlConfig};

use super::say;
use crate::development_store;

/// Migrates, and ends with 0 if all is there.
pub async fn run(cql: &CqlConfig, kafka: &KafkaConfig, with_development_store: bool) -> Exit {
    match migrate(cql, kafka, with_development_store).await {
        Ok(()) => Exit::Clean,
        Err(error) => {
            say(&format!("FAIL  {}", kith_servers::doctor::chain(&*error)));
            Exit::Failed
        }
    }
}

async fn migrate(
    cql: &CqlConfig,
    kafka: &KafkaConfig,
    with_development_store: bool,
) -> Result<(), Box<dyn Error>> {
    let report = kith_scylla::migrate(cql).await?;
    say(&format!(
        "ok    keyspace {}: version {}, {} statements run",
        cql.keyspace.as_str(),
        report.to,
        report.statements.len()
    ));
    for (topic, created) in ensure_topics(kafka).await? {
        say(&format!("ok    topic {topic}: {created:?}"));
    }
    if with_development_store {
        let credentials = Credentials::of_environment()?;
        let account = credentials
            .development_account()
            .ok_or("no development account")?;
        let store = development_store(account.clone(), SystemClock::new().now()?, &SystemIds);
        let created = Cql::connect(cql).await?.create_store(&store).await?;
        say(&format!(
            "ok    store {} of {}: {created:?}",
            store.id, store.account
        ));
    }
    Ok(())
}
