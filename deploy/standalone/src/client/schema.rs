//! What the store defines: the traits that a name may stand for, and how identifiers are compared.

use std::collections::BTreeMap;

use kith_domain::identifier::IdType;
use kith_domain::schema::{DataType, camel_name};
use kith_domain::settings::{IdentitySettings, Normalization};
use reqwest::Method;
use serde::Deserialize;

use super::failure::Failure;
use super::http::Http;

/// Groups that one page of them can have.
const PAGE_SIZE: &str = "100";

/// The store's trait groups and identifier types.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    groups: BTreeMap<String, BTreeMap<String, Definition>>,
    settings: IdentitySettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    data_type: DataType,
    id_type_promotion: Option<IdType>,
}

/// One trait that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its group.
    pub(crate) group: String,
    /// Its name, as it is defined.
    pub(crate) name: String,
    /// What its values are.
    pub(crate) data_type: DataType,
    /// The identifier type of its values, if it has one, and what is done to them first.
    pub(crate) promotion: Option<(IdType, Normalization)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    trait_groups: Vec<Group>,
    meta: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    display_name: String,
    #[serde(default)]
    traits: BTreeMap<String, Definition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    next_token: Option<String>,
}

impl Schema {
    /// Reads the definitions of the store.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn fetch(http: &Http) -> Result<Self, Failure> {
        let unread = |_| Failure::Unavailable("the store's definitions cannot be read".to_owned());
        let store = http.store();
        let mut schema = Self::default();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("includeTraits", "true"), ("pageSize", PAGE_SIZE)];
            query.extend(token.as_deref().map(|token| ("pageToken", token)));
            let path = ["Stores", store, "TraitGroups"];
            let answer = http
                .control(Method::GET, &path, &query, None)
                .await?
                .good()?;
            let page: Page = serde_json::from_value(answer.body).map_err(unread)?;
            for group in page.trait_groups {
                schema.groups.insert(group.display_name, group.traits);
            }
            token = page.meta.next_token;
            if token.is_none() {
                break;
            }
        }
        let path = ["Stores", store, "IdentityResolutionSettings"];
        let answer = http.control(Method::GET, &path, &[], None).await?.good()?;
        schema.settings = serde_json::from_value(answer.body).map_err(unread)?;
        Ok(schema)
    }

    /// The trait that a name such as `Contact.email` stands for.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) fn column(&self, name: &str) -> Result<Column, String> {
        // A group's name may have dots of its own.
        let splits = name.match_indices('.').map(|(at, _)| name.split_at(at));
        let named = splits
            .filter_map(|(group, rest)| Some((group, self.groups.get(group)?, rest.get(1..)?)))
            .next_back();
        let Some((group, traits, given)) = named else {
            return Err(
                "is no trait of a group of this store; it is like Contact.email".to_owned(),
            );
        };
        let name = camel_name(given).unwrap_or_default();
        let Some(definition) = traits.get(&name) else {
            return Err(format!("is not defined in the group {group}"));
        };
        let promotion = definition.id_type_promotion.clone().map(|id_type| {
            let config = self.settings.config(&id_type);
            let normalization = config.map_or(Normalization::None, |config| config.normalization);
            (id_type, normalization)
        });
        Ok(Column {
            group: group.to_owned(),
            name,
            data_type: definition.data_type,
            promotion,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// `Contact` with an e-mail address, a phone number and names; `Loyalty` with every type; a group with a dot.
    pub(crate) fn schema() -> Schema {
        let groups = json!([
            {"displayName": "Contact", "traits": {
                "email": {"dataType": "STRING", "idTypePromotion": "email"},
                "phone": {"dataType": "STRING", "idTypePromotion": "phone"},
                "firstName": {"dataType": "STRING"},
            }},
            {"displayName": "Loyalty", "traits": {
                "points": {"dataType": "NUMBER"},
                "member": {"dataType": "BOOLEAN"},
                "tags": {"dataType": "ARRAY"},
                "legacyId": {"dataType": "NUMBER", "idTypePromotion": "legacyId"},
            }},
            {"displayName": "Crm.v2", "traits": {"owner": {"dataType": "STRING"}}},
            {"displayName": "Crm", "traits": {}},
        ]);
        let groups: Vec<Group> = serde_json::from_value(groups).unwrap();
        Schema {
            groups: groups
                .into_iter()
                .map(|group| (group.display_name, group.traits))
                .collect(),
            settings: IdentitySettings::default(),
        }
    }

    #[test]
    fn a_name_is_a_group_and_a_trait_in_any_spelling() {
        let schema = schema();
        let email = schema.column("Contact.email").unwrap();
        let promotion = (IdType::new("email"), Normalization::Email);
        assert_eq!(email.promotion, Some(promotion));
        let first = schema.column("Contact.first_name").unwrap();
        assert_eq!((first.name.as_str(), first.promotion), ("firstName", None));
        assert_eq!(schema.column("Crm.v2.owner").unwrap().group, "Crm.v2");
    }

    #[test]
    fn what_is_not_defined_is_told_apart_from_what_is_no_name() {
        let schema = schema();
        for name in ["email", "", ".", "contact.email", "Nobody.email", "ü.ü"] {
            assert!(
                schema.column(name).unwrap_err().starts_with("is no trait"),
                "{name}"
            );
        }
        for name in [
            "Contact.mail",
            "Contact.",
            "Crm.v3.owner",
            "Contact.e mail.",
        ] {
            assert!(
                schema
                    .column(name)
                    .unwrap_err()
                    .starts_with("is not defined"),
                "{name}"
            );
        }
    }

    #[test]
    fn settings_are_read_as_the_api_shows_them() {
        let shown = json!({
            "identifierConfigs": [{
                "idType": "email", "matchingAlgo": "exact", "matchingThreshold": 75, "limit": 10,
                "limitPolicy": "fifo", "enforceUnique": true, "normalization": "email",
            }],
            "matchingRules": ["email"],
            "version": 3,
        });
        let settings: IdentitySettings = serde_json::from_value(shown).unwrap();
        let config = settings.config(&IdType::new("email")).unwrap();
        assert_eq!(config.normalization, Normalization::Email);
    }
}
