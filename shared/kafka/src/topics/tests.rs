use super::*;

fn found(settings: &[(&str, &str)]) -> Found {
    Found {
        partitions: 24,
        replication_factor: 3,
        settings: settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

fn compare(found: &Found) -> Vec<Difference> {
    let mut differences = Vec::new();
    let wanted = Wanted {
        name: "t".to_owned(),
        bytes_max: 8_388_608,
    };
    found.compare(&wanted, &TopicConfig::default(), &mut differences);
    differences
}

#[test]
fn a_topic_that_can_do_more_than_wanted_is_no_difference() {
    let mut found = found(&[
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("min.insync.replicas", "2"),
        ("max.message.bytes", "9000000"),
    ]);
    found.partitions = 48;
    assert_eq!(compare(&found), []);
}

#[test]
fn what_differs_is_named() {
    let mut found = found(&[
        ("cleanup.policy", "compact"),
        ("retention.ms", "604800000"),
        ("min.insync.replicas", "1"),
        ("max.message.bytes", "1048588"),
    ]);
    found.partitions = 1;
    found.replication_factor = 1;
    let names: Vec<_> = compare(&found).into_iter().map(|d| d.property).collect();
    assert_eq!(
        names,
        [
            "partitions",
            "replication.factor",
            "cleanup.policy",
            "retention.ms",
            "min.insync.replicas",
            "max.message.bytes",
        ]
    );
}
