//! A member was added to a format on purpose: `release` to operations. Releases of both kinds run on one database during an
//! upgrade, so both directions are shown: what is written now is read by a reader of version 1, and what version 1 wrote is
//! read now.

use kith_domain::id::{OperationId, StoreId};
use kith_domain::operation::{Operation, OperationStatus, Resource};
use kith_domain::store::StoreRecord;
use kith_domain::time::Micros;
use serde::Deserialize;
use uuid::Uuid;

use crate::golden::file;

/// An operation as the first release read it: this copy is as frozen as the files.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct First {
    id: OperationId,
    status: OperationStatus,
    created_at: Micros,
    #[serde(default)]
    completed_at: Option<Micros>,
    resource: Resource,
    removes: bool,
}

#[test]
fn what_is_written_now_is_read_by_the_first_release() {
    let id = OperationId::from_uuid(Uuid::from_u128(1));
    let store = StoreId::from_uuid(Uuid::from_u128(2));
    let at = Micros::from_micros(3);
    let resource = Resource::Store { store };
    for written in [
        Operation::completed(id, at, resource, false),
        Operation::deletion(id, at, store),
    ] {
        let text = serde_json::to_string(&written).unwrap();
        assert!(text.contains(r#""release":""#), "{text}");
        let read: First = serde_json::from_str(&text).unwrap();
        let expected = First {
            id: written.id,
            status: written.status,
            created_at: written.created_at,
            completed_at: written.completed_at,
            resource: written.resource.clone(),
            removes: written.removes,
        };
        assert_eq!(read, expected);
    }
}

#[test]
fn what_the_first_release_wrote_is_read_now() {
    for name in ["operation.json", "operation-running.json"] {
        let text = file(name);
        let now: Operation = serde_json::from_str(&text).unwrap();
        let first: First = serde_json::from_str(&text).unwrap();
        assert_eq!(now.release, None, "{name}");
        assert_eq!((now.id, now.status), (first.id, first.status));
        assert_eq!(now.resource, first.resource);
    }
}

/// What a later release may add to the record of a store without a word to this one.
#[test]
fn a_member_that_a_later_release_adds_to_a_store_is_passed_over() {
    let text = file("store.json");
    let store: StoreRecord = serde_json::from_str(&text).unwrap();
    let later = text.replacen('{', r#"{"later":{"any":[1]},"#, 1);
    assert_eq!(serde_json::from_str::<StoreRecord>(&later).unwrap(), store);
    let later = text.replace(r#""name":"Loyalty","#, r#""name":"Loyalty","later":true,"#);
    assert_ne!(later, text);
    assert_eq!(serde_json::from_str::<StoreRecord>(&later).unwrap(), store);
    // Rules are no place for that: one that is not understood would be one that is not kept.
    for place in [r#""idType":"email","#, r#""ruleType":"NUMBER","#] {
        let later = text.replacen(place, &format!(r#"{place}"later":1,"#), 1);
        assert_ne!(later, text);
        serde_json::from_str::<StoreRecord>(&later).unwrap_err();
    }
}
