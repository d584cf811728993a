//! Migration, and what is found when the tables do not fit.

use kith_profiles::ports::{AccountStore, AccountWrite, Control, Definitions, Written};
use kith_scylla::{
    ConnectError, Cql, CqlConfig, Dialect, Drift, MigrateError, SCHEMA_VERSION, migrate,
};

use uuid::Uuid;

use crate::harness::{raw, with_config, with_cql};

#[tokio::test]
async fn a_keyspace_is_made_once_and_then_left_alone() {
    with_config(async |config| {
        let first = migrate(&config).await.unwrap();
        assert_eq!((first.from, first.to), (None, SCHEMA_VERSION));
        assert!(
            first.statements[0].starts_with("CREATE KEYSPACE"),
            "{first:?}"
        );
        let second = migrate(&config).await.unwrap();
        assert_eq!(
            (second.from, second.to),
            (Some(SCHEMA_VERSION), SCHEMA_VERSION)
        );
        assert_eq!(second.statements, Vec::<String>::new());
        let cql = Cql::connect(&config).await.unwrap();
        assert_eq!(cql.check().await.unwrap(), []);
        cql.ping().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nothing_starts_on_a_keyspace_that_was_not_migrated() {
    with_config(async |config| {
        let error = Cql::connect(&config).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Schema { drift, .. } if drift[0] == Drift::NoKeyspace),
            "{error}"
        );
        assert!(error.to_string().contains("ingest-api migrate"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_migration_goes_on_where_another_stopped() {
    with_cql(async |cql, config| {
        let raw = raw(&config).await;
        let keyspace = &config.keyspace;
        for statement in [
            format!("DROP TABLE {keyspace}.shared_claim"),
            format!("ALTER TABLE {keyspace}.node DROP evidence"),
            format!("ALTER TABLE {keyspace}.store_control DROP description"),
        ] {
            raw.query_unpaged(statement, ()).await.unwrap();
        }
        let drift = cql.check().await.unwrap();
        assert_eq!(
            drift,
            [
                Drift::NoTable {
                    table: "shared_claim"
                },
                Drift::NoColumn {
                    table: "node",
                    column: "evidence"
                },
                Drift::NoColumn {
                    table: "store_control",
                    column: "description"
                },
            ]
        );
        assert!(matches!(
            Cql::connect(&config).await,
            Err(ConnectError::Schema { .. })
        ));
        let report = migrate(&config).await.unwrap();
        assert_eq!(report.statements.len(), 3);
        assert_eq!(cql.check().await.unwrap(), []);
        Cql::connect(&config).await.unwrap();
    })
    .await;
}

/// The tables of the first version: without what came for the control plane.
async fn back_to_the_first_version(config: &CqlConfig) {
    let (raw, keyspace) = (raw(config).await, &config.keyspace);
    for statement in [
        format!("DROP TABLE {keyspace}.operation"),
        format!("DROP TABLE {keyspace}.secret"),
        format!(
            "ALTER TABLE {keyspace}.account_store DROP (revision, description, version, ending)"
        ),
        format!(
            "UPDATE {keyspace}.schema_version SET version = 1 WHERE component = 'kith' IF version = 2"
        ),
    ] {
        raw.query_unpaged(statement, ()).await.unwrap();
    }
}

#[tokio::test]
async fn a_keyspace_of_the_first_version_is_brought_up_and_keeps_its_stores() {
    with_cql(async |cql, config| {
        let record = crate::control::record(crate::control::account(1));
        cql.create_store(&record).await.unwrap();
        back_to_the_first_version(&config).await;
        assert!(matches!(
            Cql::connect(&config).await,
            Err(ConnectError::Schema { .. })
        ));

        let report = migrate(&config).await.unwrap();
        assert_eq!((report.from, report.to), (Some(1), SCHEMA_VERSION));
        let cql = Cql::connect(&config).await.unwrap();
        assert_eq!(cql.store(record.id).await.unwrap(), Some(record.clone()));
        let known = cql.account(&record.account).await.unwrap();
        let expected = AccountStore {
            store: record.id,
            display_name: Some(record.display_name),
            description: None,
            version: 1,
            ending: None,
        };
        assert_eq!(
            (known.revision, known.stores),
            (None, vec![expected.clone()])
        );
        // It can be changed like any other.
        let write = AccountWrite {
            account: record.account.clone(),
            expected: None,
            revision: Uuid::new_v4(),
            row: AccountStore {
                version: 2,
                ..expected
            },
        };
        assert_eq!(cql.write_account(&write).await.unwrap(), Written::Applied);

        // The key of page tokens is made once.
        let key = cql.token_key().await.unwrap();
        assert_eq!(
            migrate(&config).await.unwrap().statements,
            Vec::<String>::new()
        );
        assert_eq!(cql.token_key().await.unwrap(), key);
    })
    .await;
}

#[tokio::test]
async fn reads_that_are_not_monotone_are_refused_and_repaired() {
    with_cql(async |cql, config| {
        if config.dialect != Dialect::Cassandra {
            return; // ScyllaDB has no such option.
        }
        let alter = format!(
            "ALTER TABLE {}.node WITH read_repair = 'NONE'",
            config.keyspace
        );
        raw(&config).await.query_unpaged(alter, ()).await.unwrap();
        let drift = cql.check().await.unwrap();
        assert_eq!(
            drift,
            [Drift::ReadRepair {
                table: "node",
                found: "'NONE'".to_owned()
            }]
        );
        assert!(matches!(
            Cql::connect(&config).await,
            Err(ConnectError::Schema { .. })
        ));
        migrate(&config).await.unwrap();
        assert_eq!(cql.check().await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_newer_schema_serves_but_is_not_migrated() {
    with_cql(async |_, config| {
        let newer = SCHEMA_VERSION + 1;
        let bump = format!("UPDATE {}.schema_version SET version = {newer} WHERE component = 'kith' IF version = {SCHEMA_VERSION}", config.keyspace);
        raw(&config).await.query_unpaged(bump, ()).await.unwrap();
        Cql::connect(&config).await.unwrap();
        let error = migrate(&config).await.unwrap_err();
        assert!(matches!(error, MigrateError::Newer { found, .. } if found == newer), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_table_of_another_shape_is_left_alone() {
    with_config(async |config| {
        let raw = raw(&config).await;
        let keyspace = &config.keyspace;
        for statement in [
            format!("CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}}"),
            format!("CREATE TABLE {keyspace}.claim (key text PRIMARY KEY, profile uuid)"),
        ] {
            raw.query_unpaged(statement, ()).await.unwrap();
        }
        let error = migrate(&config).await.unwrap_err();
        assert!(matches!(&error, MigrateError::Unfit { drift, .. } if drift.len() == 1), "{error}");
        assert!(error.to_string().contains("claim.key"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_data_centre_that_no_node_is_in_is_refused() {
    with_config(async |mut config| {
        migrate(&config).await.unwrap();
        config.local_dc = Some("nowhere".to_owned());
        let error = Cql::connect(&config).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::UnknownDatacenter { .. }),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_another_product_is_refused() {
    with_cql(async |_, mut config| {
        let real = config.dialect;
        config.dialect = match real {
            Dialect::Scylla => Dialect::Cassandra,
            Dialect::Cassandra => Dialect::Scylla,
        };
        let error = Cql::connect(&config).await.unwrap_err();
        let is_told = |found: Dialect, configured: Dialect| {
            found == real && configured == config.dialect
        };
        assert!(
            matches!(error, ConnectError::WrongDialect { configured, found } if is_told(found, configured)),
            "{error}"
        );
        let error = migrate(&config).await.unwrap_err();
        assert!(
            matches!(error, MigrateError::WrongDialect { configured, found } if is_told(found, configured)),
            "{error}"
        );
    })
    .await;
}

#[tokio::test]
async fn the_clock_of_every_node_is_near_ours() {
    with_cql(async |cql, config| {
        let ours = kith_domain::id::ProfileId::from_uuid(uuid::Uuid::now_v7()).created_at();
        let clocks = cql.clocks().await;
        assert_eq!(clocks.len(), config.nodes.len());
        let theirs = cql.now().await.unwrap();
        let apart = (theirs.as_micros() - ours.as_micros()).abs();
        assert!(apart < 10_000_000, "{apart} us apart");
    })
    .await;
}
