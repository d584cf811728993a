//! The keys and rows of `tests/golden/v1/rows.txt`, read by the code as it is, and written again byte for byte. The file is
//! frozen: what fails here asks for a new form beside the old one (`docs/formats.md`), and never for another file.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use kith_domain::id::{
    AccountSid, ClaimId, DefinitionId, DeleteId, LinkToken, OperationId, OwnersStamp, ProfileId,
    ProfileKey, RequestId, StoreId,
};
use kith_domain::identifier::{ClaimKey, IdType, IdentifierValue};
use kith_domain::time::Micros;
use kith_profiles::ports::{
    Claim, DeadLetter, LogRecord, NewRecord, Offset, Partition, Pointer, Verdict,
};
use uuid::Uuid;

use super::key::{self, CellKind, CellName, ControlName};
use super::row::{
    EdgeRow, IdentCell, LinkCell, NodeRow, Number, OwnerCell, Row, TimeCell, ValueCell, VerdictCell,
};
use crate::log::record::{self, Body, Head, Prepared};
use crate::seal::Seal;

const ROWS: &str = include_str!("../../tests/golden/v1/rows.txt");
const AT: Micros = Micros::from_micros(1_700_000_000_000_000);
const STORE: Uuid = Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_00aa);
const PROFILE: Uuid = Uuid::from_u128(0x018b_cfe5_0000_3820_8000_0000_0000_014d);
const X: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);
const Y: Uuid = Uuid::from_u128(0x2222_2222_2222_4222_8222_2222_2222_2222);
const REQUEST: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

fn micros(after: i64) -> Micros {
    Micros::from_micros(AT.as_micros() + after)
}

fn at() -> ProfileKey {
    ProfileKey {
        store: StoreId::from_uuid(STORE),
        profile: profile(),
    }
}

fn profile() -> ProfileId {
    ProfileId::from_uuid(PROFILE)
}

/// The file's rows by name; each is to be taken once.
struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn read() -> Self {
        let lines = ROWS.lines().filter(|line| !line.starts_with('#'));
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        let row = |line: &'static str| {
            let (name, hex) = line.split_once(' ').unwrap();
            let bytes = hex.as_bytes().chunks(2).map(|pair| byte(pair).unwrap());
            (name, bytes.collect())
        };
        Self(lines.map(row).collect())
    }

    fn take(&mut self, name: &str) -> Vec<u8> {
        self.0.remove(name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn holds<T: Row + PartialEq + Debug>(&mut self, name: &str, expected: &T) {
        let bytes = self.take(name);
        assert_eq!(T::decode(&bytes).as_ref(), Ok(expected), "{name}");
        assert_eq!(expected.encode(), bytes, "{name}");
    }

    fn is_key(&mut self, name: &str, key: &[u8]) {
        assert_eq!(self.take(name), key, "{name}");
    }

    fn is_cell(&mut self, name: &str, key: &[u8], expected: &CellName) {
        self.is_key(name, key);
        assert_eq!(key::cell(key).as_ref(), Ok(expected), "{name}");
    }

    /// Fails if one of these was not looked at.
    fn is_done(&self, of: impl Fn(&str) -> bool) {
        let left: Vec<_> = self.0.keys().filter(|name| of(name)).collect();
        assert!(left.is_empty(), "not looked at: {left:?}");
    }
}

#[test]
fn keys_of_version_1() {
    let mut golden = Golden::read();
    let claim_key: [u8; 32] = golden.take("key.claim").try_into().unwrap();
    let claim = ClaimKey::from_bytes(claim_key);
    assert_eq!(key::claim(&claim), claim_key);
    golden.is_key("key.owners_stamp", &key::owners_stamp(&claim));
    let owner = key::owner(&claim, profile());
    golden.is_key("key.owner", &owner);
    assert_eq!(key::owner_of(&owner), Ok(profile()));

    let (child, token) = (ProfileId::from_uuid(X), LinkToken::from_uuid(Y));
    let node = key::node(&at());
    golden.is_key("key.node", &node);
    assert!(key::is_node(&node));
    let verdict = key::verdict(&at(), child, token);
    golden.is_key("key.verdict", &verdict);
    assert_eq!(key::verdict_name(&verdict), Ok((child, token)));

    for (name, kind, expected) in [
        ("key.clock", CellKind::Clock, CellName::Clock),
        ("key.root", CellKind::Root, CellName::Root),
        ("key.purged", CellKind::Purged, CellName::Purged),
    ] {
        golden.is_cell(name, &key::cells_of(&at(), kind), &expected);
    }
    let (id_type, value) = (
        IdType::new("email"),
        IdentifierValue::new("ada@example.com"),
    );
    let id = ClaimId::from_uuid(X);
    let ident = key::ident(&at(), &id_type, &value, id).unwrap();
    golden.is_cell("key.ident", &ident, &CellName::Ident(id_type, value, id));
    golden.is_cell(
        "key.link",
        &key::link(&at(), child, token),
        &CellName::Link(child, token),
    );
    golden.is_cell(
        "key.member",
        &key::member(&at(), child),
        &CellName::Member(child),
    );
    let definition = DefinitionId::from_uuid(Y);
    let of_trait = key::trait_cell(&at(), definition);
    golden.is_cell("key.trait", &of_trait, &CellName::Trait(definition));

    let listing = key::listing(&at());
    golden.is_key("key.listing", &listing);
    assert_eq!(key::profile_of(&listing), Ok(profile()));

    let account: AccountSid = "AC00000000000000000000000000000001".parse().unwrap();
    let store = StoreId::from_uuid(STORE);
    for (name, key, expected) in [
        ("key.store", key::store(store), ControlName::Store(store)),
        (
            "key.account_store",
            key::account_store(&account, store),
            ControlName::AccountStore,
        ),
        (
            "key.revision",
            key::account_revision(&account),
            ControlName::Revision,
        ),
        (
            "key.operation",
            key::operation(&account, OperationId::from_uuid(X)),
            ControlName::Operation,
        ),
    ] {
        golden.is_key(name, &key);
        assert_eq!(key::control(&key), Ok(expected), "{name}");
    }
    golden.is_key("key.edge", &key::edge(1, 3));
    let record = key::record(1, 3, 41);
    golden.is_key("key.record", &record);
    assert_eq!(key::log(&record), Ok((1, 3, Some(41))));
    golden.is_done(|name| name.starts_with("key."));
}

#[test]
fn rows_of_version_1() {
    let mut golden = Golden::read();
    let (id, by_request) = (ClaimId::from_uuid(X), RequestId::from_uuid(REQUEST));
    let claim = |profile| Claim {
        profile,
        id,
        added_at: AT,
        place: 2,
        by_request,
    };
    golden.holds("claim.owned", &claim(Some(profile())));
    golden.holds("claim.released", &claim(None));
    for (name, released) in [("owner.here", false), ("owner.released", true)] {
        let owner = OwnerCell {
            released,
            id,
            added_at: AT,
            place: 1,
            by_request,
        };
        golden.holds(name, &owner);
    }
    golden.holds("owners_stamp", &OwnersStamp::from_uuid(X));

    let pointer = Some(Pointer {
        parent: profile(),
        token: LinkToken::from_uuid(Y),
    });
    let dead = Some(DeleteId::from_uuid(X));
    for (name, pointer, dead) in [
        ("node.new", None, None),
        ("node.pointing", pointer, None),
        ("node.dead", None, dead),
        ("node.pointing_and_dead", pointer, dead),
    ] {
        golden.holds(name, &NodeRow { pointer, dead });
    }
    for (name, verdict, evidence) in [
        ("verdict.linked", Verdict::Linked, b"why".to_vec()),
        ("verdict.void", Verdict::Void, Vec::new()),
    ] {
        let cell = VerdictCell {
            verdict,
            decided_at: AT,
            evidence,
        };
        golden.holds(name, &cell);
    }

    golden.holds("time", &TimeCell(AT));
    let value = b"\x01true".to_vec();
    golden.holds("value", &ValueCell { time: AT, value });
    for (name, removed, added, settled) in [
        ("ident.added", None, Some((AT, micros(-1))), None),
        ("ident.removed", Some(AT), None, None),
        (
            "ident.all",
            Some(AT),
            Some((micros(1), AT)),
            Some(micros(2)),
        ),
    ] {
        let cell = IdentCell {
            removed,
            added,
            settled,
        };
        golden.holds(name, &cell);
    }
    for (name, settled) in [
        ("link.open", None),
        ("link.settled_last", Some(AT)),
        ("link.settled_before", Some(micros(-1))),
    ] {
        golden.holds(name, &LinkCell { time: AT, settled });
    }
    let edge = EdgeRow {
        start: 1,
        next: 2,
        trimmed: 3,
        published: 4,
    };
    golden.holds("edge", &edge);
    golden.holds("number", &Number(41));
    let seal = Seal {
        sequence: 1,
        previous: 2,
        checksum: 3,
        floor: 4,
        touched: 5,
        before: [10, 11, 12, 13, 14, 15, 16, 17],
    };
    golden.holds("seal", &seal);
    log_rows(&mut golden);
    golden.is_done(|name| !name.starts_with("key."));
}

fn log_rows(golden: &mut Golden) {
    let head = Head {
        published_at: AT,
        position: 7,
    };
    let body = Body {
        key: Bytes::from_static(b"key"),
        payload: Bytes::from_static(br#"{"version":1}"#),
        headers: vec![("traceparent".to_owned(), Bytes::from_static(b"00-1"))],
    };
    let Body {
        key,
        payload,
        headers,
    } = body.clone();
    let stored = golden.take("record");
    assert_eq!(record::head(&stored), Ok(head));
    assert_eq!(record::body(&stored), Ok(body.clone()));
    let new = NewRecord {
        key: key.clone(),
        payload: payload.clone(),
        headers: headers.clone(),
    };
    assert_eq!(Prepared::record(&new).place(head), stored);

    let stored = golden.take("letter");
    let letter = record::letter(&stored).unwrap();
    assert_eq!(
        (letter.topic.as_str(), letter.reason.as_str()),
        ("kith.traits", "malformed")
    );
    assert_eq!((letter.partition, letter.offset), (3, Offset::new(17)));
    assert_eq!((letter.published_at, &letter.record), (micros(-5), &body));
    let record = LogRecord {
        partition: Partition(3),
        offset: Offset::new(17),
        published_at: micros(-5),
        key,
        payload,
        headers,
    };
    let again = Prepared::letter(&DeadLetter {
        record,
        topic: "kith.traits".to_owned(),
        reason: "malformed",
    });
    assert_eq!(again.place(head), stored);
}
