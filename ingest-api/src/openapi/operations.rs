//! The operations, as the table has them: paths, parameters, bodies and answers.

use kith_domain::id::{OperationId, ProfileId, StoreId};
use kith_domain::schema::NAME_CHARS_MAX;
use kith_domain::settings::TYPE_CHARS;
use serde_json::{Map, Value, json};

use super::schemas::reference;
use super::{answers, examples};
use crate::etag::CHARS_MAX as TAG_CHARS_MAX;
use crate::operation::{Operation, PLACES, Place, Query, Section};
use crate::query::{FILTER_CHARS_MAX, PAGE_SIZE};
use crate::token::CHARS_MAX as TOKEN_CHARS_MAX;

/// The groups of operations, in the order of the description.
pub(super) fn sections() -> Value {
    let sections = [
        (
            Section::Stores,
            "What profiles are kept in. Nothing crosses a store.",
        ),
        (
            Section::TraitGroups,
            "Which traits there are, and which of them are identifiers.",
        ),
        (Section::Settings, "Which identifiers name one person."),
        (
            Section::Operations,
            "What became of a write of the control plane, for seven days.",
        ),
        (
            Section::Profiles,
            "People, each with one id that is asked for.",
        ),
        (Section::Traits, "What is known of a person."),
        (Section::Identifiers, "What a person is known by."),
    ];
    let sections: Vec<Value> = sections
        .into_iter()
        .map(|(section, description)| json!({ "name": section, "description": description }))
        .collect();
    sections.into()
}

/// Every path with its operations.
pub(super) fn paths() -> Value {
    let places = PLACES.iter().filter(|place| !place.operations.is_empty());
    let paths: Map<String, Value> = places
        .map(|place| (place.path.to_owned(), at(place)))
        .collect();
    Value::Object(paths)
}

fn at(place: &Place) -> Value {
    let mut described = Map::new();
    let parameters: Vec<Value> = parameters_of(place.path).map(of_path).collect();
    if !parameters.is_empty() {
        described.insert("parameters".to_owned(), parameters.into());
    }
    for operation in place.operations {
        // Verbs are written as they stand in a description.
        if let Ok(Value::String(verb)) = serde_json::to_value(operation.verb) {
            described.insert(verb, of(place, operation));
        }
    }
    Value::Object(described)
}

fn of(place: &Place, operation: &Operation) -> Value {
    let example = examples::of(operation.name);
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [place.section],
    });
    let mut parameters: Vec<Value> = operation
        .query
        .iter()
        .flat_map(|query| of_query(*query))
        .collect();
    if operation.has_version {
        parameters.push(json!({
            "name": "If-Match",
            "in": "header",
            "description": "The version that is to be changed: what `ETag` said when it was read. `*`, or nothing: any.",
            "schema": { "type": "string", "maxLength": TAG_CHARS_MAX },
        }));
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    if let Some(body) = operation.body {
        described["requestBody"] = json!({
            "required": body.is_required,
            "content": { "application/json": {
                "schema": reference(body.schema), "example": example["request"],
            } },
        });
    }
    described["responses"] = answers::of(place, operation, &example["answer"]);
    described
}

/// The names in braces.
fn parameters_of(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn of_path(name: &str) -> Value {
    let text =
        |min: usize, max: usize| json!({ "type": "string", "minLength": min, "maxLength": max });
    let id = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    let (description, schema) = match name {
        "storeId" => ("The store.", id(StoreId::PATTERN)),
        "profileId" => ("The profile.", id(ProfileId::PATTERN)),
        "operationId" => ("The operation.", id(OperationId::PATTERN)),
        "idType" => (
            "The identifier type.",
            text(*TYPE_CHARS.start(), *TYPE_CHARS.end()),
        ),
        _ => ("The name; case counts.", text(1, NAME_CHARS_MAX)),
    };
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

fn of_query(query: Query) -> Vec<Value> {
    let parameter = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    let switch = |default: bool| json!({ "type": "boolean", "default": default });
    match query {
        Query::Paging => vec![
            parameter(
                "pageSize",
                "Items of the page at most. More than a page can have means as many as it can.",
                json!({ "type": "integer", "minimum": 1, "default": PAGE_SIZE }),
            ),
            parameter(
                "pageToken",
                "Where to go on: what `meta.nextToken` of the page before said.",
                json!({ "type": "string", "maxLength": TOKEN_CHARS_MAX }),
            ),
            parameter(
                "orderBy",
                "Oldest first, or newest.",
                json!({ "type": "string", "enum": ["ASC", "DESC"], "default": "DESC" }),
            ),
        ],
        Query::TraitGroups => vec![parameter(
            "traitGroups",
            "Names of trait groups, with commas between them: no others are wanted.",
            json!({ "type": "string", "minLength": 1, "maxLength": FILTER_CHARS_MAX }),
        )],
        Query::RemoveAll => vec![parameter(
            "removeAll",
            "All of the type; else one, which the type's `limitPolicy` picks.",
            switch(false),
        )],
        Query::IncludeTraits(default) => vec![parameter(
            "includeTraits",
            "Whether the definitions of traits are wanted.",
            switch(default),
        )],
    }
}
