use super::*;
use crate::schema::{Family, TABLES};

/// How a text breaks the rules of its table's family, if it does.
pub(crate) fn breach(cql: &str) -> Option<String> {
    let words: Vec<_> = cql.split_whitespace().collect();
    let verb = words[0];
    let target = match verb {
        "UPDATE" => words[1],
        "INSERT" | "DELETE" => words[2],
        "SELECT" => words[words.iter().position(|w| *w == "FROM")? + 1],
        _ => return Some(format!("verb {verb}")),
    };
    let name = target.strip_prefix("{keyspace}.").unwrap_or(target);
    let name = name.rsplit('.').next()?;
    let Some(table) = TABLES.iter().find(|t| t.name == name) else {
        return Some(format!("unknown table {name}"));
    };
    let conditional = words.contains(&"IF");
    let timed = cql.contains("USING TIMESTAMP ?");
    let broken = match (verb, table.family) {
        ("SELECT", _) => conditional || timed,
        ("UPDATE", Family::Conditional) => !conditional || cql.contains("TIMESTAMP"),
        ("INSERT" | "DELETE", Family::Plain) => conditional || !timed,
        _ => true,
    };
    broken.then(|| format!("{verb} of {name}, IF: {conditional}, USING TIMESTAMP: {timed}"))
}

#[test]
fn the_families_never_mix() {
    for text in ALL {
        assert_eq!(breach(text.cql), None, "{}", text.cql);
        let table = TABLES.iter().find(|t| t.name == text.table).unwrap();
        let expected = match (text.cql.starts_with("SELECT"), table.family) {
            (true, _) => Use::Read,
            (false, Family::Conditional) => Use::Conditional,
            (false, Family::Plain) => Use::Plain,
        };
        assert_eq!(text.kind, expected, "{}", text.cql);
    }
}

#[test]
fn the_judge_knows_a_breach() {
    for bad in [
        "INSERT INTO {keyspace}.claim (key) VALUES (?)",
        "INSERT INTO {keyspace}.claim (key) VALUES (?) IF NOT EXISTS USING TIMESTAMP ?",
        "UPDATE {keyspace}.claim SET place = ? WHERE key = ?",
        "UPDATE {keyspace}.claim USING TIMESTAMP ? SET place = ? WHERE key = ? IF claim_id = ?",
        "DELETE FROM {keyspace}.node WHERE store = ? AND profile = ?",
        "DELETE FROM {keyspace}.node WHERE store = ? AND profile = ? IF EXISTS",
        "INSERT INTO {keyspace}.cells (store) VALUES (?)",
        "INSERT INTO {keyspace}.cells (store) VALUES (?) IF NOT EXISTS",
        "UPDATE {keyspace}.cells SET settled = ? WHERE store = ? IF settled = null",
        "DELETE FROM {keyspace}.cells WHERE store = ?",
        "TRUNCATE {keyspace}.cells",
        "INSERT INTO {keyspace}.other (store) VALUES (?) USING TIMESTAMP ?",
    ] {
        assert!(breach(bad).is_some(), "{bad}");
    }
}

#[test]
fn names_say_what_texts_do() {
    for text in ALL {
        assert_eq!(text.cql.split(' ').next(), Some(text.verb), "{}", text.cql);
        assert!(
            text.cql.contains(&format!("{{keyspace}}.{} ", text.table)),
            "{}",
            text.cql
        );
        assert_eq!(text.cql.matches("{keyspace}").count(), 1, "{}", text.cql);
    }
}

#[test]
fn labels_are_unique() {
    let mut labels: Vec<_> = ALL.iter().map(|t| t.label).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), ALL.len());
}

#[test]
fn the_protocol_has_nine_conditional_statements() {
    let tables = ["claim", "shared_claim", "node"];
    let identity = ALL
        .iter()
        .filter(|t| t.kind == Use::Conditional && tables.contains(&t.table));
    let mut words: Vec<_> = identity.map(|t| t.word).collect();
    words.sort_unstable();
    let expected = [
        "claim",
        "kill",
        "link",
        "point",
        "release",
        "share",
        "share_as_read",
        "unshare",
        "void",
    ];
    assert_eq!(words, expected);
}

#[test]
fn only_a_partition_of_cells_is_removed_whole() {
    let is_of_a_row = |cql: &str| cql.contains("kind = ?") || cql.contains("shard = ?");
    let whole = |text: &&Text| text.verb == "DELETE" && !is_of_a_row(text.cql);
    let names: Vec<_> = ALL.iter().filter(whole).map(|t| t.label).collect();
    assert_eq!(names, ["purge cells"]);
}

#[test]
fn every_conditional_write_names_what_it_replaces() {
    for text in ALL.iter().filter(|t| t.kind == Use::Conditional) {
        let (_, condition) = text.cql.split_once(" IF ").unwrap();
        // The name of a store is taken from its account whatever it was.
        let is_named = condition.contains(" = ?") || condition.contains(" = null");
        assert!(
            is_named || text.label == "forget account_store",
            "{}",
            text.cql
        );
        assert!(!condition.contains("EXISTS"), "{}", text.cql);
    }
}
