//! Records as the ingest service publishes them, and as it never would.

use bytes::Bytes;
use kith_domain::event::{Scope, TraitEvent};
use kith_domain::id::{DefinitionId, ProfileId, RequestId, StoreId};
use kith_domain::time::Micros;
use kith_domain::traits::{CellBytes, TraitValue, TraitWrite};
use kith_profiles::ports::NewRecord;
use kith_profiles::purge::purge_record;
use uuid::Uuid;

use crate::sim::START;

pub(crate) fn profile(n: u128) -> ProfileId {
    ProfileId::from_uuid(Uuid::from_u128(n))
}

pub(crate) fn definition(n: u128) -> DefinitionId {
    DefinitionId::from_uuid(Uuid::from_u128(n))
}

/// One trait of one profile, at a stamp.
pub(crate) fn event(of: u128, stamp: i64, value: &str) -> TraitEvent {
    TraitEvent {
        store: StoreId::from_uuid(Uuid::nil()),
        profile: profile(of),
        stamp: Micros::from_micros(START.as_micros() + stamp),
        request: RequestId::from_uuid(Uuid::nil()),
        schema_version: 1,
        traits: vec![(
            definition(1),
            CellBytes::from(&TraitWrite::Set(TraitValue::String(value.to_owned()))),
        )],
    }
}

pub(crate) fn record(event: &TraitEvent) -> NewRecord {
    NewRecord {
        key: Bytes::from(event.profile.to_string()),
        payload: Bytes::from(event.encode()),
        headers: vec![("traceparent".to_owned(), Bytes::from_static(b"nonsense"))],
    }
}

/// A record that asks for the purge of a set.
pub(crate) fn purge(root: u128) -> NewRecord {
    purge_record(
        StoreId::from_uuid(Uuid::nil()),
        Scope::Set(profile(root)),
        RequestId::from_uuid(Uuid::nil()),
    )
}

/// A record of a profile of its own, with a stamp of its own.
pub(crate) fn good(n: u128) -> NewRecord {
    let stamp = i64::try_from(n).unwrap() + 1;
    record(&event(n, stamp, "value"))
}

/// A record that no retry can make good.
pub(crate) fn poison() -> NewRecord {
    NewRecord {
        key: Bytes::from_static(b"some key"),
        payload: Bytes::from_static(b"{not an event"),
        headers: vec![
            ("one".to_owned(), Bytes::from_static(b"1")),
            ("one".to_owned(), Bytes::from_static(&[0xff])),
        ],
    }
}
