use super::*;

fn config(dialect: Dialect) -> CqlConfig {
    CqlConfig {
        dialect,
        ..CqlConfig::default()
    }
}

fn remedy(drift: &Drift, dialect: Dialect) -> Option<String> {
    drift.remedy(&config(dialect))
}

#[test]
fn a_table_reads_as_it_was_described() {
    let made = remedy(&Drift::NoTable { table: "node" }, Dialect::Cassandra).unwrap();
    assert_eq!(
        made,
        "CREATE TABLE IF NOT EXISTS kith.node (store uuid, profile uuid, child uuid, link_token uuid, \
         parent uuid STATIC, parent_token uuid STATIC, dead uuid STATIC, verdict text, decided_at bigint, \
         evidence blob, PRIMARY KEY ((store, profile), child, link_token)) WITH comment = 'a profile''s pointer, \
         its mark and its verdicts; conditional statements only, rows are never deleted' AND read_repair = 'BLOCKING'"
    );
}

#[test]
fn words_of_one_product_never_reach_the_other() {
    for table in TABLES {
        let drift = Drift::NoTable { table: table.name };
        let scylla = remedy(&drift, Dialect::Scylla).unwrap();
        assert!(!scylla.contains("read_repair"), "{scylla}");
        assert!(
            remedy(&drift, Dialect::Cassandra)
                .unwrap()
                .contains("read_repair = 'BLOCKING'")
        );
    }
    let cassandra = remedy(&Drift::NoKeyspace, Dialect::Cassandra).unwrap();
    assert_eq!(
        cassandra,
        "CREATE KEYSPACE IF NOT EXISTS kith WITH replication = {'class': 'NetworkTopologyStrategy', \
         'replication_factor': 3}"
    );
    assert!(
        remedy(&Drift::NoKeyspace, Dialect::Scylla)
            .unwrap()
            .ends_with("tablets = {'enabled': false}")
    );
    let unspecified = CqlConfig {
        tablets: Tablets::Unspecified,
        ..config(Dialect::Scylla)
    };
    assert!(
        !Drift::NoKeyspace
            .remedy(&unspecified)
            .unwrap()
            .contains("tablets")
    );
}

#[test]
fn a_plain_column_can_be_added_and_a_key_column_cannot() {
    let add = |table, column| remedy(&Drift::NoColumn { table, column }, Dialect::Scylla);
    assert_eq!(
        add("claim", "by_request").unwrap(),
        "ALTER TABLE kith.claim ADD by_request uuid"
    );
    assert_eq!(
        add("node", "dead").unwrap(),
        "ALTER TABLE kith.node ADD dead uuid STATIC"
    );
    assert_eq!(add("node", "child"), None);
}

#[test]
fn keys_come_first_and_in_order() {
    for table in TABLES {
        let places: Vec<_> = table.columns.iter().map(|c| c.place as u8).collect();
        let mut sorted = places.clone();
        sorted.sort_unstable();
        assert_eq!(places, sorted, "{}", table.name);
    }
}

#[test]
fn link_sorts_before_member() {
    assert!("link" < "member");
}

/// The file is frozen (`docs/formats.md`): services of the first release go on reading and writing these columns during an upgrade.
#[test]
fn every_column_of_the_first_release_is_there_as_it_was() {
    let golden = include_str!("../../tests/golden/v1/schema.txt");
    let mut table: Option<&Table> = None;
    let mut columns = 0;
    for line in golden.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [name, family] = words[..] {
            let found = TABLES.iter().find(|table| table.name == name);
            let found = found.unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(
                format!("{:?}", found.family).to_lowercase(),
                family,
                "{name}"
            );
            table = Some(found);
        } else {
            let [name, cql_type, place] = words[..] else {
                panic!("{line}");
            };
            let of = table.unwrap();
            let found = of.columns.iter().find(|column| column.name == name);
            let found = found.unwrap_or_else(|| panic!("no {}.{name}", of.name));
            assert_eq!(
                (found.cql_type, found.place.as_str()),
                (cql_type, place),
                "{}.{name}",
                of.name
            );
            columns += 1;
        }
    }
    assert!(columns > 60, "{columns}");
}

/// A key column more would be another table; what a later release adds, an earlier one leaves out when it writes.
#[test]
fn no_key_column_has_come_since_the_first_release() {
    let golden = include_str!("../../tests/golden/v1/schema.txt");
    let keys = |line: &&str| line.ends_with("partition_key") || line.ends_with("clustering");
    let old_tables: Vec<_> = golden
        .lines()
        .filter(|line| !line.starts_with([' ', '#']))
        .collect();
    let is_old = |table: &&Table| {
        old_tables
            .iter()
            .any(|line| line.split(' ').next() == Some(table.name))
    };
    let now = TABLES.iter().filter(is_old).flat_map(|table| table.columns);
    let now = now.filter(|column| matches!(column.place, Place::Partition | Place::Clustering));
    assert_eq!(now.count(), golden.lines().filter(keys).count());
}
