use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::schema::contact_group;
use crate::traits::CellBytes;

fn id(n: u128) -> DefinitionId {
    DefinitionId::from_uuid(Uuid::from_u128(n))
}

/// `Contact` with the definitions 1 to 12, and `Home` with `zip` (23) and `area` (22): ids in another order.
fn record() -> StoreRecord {
    let mut next = 0;
    let contact = contact_group(Micros::from_micros(1), || {
        next += 1;
        id(next)
    });
    let home = json!({
        "name": "Home", "version": 1, "createdAt": 2,
        "traits": {"zip": {"id": id(23), "dataType": "STRING"}, "area": {"id": id(22), "dataType": "NUMBER"}},
    });
    StoreRecord {
        id: StoreId::from_uuid(Uuid::nil()),
        account: "AC00000000000000000000000000000000".parse().unwrap(),
        display_name: "dev".into(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings: IdentitySettings::default(),
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes([9; 32]),
        groups: vec![contact, serde_json::from_value(home).unwrap()],
        places: Places::default(),
    }
}

fn cell(definition: u128, write: &TraitWrite) -> (DefinitionId, TraitCell) {
    let (definition, time) = (id(definition), Micros::from_micros(7));
    (
        definition,
        TraitCell {
            definition,
            value: CellBytes::from(write),
            time,
        },
    )
}

fn set(definition: u128, text: &str) -> (DefinitionId, TraitCell) {
    cell(
        definition,
        &TraitWrite::Set(TraitValue::String(text.into())),
    )
}

fn filter(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn storage_keeps_a_record() {
    let record = record();
    let stored = serde_json::to_string(&record).unwrap();
    assert_eq!(
        serde_json::from_str::<StoreRecord>(&stored).unwrap(),
        record
    );
    assert!(stored.contains(r#""status":"ACTIVE""#) && !stored.contains("places"));
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", record());
    assert!(
        shown.contains("ClaimSecret(..)") && !shown.contains("9, 9"),
        "{shown}"
    );
}

#[test]
fn names_and_definitions_lead_to_each_other() {
    let record = record();
    for group in &record.groups {
        for (name, definition) in &group.traits {
            assert_eq!(
                record.name_of(definition.id),
                Some((group.name.as_str(), name.as_str()))
            );
            assert_eq!(record.definition(&group.name, name), Some(definition));
        }
    }
    assert_eq!(record.name_of(id(99)), None);
    assert_eq!(
        record
            .definition("Contact", "first_name")
            .map(|found| found.id),
        Some(id(5))
    );
    assert!(record.definition("contact", "email").is_none());
    assert!(record.definition("Contact", "zip").is_none());
}

#[test]
fn a_change_of_the_groups_is_seen() {
    let mut record = record();
    assert_eq!(record.name_of(id(23)), Some(("Home", "zip")));
    record.groups.remove(0);
    record.schema_version += 1;
    assert_eq!(record.name_of(id(23)), Some(("Home", "zip")));
    assert_eq!(record.name_of(id(1)), None);
    // A copy finds its own way.
    let mut copy = record.clone();
    copy.groups[0].traits.shift_remove("zip");
    assert_eq!(copy.name_of(id(23)), None);
    assert_eq!(copy.name_of(id(22)), Some(("Home", "area")));
}

#[test]
fn values_are_seen_by_group_and_name_in_the_order_of_their_definitions() {
    let record = record();
    let area = cell(22, &TraitWrite::Set(TraitValue::Number(5.into())));
    let joined = BTreeMap::from([
        area,
        set(6, "Lovelace"),
        set(23, "1815"),
        set(1, "a@x"),
        set(5, "Ada"),
    ]);
    let shown = serde_json::to_string(&profile_traits(&record, joined.clone(), None)).unwrap();
    assert_eq!(
        shown,
        r#"{"Contact":{"email":"a@x","firstName":"Ada","lastName":"Lovelace"},"Home":{"zip":"1815","area":5}}"#
    );
    let listed = visible(&record, &joined, None).unwrap();
    let names: Vec<_> = listed.iter().map(|one| (one.group, one.name)).collect();
    assert_eq!(
        names,
        [
            ("Contact", "email"),
            ("Contact", "firstName"),
            ("Contact", "lastName"),
            ("Home", "zip"),
            ("Home", "area")
        ]
    );
    assert!(listed.iter().all(|one| one.time == Micros::from_micros(7)));
    assert_eq!(serde_json::to_string(&grouped(listed)).unwrap(), shown);
}

#[test]
fn removed_and_unknown_traits_and_empty_groups_are_left_out() {
    let record = record();
    let joined = BTreeMap::from([
        set(1, "a@x"),
        cell(23, &TraitWrite::Removed),
        set(99, "old"),
    ]);
    assert_eq!(
        profile_traits(&record, joined, None),
        *json!({"Contact": {"email": "a@x"}}).as_object().unwrap()
    );
    assert!(profile_traits(&record, BTreeMap::new(), None).is_empty());
}

#[test]
fn a_filter_names_the_groups_that_are_wanted() {
    let record = record();
    let joined = BTreeMap::from([set(1, "a@x"), set(23, "1815")]);
    let groups = |names: &[&str]| {
        let shown = profile_traits(&record, joined.clone(), Some(&filter(names)));
        shown.keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(groups(&["Home"]), ["Home"]);
    assert_eq!(groups(&["Home", "Contact", "Nothing"]), ["Contact", "Home"]);
    assert!(groups(&["home"]).is_empty());
    assert!(groups(&[]).is_empty());
}

#[test]
fn a_corrupt_cell_is_told_to_who_asks() {
    let record = record();
    let (definition, mut corrupt) = set(5, "Ada");
    corrupt.value = CellBytes::from_stored(vec![7]);
    let joined = BTreeMap::from([set(1, "a@x"), (definition, corrupt)]);
    assert_eq!(visible(&record, &joined, None), Err(CorruptCell));
    assert_eq!(
        visible(&record, &joined, Some(&filter(&["Home"]))),
        Ok(vec![])
    );
    assert_eq!(
        profile_traits(&record, joined, None),
        *json!({"Contact": {"email": "a@x"}}).as_object().unwrap()
    );
}

#[test]
fn names_and_descriptions_of_stores_follow_their_patterns() {
    assert!(
        ["a", "My-Store-1", "s".repeat(64).as_str()]
            .into_iter()
            .all(is_display_name)
    );
    assert!(
        !["", "my store", "a_b", "é", "s".repeat(65).as_str()]
            .into_iter()
            .any(is_display_name)
    );
    assert!(
        ["d", "é".repeat(128).as_str()]
            .into_iter()
            .all(is_description)
    );
    assert!(
        !["", "é".repeat(129).as_str()]
            .into_iter()
            .any(is_description)
    );
}
