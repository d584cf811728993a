//! Reading a body from JSON, in one pass and without a tree of it: faults of shape are noted and passed over, so that all of
//! them are found, and what exceeds a limit is skipped.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use indexmap::map::Entry;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{
    ARRAY_ITEMS_MAX, BULK_ITEMS_MAX, BodyError, BodyValue, BulkBody, GROUPS_MAX, GroupBody,
    Problems, TRAITS_MAX, TraitsBody, shown,
};

pub(super) fn traits_body(bytes: &[u8]) -> Result<TraitsBody, BodyError> {
    read(bytes, |json, problems| {
        Object(BodyMembers {
            prefix: String::new(),
            problems,
        })
        .deserialize(json)
    })
}

pub(super) fn bulk_body(bytes: &[u8]) -> Result<BulkBody, BodyError> {
    read(bytes, |json, problems| {
        Object(BulkMembers { problems }).deserialize(json)
    })
}

/// Reads bytes with a seed that notes faults of shape instead of failing, so that all of them are found.
fn read<T>(
    bytes: &[u8],
    parse: impl FnOnce(&mut JsonReader<'_>, &mut Problems) -> Result<T, serde_json::Error>,
) -> Result<T, BodyError> {
    let mut problems = Problems::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = parse(&mut json, &mut problems)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| BodyError::from(&error))?;
    problems.none_or_errors().map_err(BodyError::Invalid)?;
    Ok(value)
}

type JsonReader<'a> = serde_json::Deserializer<serde_json::de::SliceRead<'a>>;

/// How the members of one kind of object are read.
trait Members<'de>: Sized {
    type Value;

    /// Reads the members.
    fn read<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error>;

    /// What stands in for something else than an object.
    fn refuse(self, null: bool) -> Self::Value;
}

/// Reads an object through its [`Members`].
struct Object<M>(M);

/// Visits of everything but the one kind of JSON that is wanted.
macro_rules! refuse_scalars {
    () => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(self.refuse(true))
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(self.refuse(false))
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(self.refuse(false))
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(self.refuse(false))
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(self.refuse(false))
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(self.refuse(false))
        }
    };
}

impl<'de, M: Members<'de>> DeserializeSeed<'de> for Object<M> {
    type Value = M::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Members<'de>> Object<M> {
    fn refuse(self, null: bool) -> M::Value {
        self.0.refuse(null)
    }
}

impl<'de, M: Members<'de>> Visitor<'de> for Object<M> {
    type Value = M::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    refuse_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        skip_items(items)?;
        Ok(self.refuse(false))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        self.0.read(members)
    }
}

fn skip_items<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_value<'de, A: MapAccess<'de>>(members: &mut A) -> Result<(), A::Error> {
    members.next_value::<IgnoredAny>().map(|_| ())
}

const GIVEN_TWICE: &str = "is given twice";
const NOT_AN_OBJECT: &str = "must be an object";
const UNKNOWN: &str = "is not known";

struct BulkMembers<'p> {
    problems: &'p mut Problems,
}

impl<'de> Members<'de> for BulkMembers<'_> {
    type Value = BulkBody;

    fn read<A: MapAccess<'de>>(self, mut members: A) -> Result<BulkBody, A::Error> {
        let mut body = None;
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if key == "profiles" && body.is_none() {
                body = Some(members.next_value_seed(Items {
                    problems: self.problems,
                })?);
            } else {
                let reason = if key == "profiles" {
                    GIVEN_TWICE
                } else {
                    UNKNOWN
                };
                self.problems.add(shown(&key), reason);
                skip_value(&mut members)?;
            }
        }
        if body.is_none() {
            Items {
                problems: self.problems,
            }
            .refuse(true);
        }
        Ok(body.unwrap_or_default())
    }

    fn refuse(self, _: bool) -> BulkBody {
        self.problems.add("body", NOT_AN_OBJECT);
        BulkBody::default()
    }
}

/// Reads the items of a Bulk body.
struct Items<'p> {
    problems: &'p mut Problems,
}

impl Items<'_> {
    fn refuse(self, _: bool) -> BulkBody {
        self.problems
            .add("profiles", "must be an array of 1 to 1000 items");
        BulkBody::default()
    }
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = BulkBody;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = BulkBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    refuse_scalars!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut given: A) -> Result<BulkBody, A::Error> {
        let mut items = Vec::new();
        while items.len() < BULK_ITEMS_MAX {
            let prefix = format!("profiles[{}].", items.len());
            let members = BodyMembers {
                prefix,
                problems: self.problems,
            };
            match given.next_element_seed(Object(members))? {
                Some(item) => items.push(item),
                None if items.is_empty() => return Ok(self.refuse(false)),
                None => return Ok(BulkBody { items }),
            }
        }
        if given.next_element::<IgnoredAny>()?.is_some() {
            skip_items(given)?;
            return Ok(self.refuse(false));
        }
        Ok(BulkBody { items })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<BulkBody, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self.refuse(false))
    }
}

struct BodyMembers<'p> {
    prefix: String,
    problems: &'p mut Problems,
}

impl<'de> Members<'de> for BodyMembers<'_> {
    type Value = TraitsBody;

    fn read<A: MapAccess<'de>>(self, mut members: A) -> Result<TraitsBody, A::Error> {
        let mut groups = None;
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if key == "traits" && groups.is_none() {
                let path = format!("{}traits", self.prefix);
                let seed = GroupsMembers {
                    path,
                    problems: self.problems,
                };
                groups = Some(members.next_value_seed(Object(seed))?);
            } else {
                let reason = if key == "traits" {
                    GIVEN_TWICE
                } else {
                    UNKNOWN
                };
                self.problems
                    .add(format!("{}{}", self.prefix, shown(&key)), reason);
                skip_value(&mut members)?;
            }
        }
        Ok(TraitsBody {
            prefix: self.prefix,
            groups: groups.unwrap_or_default(),
        })
    }

    fn refuse(self, _: bool) -> TraitsBody {
        let field = self.prefix.strip_suffix('.').unwrap_or("body");
        self.problems.add(field, NOT_AN_OBJECT);
        TraitsBody::default()
    }
}

struct GroupsMembers<'p> {
    path: String,
    problems: &'p mut Problems,
}

impl<'de> Members<'de> for GroupsMembers<'_> {
    type Value = IndexMap<String, GroupBody>;

    fn read<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut groups = IndexMap::new();
        while let Some(key) = members.next_key::<String>()? {
            let path = format!("{}.{}", self.path, shown(&key));
            let room = groups.len() < GROUPS_MAX;
            match groups.entry(key) {
                Entry::Vacant(slot) if room => {
                    let seed = TraitsMembers {
                        path,
                        problems: self.problems,
                    };
                    slot.insert(members.next_value_seed(Object(seed))?);
                }
                Entry::Vacant(_) => {
                    self.problems.add(self.path, "must have at most 50 groups");
                    skip_members(members)?;
                    break;
                }
                Entry::Occupied(_) => {
                    self.problems.add(path, GIVEN_TWICE);
                    skip_value(&mut members)?;
                }
            }
        }
        Ok(groups)
    }

    fn refuse(self, null: bool) -> Self::Value {
        if !null {
            self.problems.add(self.path, NOT_AN_OBJECT);
        }
        IndexMap::new()
    }
}

struct TraitsMembers<'p> {
    path: String,
    problems: &'p mut Problems,
}

impl<'de> Members<'de> for TraitsMembers<'_> {
    type Value = GroupBody;

    fn read<A: MapAccess<'de>>(self, mut members: A) -> Result<GroupBody, A::Error> {
        let mut traits = GroupBody::new();
        while let Some(key) = members.next_key::<String>()? {
            let room = traits.len() < TRAITS_MAX;
            match traits.entry(key) {
                Entry::Vacant(slot) if room => {
                    slot.insert(members.next_value_seed(Value { nested: false })?);
                }
                Entry::Vacant(_) => {
                    self.problems.add(self.path, "must have at most 99 traits");
                    skip_members(members)?;
                    break;
                }
                Entry::Occupied(slot) => {
                    let field = format!("{}.{}", self.path, shown(slot.key()));
                    self.problems.add(field, GIVEN_TWICE);
                    skip_value(&mut members)?;
                }
            }
        }
        Ok(traits)
    }

    fn refuse(self, _: bool) -> GroupBody {
        self.problems.add(self.path, NOT_AN_OBJECT);
        GroupBody::new()
    }
}

/// Skips the value whose key was read last, and all members after it.
fn skip_members<'de, A: MapAccess<'de>>(mut members: A) -> Result<(), A::Error> {
    skip_value(&mut members)?;
    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads the value of a trait, or (`nested`) an item of an array.
struct Value {
    nested: bool,
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = BodyValue;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<BodyValue, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = BodyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<BodyValue, E> {
        Ok(BodyValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<BodyValue, E> {
        Ok(BodyValue::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<BodyValue, E> {
        Ok(BodyValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<BodyValue, E> {
        Ok(BodyValue::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<BodyValue, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number out of range"))?;
        Ok(BodyValue::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<BodyValue, E> {
        Ok(BodyValue::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<BodyValue, A::Error> {
        let mut kept = Vec::new();
        if !self.nested {
            while kept.len() <= ARRAY_ITEMS_MAX {
                match items.next_element_seed(Self { nested: true })? {
                    Some(item) => kept.push(item),
                    None => return Ok(BodyValue::Array(kept)),
                }
            }
        }
        skip_items(items)?;
        Ok(BodyValue::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<BodyValue, A::Error> {
        // A key given twice in here needs no fault of its own: an object is never a value.
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(BodyValue::Object)
    }
}
