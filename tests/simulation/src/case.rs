//! What a run is made of: requests, settings, and how much goes wrong.

use kith_domain::body::{TraitsBody, WriteSet, validate};
use kith_domain::id::{AccountSid, DefinitionId, RequestId, StoreId};
use kith_domain::identifier::{ClaimSecret, Identifier};
use kith_domain::schema::contact_group;
use kith_domain::settings::IdentitySettings;
use kith_domain::store::{Places, StoreRecord, StoreStatus};
use kith_domain::time::Micros;
use kith_profiles::environment::Omission;
use uuid::Uuid;

use crate::world::Broken;

/// One request. Identifiers are numbers; a profile is whoever has an identifier when the request is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// Create with these identifiers.
    Create(Vec<usize>),
    /// Patch whoever has the first with these.
    Patch(usize, Vec<usize>),
    /// Add the second to whoever has the first.
    Add(usize, usize),
    /// On whoever has the first, replace it by the second.
    Change(usize, usize),
    /// Remove an identifier of this one's type from whoever has it.
    Remove(usize),
    /// Delete whoever has it.
    Delete(usize),
    /// Look up who has it.
    Lookup(usize),
    /// Fetch whoever has it.
    Fetch(usize),
    /// List the identifiers of whoever has it.
    List(usize),
    /// Remove the one trait that every create writes from whoever has it.
    Clear(usize),
}

/// What a run is made of. Everything else comes from the seed.
#[derive(Debug, Clone)]
pub struct Case {
    /// The settings and definitions.
    pub settings: IdentitySettings,
    /// What each client does, one after another.
    pub clients: Vec<Vec<Op>>,
    /// What is done before the clients start, one after another.
    pub prelude: Vec<Op>,
    /// A step of the use cases that is left out, to see whether it is missed.
    pub omission: Option<Omission>,
    /// A condition of the engine that is left out, likewise.
    pub broken: Option<Broken>,
    /// Processes that the clients are spread over: those of one share flights.
    pub processes: usize,
    /// Whether one request for everybody is sent at the end.
    pub probes: bool,
    /// In a thousand: how often a write stays without an answer.
    pub unknown_permille: u32,
    /// In a thousand: how often a client is given up at a step.
    pub crash_permille: u32,
    /// In a thousand: how often a host's clock jumps at a step.
    pub clock_step_permille: u32,
    /// In a thousand: how often a plain read sees a plain write that is still in flight.
    pub early_permille: u32,
    /// Whether workers run beside the clients; if not, they come afterwards.
    pub workers: bool,
}

/// The store of every run.
#[must_use]
pub fn store(settings: IdentitySettings) -> StoreRecord {
    let mut number = 0;
    let group = contact_group(Micros::EPOCH, || {
        number += 1;
        DefinitionId::from_uuid(Uuid::from_u128((1 << 100) | number))
    });
    #[expect(clippy::expect_used, reason = "the text is an account's")]
    let account: AccountSid = "AC00000000000000000000000000000000"
        .parse()
        .expect("an account");
    StoreRecord {
        id: StoreId::from_uuid(Uuid::nil()),
        account,
        display_name: "simulated".into(),
        description: None,
        status: StoreStatus::Active,
        version: 1,
        settings,
        settings_version: 1,
        schema_version: 1,
        claim_secret: ClaimSecret::from_bytes([7; 32]),
        groups: vec![group],
        places: Places::default(),
    }
}

/// The trait and the value of each identifier number.
pub const IDENTIFIERS: [(&str, &str); 6] = [
    ("email", "a@example.com"),
    ("phone", "+13175550100"),
    ("whatsapp", "w"),
    ("chatId", "c"),
    ("email", "b@example.com"),
    ("phone", "+13175550101"),
];

fn body(identifiers: &[usize], value: Option<&str>) -> Vec<u8> {
    let mut members: Vec<String> = identifiers
        .iter()
        .map(|one| format!("\"{}\":\"{}\"", IDENTIFIERS[*one].0, IDENTIFIERS[*one].1))
        .collect();
    let value = value.map_or("null".to_owned(), |value| format!("\"{value}\""));
    members.push(format!("\"firstName\":{value}"));
    format!("{{\"traits\":{{\"Contact\":{{{}}}}}}}", members.join(",")).into_bytes()
}

/// What a body with these identifiers says, and with this value of the one trait that every body has, or its removal.
#[must_use]
pub fn writes(store: &StoreRecord, identifiers: &[usize], value: Option<&str>) -> WriteSet {
    #[expect(clippy::expect_used, reason = "the bodies of a case are valid")]
    TraitsBody::parse(&body(identifiers, value))
        .ok()
        .and_then(|body| validate(&body, &store.groups, &store.settings).ok())
        .expect("a valid body")
}

/// The identifier with this number.
#[must_use]
pub fn identifier(store: &StoreRecord, number: usize) -> Identifier {
    writes(store, &[number], None).identifiers.remove(0)
}

/// The request with this number.
#[must_use]
pub fn request(number: u128) -> RequestId {
    RequestId::from_uuid(Uuid::from_u128(number))
}
