//! Trait values as cells with their own write time, and the join that merges them.
//!
//! Newest wins, per trait; a removal is a value that says "removed" (`trait-order.md` 5). The bytes of a cell are what an
//! engine stores, and what decides between two writes with the same stamp, so there is exactly one encoding of a value.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{self, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::id::{DefinitionId, ProfileId};
use crate::time::Micros;

/// One scalar inside an array value.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A boolean.
    Boolean(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    String(String),
}

/// A value of a trait (`memory-api.md` 7). Personal data: `Debug` shows its type only.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TraitValue {
    /// `BOOLEAN`
    Boolean(bool),
    /// `NUMBER`
    Number(serde_json::Number),
    /// `STRING`
    String(String),
    /// `ARRAY`
    Array(Vec<Scalar>),
}

impl fmt::Debug for TraitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean(_) => "Boolean(..)",
            Self::Number(_) => "Number(..)",
            Self::String(_) => "String(..)",
            Self::Array(_) => "Array(..)",
        })
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scalar(..)")
    }
}

impl From<Scalar> for serde_json::Value {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Boolean(value) => Self::Bool(value),
            Scalar::Number(number) => Self::Number(number),
            Scalar::String(text) => Self::String(text),
        }
    }
}

/// By hand, because the derived form tries the variants in turn and makes an error of each that does not fit, which for a short
/// text takes longer than the text.
impl<'de> Deserialize<'de> for TraitValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TraitValue::deserialize(deserializer)? {
            TraitValue::Boolean(value) => Ok(Self::Boolean(value)),
            TraitValue::Number(number) => Ok(Self::Number(number)),
            TraitValue::String(text) => Ok(Self::String(text)),
            TraitValue::Array(_) => Err(D::Error::custom("an array within an array")),
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = TraitValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean, a number, a text or an array of them")
    }

    fn visit_bool<E>(self, value: bool) -> Result<TraitValue, E> {
        Ok(TraitValue::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<TraitValue, E> {
        Ok(TraitValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<TraitValue, E> {
        Ok(TraitValue::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<TraitValue, E> {
        let number = serde_json::Number::from_f64(value);
        let number = number.ok_or_else(|| E::custom("not a finite number"))?;
        Ok(TraitValue::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<TraitValue, E> {
        Ok(TraitValue::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<TraitValue, E> {
        Ok(TraitValue::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TraitValue, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(TraitValue::Array(array))
    }
}

/// The value as JSON, as it was sent.
impl From<TraitValue> for serde_json::Value {
    fn from(value: TraitValue) -> Self {
        match value {
            TraitValue::Boolean(value) => Self::Bool(value),
            TraitValue::Number(number) => Self::Number(number),
            TraitValue::String(text) => Self::String(text),
            TraitValue::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
        }
    }
}

/// What one write says of a trait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TraitWrite {
    /// The trait has this value.
    Set(TraitValue),
    /// The trait was removed. Stored like a value: a database tombstone would be collected, and a replay of an older
    /// write would bring that one back.
    Removed,
}

/// The stored bytes are not a cell that this code could have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("corrupt trait cell")]
pub struct CorruptCell;

const REMOVED: u8 = 0;
const SET: u8 = 1;

/// The encoded form of a [`TraitWrite`]: one byte (0 removed, 1 set) and, if set, the value as compact JSON.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellBytes(Vec<u8>);

impl CellBytes {
    /// Takes bytes from a store; they are looked at when decoded.
    #[must_use]
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// What the cell says.
    ///
    /// # Errors
    /// [`CorruptCell`] if no code of ours wrote these bytes.
    pub fn decode(&self) -> Result<TraitWrite, CorruptCell> {
        match self.0.split_first() {
            Some((&REMOVED, [])) => Ok(TraitWrite::Removed),
            Some((&SET, json)) => serde_json::from_slice(json)
                .map(TraitWrite::Set)
                .map_err(|_| CorruptCell),
            _ => Err(CorruptCell),
        }
    }
}

impl fmt::Debug for CellBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CellBytes({} bytes)", self.0.len())
    }
}

impl From<&TraitWrite> for CellBytes {
    fn from(write: &TraitWrite) -> Self {
        match write {
            TraitWrite::Removed => Self(vec![REMOVED]),
            TraitWrite::Set(value) => {
                let mut bytes = vec![SET];
                // Writing plain values to a vector cannot fail; an empty rest would be found corrupt when read.
                if serde_json::to_writer(&mut bytes, value).is_err() {
                    bytes.truncate(1);
                }
                Self(bytes)
            }
        }
    }
}

/// A trait of one profile as stored: the newest write that reached this partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraitCell {
    /// Whose value this is.
    pub definition: DefinitionId,
    /// What was written.
    pub value: CellBytes,
    /// The stamp of the write.
    pub time: Micros,
}

impl TraitCell {
    /// Whether this cell replaces `other` in one partition: the newer stamp, then the larger bytes. It is CQL's own rule
    /// for two writes with one timestamp, and every engine follows it.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        (self.time, &self.value) > (other.time, &other.value)
    }
}

/// Joins the cells of a profile's members: per trait the newest stamp, then the smaller profile id, then (within one
/// member) the larger bytes.
///
/// Commutative, associative and idempotent: members and cells may come in any order and more than once.
#[must_use]
pub fn join(
    cells: impl IntoIterator<Item = (ProfileId, TraitCell)>,
) -> BTreeMap<DefinitionId, TraitCell> {
    let mut newest: BTreeMap<DefinitionId, (ProfileId, TraitCell)> = BTreeMap::new();
    for (member, cell) in cells {
        match newest.entry(cell.definition) {
            Entry::Vacant(slot) => {
                slot.insert((member, cell));
            }
            Entry::Occupied(mut slot) => {
                let (holder, held) = slot.get();
                // One total order of all cells of a trait, so that grouping and repetition cannot matter.
                let wins = (cell.time, Reverse(member), &cell.value)
                    > (held.time, Reverse(*holder), &held.value);
                if wins {
                    slot.insert((member, cell));
                }
            }
        }
    }
    newest
        .into_iter()
        .map(|(definition, (_, cell))| (definition, cell))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn cell(definition: u128, time: i64, value: &str) -> TraitCell {
        TraitCell {
            definition: DefinitionId::from_uuid(Uuid::from_u128(definition)),
            value: CellBytes::from(&TraitWrite::Set(TraitValue::String(value.into()))),
            time: Micros::from_micros(time),
        }
    }

    fn member(id: u128) -> ProfileId {
        ProfileId::from_uuid(Uuid::from_u128(id))
    }

    #[test]
    fn the_newest_wins_and_a_tie_goes_to_the_survivor() {
        let joined = join([
            (member(2), cell(1, 5, "newer")),
            (member(1), cell(1, 4, "older")),
            (member(2), cell(2, 5, "later profile")),
            (member(1), cell(2, 5, "earlier profile")),
        ]);
        let values: Vec<_> = joined.into_values().collect();
        assert_eq!(values, [cell(1, 5, "newer"), cell(2, 5, "earlier profile")]);
    }

    #[test]
    fn a_removal_can_win() {
        let mut gone = cell(1, 6, "");
        gone.value = CellBytes::from(&TraitWrite::Removed);
        let joined = join([(member(1), cell(1, 5, "old")), (member(2), gone.clone())]);
        assert_eq!(joined.into_values().collect::<Vec<_>>(), [gone]);
    }

    #[test]
    fn foreign_bytes_are_corrupt() {
        for bytes in [
            &b""[..],
            b"\x02",
            b"\x00\x00",
            b"\x01",
            b"\x01{}",
            b"\x01null",
            b"\x01[[1]]",
            b"\x01[null]",
            b"\x01{\"a\":1}",
            b"\x01\"a\"1",
            b"\x011e999",
        ] {
            let cell = CellBytes::from_stored(bytes.to_vec());
            assert_eq!(cell.decode(), Err(CorruptCell), "{bytes:?}");
        }
    }

    #[test]
    fn no_value_is_shown() {
        let write = TraitWrite::Set(TraitValue::String("secret".into()));
        let shown = format!("{write:?} {:?}", CellBytes::from(&write));
        assert!(!shown.contains("secret"), "{shown}");
    }

    pub(crate) fn any_write() -> impl Strategy<Value = TraitWrite> {
        let number = prop_oneof![
            any::<i32>().prop_map(serde_json::Number::from),
            (-1e9..1e9f64).prop_filter_map("finite", serde_json::Number::from_f64),
        ];
        let scalar = prop_oneof![
            any::<bool>().prop_map(Scalar::Boolean),
            number.clone().prop_map(Scalar::Number),
            ".*".prop_map(Scalar::String),
        ];
        prop_oneof![
            Just(TraitWrite::Removed),
            any::<bool>().prop_map(|v| TraitWrite::Set(TraitValue::Boolean(v))),
            number.prop_map(|v| TraitWrite::Set(TraitValue::Number(v))),
            ".*".prop_map(|v| TraitWrite::Set(TraitValue::String(v))),
            proptest::collection::vec(scalar, 0..5)
                .prop_map(|v| TraitWrite::Set(TraitValue::Array(v))),
        ]
    }

    fn any_cells() -> impl Strategy<Value = Vec<(ProfileId, TraitCell)>> {
        let one = (0u128..4, 0u128..3, 0i64..4, any_write()).prop_map(|(m, d, t, w)| {
            (
                member(m),
                TraitCell {
                    definition: DefinitionId::from_uuid(Uuid::from_u128(d)),
                    value: CellBytes::from(&w),
                    time: Micros::from_micros(t),
                },
            )
        });
        proptest::collection::vec(one, 0..12)
    }

    /// What the partitions of the members hold after these writes.
    fn kept_by_member(writes: &[(ProfileId, TraitCell)]) -> Vec<(ProfileId, TraitCell)> {
        let mut kept: BTreeMap<(ProfileId, DefinitionId), TraitCell> = BTreeMap::new();
        for (member, cell) in writes {
            let held = kept
                .entry((*member, cell.definition))
                .or_insert_with(|| cell.clone());
            if cell.replaces(held) {
                *held = cell.clone();
            }
        }
        kept.into_iter()
            .map(|((member, _), cell)| (member, cell))
            .collect()
    }

    proptest! {
        #[test]
        fn a_cell_decodes_to_what_was_written(write in any_write()) {
            let bytes = CellBytes::from(&write);
            let decoded = bytes.decode().unwrap();
            prop_assert_eq!(&decoded, &write);
            prop_assert_eq!(CellBytes::from(&decoded), bytes);
        }

        #[test]
        fn the_join_ignores_order_and_repetition(cells in any_cells(), seed: u64) {
            let once = join(cells.clone());
            let mut shuffled: Vec<_> = cells.iter().chain(cells.iter()).cloned().collect();
            let length = shuffled.len();
            for i in 0..length {
                let j = usize::try_from((seed.rotate_left(u32::try_from(i).unwrap()) ^ seed) % u64::try_from(length).unwrap()).unwrap();
                shuffled.swap(i, j);
            }
            prop_assert_eq!(join(shuffled), once);
        }

        #[test]
        fn the_join_of_what_partitions_keep_is_the_join_of_all_writes(
            cells in any_cells(),
            cut in 0usize..12,
        ) {
            // An engine keeps one cell a member and trait, from whatever writes have reached it; the rest come later.
            let (early, late) = cells.split_at(cut.min(cells.len()));
            let kept = kept_by_member(early).into_iter().chain(late.iter().cloned());
            let kept = kept_by_member(&kept.collect::<Vec<_>>());
            prop_assert_eq!(join(kept), join(cells));
        }

        #[test]
        fn a_member_is_joined_by_the_rule_of_its_partition(cells in any_cells()) {
            let alone: Vec<_> = cells.into_iter().map(|(_, cell)| (member(1), cell)).collect();
            let kept = kept_by_member(&alone).into_iter();
            prop_assert_eq!(join(alone), kept.map(|(_, cell)| (cell.definition, cell)).collect());
        }
    }
}
