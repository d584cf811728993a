//! Trait groups as requests describe them, and what becomes of a group by it (`memory-api.md` 5.2).

use indexmap::IndexMap;
use serde_json::Value;

use super::{
    CONTACT, DEFINITIONS_MAX, DataType, TraitDefinition, TraitGroup, ValidationRule, camel_name,
    contact_group,
};
use crate::body::{BodyError, FieldError, Problems, shown};
use crate::id::DefinitionId;
use crate::identifier::IdType;
use crate::json::{self, Members};
use crate::settings::IdentitySettings;
use crate::time::Micros;

/// The body of a group's creation or change.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupBody {
    /// The name of a new group; a change has none.
    pub name: Option<String>,
    /// The new description; `None` leaves it.
    pub description: Option<String>,
    /// What is to become of traits, by [`camel_name`], in document order.
    pub traits: IndexMap<String, TraitChange>,
}

/// What is to become of one trait.
#[derive(Debug, Clone, PartialEq)]
pub enum TraitChange {
    /// It is to be defined like this, whatever it was.
    Define {
        /// The type.
        data_type: DataType,
        /// The description.
        description: Option<String>,
        /// The rule.
        validation_rule: Option<ValidationRule>,
        /// The identifier type that it is promoted to.
        id_type_promotion: Option<IdType>,
    },
    /// It is to go (`dataType: ""`); if it is not there, nothing is to be done.
    Remove,
}

/// Why a group cannot be what a body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupFault {
    /// Rules of definitions are broken.
    Invalid(Vec<FieldError>),
    /// The group would have more than [`DEFINITIONS_MAX`] traits.
    Full,
    /// A promoted trait of [`CONTACT`] would go, or be promoted to nothing or to another type.
    Protected,
}

impl GroupBody {
    /// Reads the body of a creation: `displayName` is required. Other members of the body are ignored, so that what GET
    /// answered can be sent back; those of a definition are not.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn for_creation(bytes: &[u8]) -> Result<Self, BodyError> {
        Self::read(bytes, true)
    }

    /// Reads the body of a change. No body at all changes nothing.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn for_change(bytes: &[u8]) -> Result<Self, BodyError> {
        if bytes.is_empty() {
            return Ok(Self {
                name: None,
                description: None,
                traits: IndexMap::new(),
            });
        }
        Self::read(bytes, false)
    }

    fn read(bytes: &[u8], is_new: bool) -> Result<Self, BodyError> {
        let body = json::object(bytes)?;
        let mut problems = Problems::default();
        let mut members = Members::of_body(&body, &mut problems);
        let name = if is_new {
            let name = members.text("displayName");
            members.required("displayName", name)
        } else {
            None
        };
        let description = members.text("description");
        let given = members.value("traits");
        let traits = match given {
            None => IndexMap::new(),
            Some(Value::Object(given)) => {
                let mut traits = IndexMap::new();
                for (name, value) in given {
                    let path = format!("traits.{}", shown(name));
                    let Some(camel) = camel_name(name) else {
                        let reason =
                            "is not a trait name in lower camel case of at most 64 characters";
                        members.problems().add(path, reason);
                        continue;
                    };
                    let Some(change) = change(path.clone(), value, members.problems()) else {
                        continue;
                    };
                    if traits.insert(camel, change).is_some() {
                        members.problems().add(path, "is given twice");
                    }
                }
                traits
            }
            Some(_) => {
                members.fault("traits", "must be an object");
                IndexMap::new()
            }
        };
        let read = Self {
            name: name.map(str::to_owned),
            description: description.map(str::to_owned),
            traits,
        };
        problems.none_or_errors().map_err(BodyError::Invalid)?;
        Ok(read)
    }

    /// The new group that the body describes.
    ///
    /// # Errors
    /// [`GroupFault`].
    pub fn create(
        &self,
        settings: &IdentitySettings,
        created_at: Micros,
        new_id: impl FnMut() -> DefinitionId,
    ) -> Result<TraitGroup, GroupFault> {
        let empty = TraitGroup {
            name: self.name.clone().unwrap_or_default(),
            description: None,
            version: 0,
            created_at,
            traits: IndexMap::new(),
        };
        self.apply(&empty, settings, new_id)
    }

    /// What a group becomes by the change that the body describes. Definitions that are replaced keep their place and id, so
    /// that values stay; what is removed and defined anew gets another, so that they do not come back.
    ///
    /// Only what the body says is held against the settings: a definition that was made under others stays as it is.
    ///
    /// # Errors
    /// [`GroupFault`].
    pub fn apply(
        &self,
        before: &TraitGroup,
        settings: &IdentitySettings,
        mut new_id: impl FnMut() -> DefinitionId,
    ) -> Result<TraitGroup, GroupFault> {
        let mut problems = Problems::default();
        let mut after = before.clone();
        after.version += 1;
        if let Some(description) = &self.description {
            after.description = Some(description.clone());
        }
        let mut given = IndexMap::new();
        for (name, change) in &self.traits {
            let old = before.traits.get(name);
            let TraitChange::Define {
                data_type,
                description,
                validation_rule,
                id_type_promotion,
            } = change
            else {
                after.traits.shift_remove(name);
                continue;
            };
            if old.is_some_and(|old| old.data_type != *data_type) {
                problems.add(format!("traits.{name}.dataType"), "cannot be changed");
            }
            let definition = TraitDefinition {
                id: old.map_or_else(&mut new_id, |old| old.id),
                data_type: *data_type,
                description: description.clone(),
                validation_rule: validation_rule.clone(),
                id_type_promotion: id_type_promotion.clone(),
            };
            given.insert(name.clone(), definition.clone());
            after.traits.insert(name.clone(), definition);
        }
        if after.traits.len() > DEFINITIONS_MAX {
            return Err(GroupFault::Full);
        }
        let said = TraitGroup {
            traits: given,
            ..after.clone()
        };
        let rules = said.validate(settings).err().unwrap_or_default();
        for error in rules {
            problems.add(error.field, error.reason);
        }
        problems.none_or_errors().map_err(GroupFault::Invalid)?;
        if before.name == CONTACT && !keeps_protected(&after, before) {
            return Err(GroupFault::Protected);
        }
        Ok(after)
    }
}

/// Whether the traits that every `Contact` group is made with and that name a person are what they were.
fn keeps_protected(after: &TraitGroup, before: &TraitGroup) -> bool {
    let promotion = |group: &TraitGroup, name: &str| {
        let definition = group.traits.get(name)?;
        Some(definition.id_type_promotion.clone())
    };
    let nil = || DefinitionId::from_uuid(uuid::Uuid::nil());
    contact_group(Micros::EPOCH, nil)
        .traits
        .iter()
        .filter(|(_, definition)| definition.id_type_promotion.is_some())
        .all(|(name, _)| promotion(after, name) == promotion(before, name))
}

/// Reads one definition.
fn change(path: String, value: &Value, problems: &mut Problems) -> Option<TraitChange> {
    let mut members = Members::of(path, value, problems)?;
    if members.value("dataType").and_then(Value::as_str) == Some("") {
        // What else is said of the trait goes with it, but nothing may stand there that no definition has.
        for known in ["description", "validationRule", "idTypePromotion"] {
            members.value(known);
        }
        members.refuse_others();
        return Some(TraitChange::Remove);
    }
    let types = [
        ("STRING", DataType::String),
        ("NUMBER", DataType::Number),
        ("BOOLEAN", DataType::Boolean),
        ("ARRAY", DataType::Array),
    ];
    let data_type = members.word(
        "dataType",
        &types,
        "must be STRING, NUMBER, BOOLEAN or ARRAY, or empty to remove the trait",
    );
    let data_type = members.required("dataType", data_type);
    let description = members.text("description").map(str::to_owned);
    let rule = members.value("validationRule");
    let validation_rule = rule.and_then(|rule| serde_json::from_value(rule.clone()).ok());
    if rule.is_some() && validation_rule.is_none() {
        members.fault(
            "validationRule",
            "must have a ruleType of STRING, NUMBER, BOOLEAN or ARRAY, and the members of that type",
        );
    }
    let promotion = members.text("idTypePromotion").map(IdType::new);
    members.refuse_others();
    Some(TraitChange::Define {
        data_type: data_type?,
        description,
        validation_rule,
        id_type_promotion: promotion,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn ids(first: u128) -> impl FnMut() -> DefinitionId {
        let mut next = first;
        move || {
            next += 1;
            DefinitionId::from_uuid(Uuid::from_u128(next))
        }
    }

    fn fields(errors: Vec<FieldError>) -> Vec<String> {
        errors.into_iter().map(|error| error.field).collect()
    }

    fn refused(read: Result<GroupBody, BodyError>) -> Vec<String> {
        match read {
            Err(BodyError::Invalid(errors)) => fields(errors),
            other => panic!("{other:?}"),
        }
    }

    fn contact() -> TraitGroup {
        contact_group(Micros::EPOCH, ids(0))
    }

    fn changed(before: &TraitGroup, body: &str) -> Result<TraitGroup, GroupFault> {
        let body = GroupBody::for_change(body.as_bytes()).unwrap();
        body.apply(before, &IdentitySettings::default(), ids(100))
    }

    #[test]
    fn a_new_group_has_what_its_body_says_under_the_names_that_are_kept() {
        let body = r#"{"displayName": "Work", "description": "At work", "traits": {
            "job_title": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "maxLength": 9}},
            "mail": {"dataType": "STRING", "idTypePromotion": "email", "description": null},
            "gone": {"dataType": ""}}}"#;
        let body = GroupBody::for_creation(body.as_bytes()).unwrap();
        let group = body
            .create(&IdentitySettings::default(), Micros::EPOCH, ids(0))
            .unwrap();
        assert_eq!((group.name.as_str(), group.version), ("Work", 1));
        assert_eq!(group.description.as_deref(), Some("At work"));
        assert_eq!(
            group.traits.keys().collect::<Vec<_>>(),
            ["jobTitle", "mail"]
        );
        assert_eq!(
            group.traits["mail"].id_type_promotion,
            Some(IdType::new("email"))
        );
        assert!(group.traits["jobTitle"].validation_rule.is_some());
    }

    #[test]
    fn faults_of_the_shape_are_named_by_trait_and_member() {
        let body = r#"{"traits": {"1a": {}, "b": 7, "c": {"dataType": "TEXT"}, "d": {}, "e-f": {"dataType": "STRING"},
            "eF": {"dataType": "STRING"}, "g": {"dataType": "STRING", "validationRule": {"minLength": 1}, "more": 1}}}"#;
        assert_eq!(
            refused(GroupBody::for_creation(body.as_bytes())),
            [
                "displayName",
                "traits.1a",
                "traits.b",
                "traits.c.dataType",
                "traits.d.dataType",
                "traits.eF",
                "traits.g.validationRule",
                "traits.g.more"
            ]
        );
        assert_eq!(
            refused(GroupBody::for_change(br#"{"traits": []}"#)),
            ["traits"]
        );
    }

    #[test]
    fn members_that_no_definition_has_are_refused_and_those_beside_the_group_are_not() {
        let body = r#"{"version": 7, "traits": {
            "a": {"dataType": "STRING", "displayName": "A"},
            "b": {"dataType": "STRING", "validationRule": {"ruleType": "STRING", "min": 1}},
            "c": {"dataType": "", "description": "gone", "idTypePromotion": null, "validationRule": {}},
            "d": {"dataType": "", "more": 1}}}"#;
        assert_eq!(
            refused(GroupBody::for_change(body.as_bytes())),
            [
                "traits.a.displayName",
                "traits.b.validationRule",
                "traits.d.more"
            ]
        );
        // As GET shows a group.
        let shown =
            br#"{"displayName": "Work", "version": 7, "traits": {"c": {"dataType": "STRING"}}}"#;
        assert!(GroupBody::for_creation(shown).is_ok());
        assert!(GroupBody::for_change(shown).is_ok());
    }

    #[test]
    fn a_change_replaces_adds_and_removes_and_leaves_the_rest() {
        let before = contact();
        let body = r#"{"traits": {"city": {"dataType": "STRING", "description": "where"}, "nick": {"dataType": "STRING"},
            "street": {"dataType": ""}, "never": {"dataType": ""}}}"#;
        let after = changed(&before, body).unwrap();
        assert_eq!(after.version, before.version + 1);
        assert_eq!(after.traits["city"].id, before.traits["city"].id);
        assert_eq!(after.traits["city"].description.as_deref(), Some("where"));
        assert!(!after.traits.contains_key("street"));
        assert_eq!(after.traits["email"], before.traits["email"]);
        assert_eq!(after.traits.last().unwrap().0, "nick");
        // Defined anew, it is another trait.
        let again = changed(&after, r#"{"traits": {"street": {"dataType": "STRING"}}}"#).unwrap();
        assert_ne!(again.traits["street"].id, before.traits["street"].id);
    }

    #[test]
    fn a_type_stays_and_rules_hold_for_what_is_said() {
        let body = r#"{"traits": {"city": {"dataType": "NUMBER"}, "a": {"dataType": "ARRAY", "idTypePromotion": "email"},
            "b": {"dataType": "STRING", "idTypePromotion": "none"}}}"#;
        let Err(GroupFault::Invalid(errors)) = changed(&contact(), body) else {
            panic!("taken");
        };
        let expected = [
            "traits.city.dataType",
            "traits.a.idTypePromotion",
            "traits.b.idTypePromotion",
        ];
        assert_eq!(fields(errors), expected);
        // Its chatId is promoted to a type that these settings do not have.
        let mut settings = IdentitySettings::default();
        settings.identifier_configs.truncate(1);
        let body =
            GroupBody::for_change(br#"{"traits": {"nick": {"dataType": "STRING"}}}"#).unwrap();
        assert!(body.apply(&contact(), &settings, ids(100)).is_ok());
    }

    #[test]
    fn a_group_takes_ninety_five_traits() {
        let names = |count: usize| -> String {
            let names: Vec<_> = (0..count)
                .map(|n| format!(r#""t{n}": {{"dataType": "STRING"}}"#))
                .collect();
            format!(r#"{{"traits": {{{}}}}}"#, names.join(","))
        };
        assert_eq!(changed(&contact(), &names(83)).unwrap().traits.len(), 95);
        assert_eq!(changed(&contact(), &names(84)), Err(GroupFault::Full));
    }

    #[test]
    fn the_promoted_traits_of_contact_are_protected() {
        for email in [
            r#"{"dataType": ""}"#,
            r#"{"dataType": "STRING"}"#,
            r#"{"dataType": "STRING", "idTypePromotion": "phone"}"#,
        ] {
            let body = format!(r#"{{"traits": {{"email": {email}}}}}"#);
            assert_eq!(
                changed(&contact(), &body),
                Err(GroupFault::Protected),
                "{email}"
            );
            let mut other = contact();
            "Other".clone_into(&mut other.name);
            assert!(changed(&other, &body).is_ok(), "{email}");
        }
        let body = r#"{"traits": {"email": {"dataType": "STRING", "idTypePromotion": "email", "description": "x"}}}"#;
        assert!(changed(&contact(), body).is_ok());
    }
}
