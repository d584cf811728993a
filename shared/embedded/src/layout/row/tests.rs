use std::fmt::Debug;

use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// That something was read, and how, is not what matters.
fn ignore<T>(_: T) {}

fn round_trip<T: Row + PartialEq + Debug>(row: &T) -> Result<(), TestCaseError> {
    let decoded = T::decode(&row.encode());
    prop_assert_eq!(decoded.as_ref(), Ok(row));
    Ok(())
}

prop_compose! {
    fn time()(micros: i64) -> Micros { Micros::from_micros(micros) }
}

prop_compose! {
    fn uuid()(bits: u128) -> Uuid { Uuid::from_u128(bits) }
}

proptest! {
    #[test]
    fn claims(profile in option::of(uuid()), id in uuid(), added_at in time(), place: u16, by in uuid()) {
        round_trip(&Claim {
            profile: profile.map(ProfileId::from_uuid),
            id: ClaimId::from_uuid(id),
            added_at,
            place,
            by_request: RequestId::from_uuid(by),
        })?;
    }

    #[test]
    fn owners(released: bool, id in uuid(), added_at in time(), place: u16, by in uuid()) {
        let (id, by_request) = (ClaimId::from_uuid(id), RequestId::from_uuid(by));
        round_trip(&OwnerCell { released, id, added_at, place, by_request })?;
        round_trip(&OwnersStamp::from_uuid(by))?;
    }

    #[test]
    fn nodes(pointer in option::of((uuid(), uuid())), dead in option::of(uuid())) {
        round_trip(&NodeRow {
            pointer: pointer.map(|(parent, token)| Pointer {
                parent: ProfileId::from_uuid(parent),
                token: LinkToken::from_uuid(token),
            }),
            dead: dead.map(DeleteId::from_uuid),
        })?;
    }

    #[test]
    fn verdicts(linked: bool, decided_at in time(), evidence: Vec<u8>) {
        let verdict = if linked { Verdict::Linked } else { Verdict::Void };
        round_trip(&VerdictCell { verdict, decided_at, evidence })?;
    }

    #[test]
    fn cells(
        at in time(),
        value: Vec<u8>,
        removed in option::of(time()),
        added in option::of((time(), time())),
        settled_at in option::of(time()),
    ) {
        round_trip(&TimeCell(at))?;
        round_trip(&ValueCell { time: at, value })?;
        round_trip(&LinkCell { time: at, settled: settled_at })?;
        round_trip(&LinkCell { time: at, settled: Some(at) })?;
        round_trip(&IdentCell { removed, added, settled: settled_at })?;
    }

    #[test]
    fn numbers(start: u64, next: u64, trimmed: u64, published: u64) {
        round_trip(&EdgeRow { start, next, trimmed, published })?;
        round_trip(&Number(start))?;
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
        ignore(OwnerCell::decode(&bytes));
        ignore(Claim::decode(&bytes));
        ignore(NodeRow::decode(&bytes));
        ignore(VerdictCell::decode(&bytes));
        ignore(TimeCell::decode(&bytes));
        ignore(ValueCell::decode(&bytes));
        ignore(IdentCell::decode(&bytes));
        ignore(LinkCell::decode(&bytes));
        ignore(EdgeRow::decode(&bytes));
        ignore(Number::decode(&bytes));
    }
}

#[test]
fn a_link_row_of_an_older_release_is_settled_by_its_newest_write() {
    let at = Micros::from_micros(7);
    let mut bytes = 7i64.to_be_bytes().to_vec();
    bytes.push(0);
    let settled = |bytes: &[u8]| LinkCell::decode(bytes).unwrap().settled;
    assert_eq!(settled(&bytes), None);
    bytes[8] = 1;
    assert_eq!(settled(&bytes), Some(at));
    let row = LinkCell {
        time: at,
        settled: Some(at),
    };
    assert_eq!(row.encode(), bytes, "and is written as before");
}
