//! The files of `tests/golden/v1`, read by the code as it is. They are frozen: a test that fails here asks for another version
//! of the format, or for code that still reads this one, and never for another file (`docs/formats.md`).

use std::fmt::Debug;
use std::path::Path;

use kith_domain::event::{Event, PurgeEvent, Scope};
use kith_domain::id::{DefinitionId, ProfileId, StoreId};
use kith_domain::identifier::{ClaimSecret, IdType, Identifier, IdentifierValue};
use kith_domain::operation::{Operation, OperationStatus, Resource};
use kith_domain::schema::{DataType, ValidationRule};
use kith_domain::settings::{LimitPolicy, Normalization};
use kith_domain::store::{StoreRecord, StoreStatus};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use serde::Serialize;
use serde::de::DeserializeOwned;

const AT: Micros = Micros::from_micros(1_700_000_000_000_000);
const STORE: &str = "mem_store_00000000000000000000000000";
const PROFILE: &str = "mem_profile_01hf7ya00070g80000000000ad";
const REQUEST: &str = "RQ0123456789abcdef0123456789abcdef";

/// A file of version 1.
pub(crate) fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// What a file says, which is also what would be written again.
fn kept<T: Serialize + DeserializeOwned + Debug>(name: &str) -> T {
    let text = file(name);
    let read: T = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text, "{name}");
    read
}

fn event(name: &str) -> Event {
    let bytes = file(name).into_bytes();
    let event = Event::decode(&bytes).unwrap();
    let again = match &event {
        Event::Traits(event) => event.encode(),
        Event::Purge(event) => event.encode(),
    };
    assert_eq!(again, bytes, "{name}");
    event
}

#[test]
fn trait_events() {
    let Event::Traits(event) = event("trait-event.json") else {
        panic!("another kind");
    };
    assert_eq!(event.store, STORE.parse::<StoreId>().unwrap());
    assert_eq!(event.profile, PROFILE.parse::<ProfileId>().unwrap());
    assert_eq!(event.request.to_string(), REQUEST);
    assert_eq!((event.stamp, event.schema_version), (AT, 3));
    assert_eq!(event.traits.len(), 7);
}

#[test]
fn purge_events() {
    let profile = PROFILE.parse::<ProfileId>().unwrap();
    for (name, scope) in [
        ("purge-set-event.json", Scope::Set(profile)),
        ("purge-store-event.json", Scope::Store(None)),
        ("purge-leftovers-event.json", Scope::Leftovers(profile)),
    ] {
        let Event::Purge(PurgeEvent {
            store,
            scope: found,
            request,
        }) = event(name)
        else {
            panic!("{name}: another kind");
        };
        assert_eq!(store.to_string(), STORE);
        assert_eq!((found, request.to_string().as_str()), (scope, REQUEST));
    }
}

#[test]
fn cells_of_traits() {
    let expected = [
        ("removed", TraitWrite::Removed),
        (
            "text",
            TraitWrite::Set(TraitValue::String(
                "Ada \"Countess\" Lovelace, Königin".into(),
            )),
        ),
        ("whole", TraitWrite::Set(TraitValue::Number(42.into()))),
        (
            "fraction",
            TraitWrite::Set(serde_json::from_str("-0.1").unwrap()),
        ),
        ("yes", TraitWrite::Set(TraitValue::Boolean(true))),
        (
            "list",
            TraitWrite::Set(serde_json::from_str(r#"["gold",7,2.5,false,""]"#).unwrap()),
        ),
    ];
    let text = file("cells.txt");
    assert_eq!(text.lines().count(), expected.len());
    for (line, (name, write)) in text.lines().zip(expected) {
        let (found, hex) = line.split_once(' ').unwrap();
        assert_eq!(found, name);
        let digits = hex.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        let bytes: Vec<u8> = digits.map(|pair| byte(pair).unwrap()).collect();
        let cell = CellBytes::from_stored(bytes.clone());
        assert_eq!(cell.decode().unwrap(), write, "{name}");
        assert_eq!(CellBytes::from(&write).as_slice(), bytes, "{name}");
    }
}

#[test]
fn the_key_of_a_claim() {
    let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let identifier = Identifier {
        id_type: IdType::new("email"),
        value: IdentifierValue::new("ada@example.com"),
    };
    let key = ClaimSecret::from_bytes(secret).claim_key(&identifier);
    let hex: Vec<String> = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex.concat(), file("claim-key.txt").trim());
}

#[test]
fn the_record_of_a_store() {
    let store: StoreRecord = kept("store.json");
    assert_eq!(
        (store.version, store.settings_version, store.schema_version),
        (3, 2, 5)
    );
    assert_eq!(store.status, StoreStatus::Active);
    assert_eq!(store.account.as_str(), "AC00000000000000000000000000000001");
    assert_eq!(store.description.as_deref(), Some("All customers"));
    assert_eq!(store.claim_secret.expose()[31], 31);
    let phone = &store.settings.identifier_configs[1];
    assert_eq!(phone.id_type, IdType::new("phone"));
    assert_eq!((phone.limit, phone.limit_policy), (2, LimitPolicy::Lifo));
    assert_eq!(
        (phone.enforce_unique, phone.normalization),
        (false, Normalization::Phone)
    );
    assert_eq!(store.settings.shared_since[&IdType::new("phone")], AT);
    assert_eq!(store.settings.matching_rules.len(), 2);
    let first_name = store.definition("Contact", "firstName").unwrap();
    assert_eq!(first_name.data_type, DataType::String);
    assert!(matches!(
        &first_name.validation_rule,
        Some(ValidationRule::String {
            pattern: Some(_),
            min_length: Some(1),
            max_length: Some(40)
        })
    ));
    let email = store.definition("Contact", "email").unwrap();
    assert_eq!(email.id_type_promotion, Some(IdType::new("email")));
    let id: DefinitionId = "018bcfe5-6800-7000-8000-000000000001".parse().unwrap();
    assert_eq!(email.id, id);
    let loyalty = store.group("Loyalty").unwrap();
    assert_eq!((loyalty.version, loyalty.created_at), (4, AT.next()));
    assert_eq!(loyalty.traits.len(), 3);
}

#[test]
fn operations() {
    let done: Operation = kept("operation.json");
    assert_eq!(done.status, OperationStatus::Completed);
    assert_eq!((done.created_at, done.completed_at), (AT, Some(AT)));
    assert!(matches!(&done.resource, Resource::Group { name, .. } if name == "Loyalty"));
    assert!(!done.removes);
    let running: Operation = kept("operation-running.json");
    assert_eq!(running.status, OperationStatus::Running);
    assert_eq!(running.completed_at, None);
    assert!(running.removes);
}
