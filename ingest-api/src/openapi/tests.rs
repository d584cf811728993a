use std::collections::BTreeSet;

use kith_domain::schema::{camel_name, is_group_name};
use kith_domain::settings::is_type_name;
use kith_domain::store::is_display_name;

use super::*;
use crate::operation::PLACES;

fn document() -> Value {
    description(None)
}

/// Every reference below a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    if let Value::String(to) = &value["$ref"] {
        found.insert(to.clone());
    }
    let members = value
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::values);
    let items = value.as_array().into_iter().flatten();
    for part in members.chain(items) {
        references(part, found);
    }
}

fn validator(schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = document()["components"].clone();
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn every_reference_leads_somewhere_and_everything_shared_is_used() {
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for to in &found {
        let pointer = to.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{to}");
    }
    // Ids of paths are written where they stand.
    let unused = ["StoreId", "OperationId"].map(|id| format!("#/components/schemas/{id}"));
    for kind in ["headers", "responses", "schemas"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let to = format!("#/components/{kind}/{name}");
            assert!(found.contains(&to) || unused.contains(&to), "{to}");
        }
    }
}

#[test]
fn every_schema_is_one() {
    for (name, schema) in document()["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
}

#[test]
fn every_operation_of_the_table_is_described_once() {
    let document = document();
    let mut names = Vec::new();
    for place in document["paths"].as_object().unwrap().values() {
        let operations = place.as_object().unwrap().iter();
        for (_, operation) in operations.filter(|(verb, _)| *verb != "parameters") {
            names.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    let rows: Vec<String> = PLACES
        .iter()
        .flat_map(|place| place.operations)
        .map(|operation| format!("{:?}", operation.name))
        .collect();
    assert_eq!(names, rows);
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 27);
}

#[test]
fn every_parameter_of_a_path_is_described() {
    for (path, place) in document()["paths"].as_object().unwrap() {
        let named: Vec<&str> = place["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let in_braces: Vec<&str> = path
            .split(['{', '}'])
            .enumerate()
            .filter_map(|(at, part)| (at % 2 == 1).then_some(part))
            .collect();
        assert_eq!(named, in_braces, "{path}");
    }
}

#[test]
fn every_example_is_as_described() {
    let document = document();
    let mut checked = 0;
    let mut check = |content: &Value, name: &Value| {
        let example = &content["example"];
        assert!(!example.is_null(), "{name} has no example");
        let schema = validator(&content["schema"]);
        assert!(schema.is_valid(example), "{name}: {example}");
        checked += 1;
    };
    for place in document["paths"].as_object().unwrap().values() {
        for (_, operation) in place
            .as_object()
            .unwrap()
            .iter()
            .filter(|(verb, _)| *verb != "parameters")
        {
            let name = &operation["operationId"];
            let body = &operation["requestBody"]["content"]["application/json"];
            if !body.is_null() {
                check(body, name);
            }
            let answers = operation["responses"].as_object().unwrap();
            let (status, answer) = answers.iter().next().unwrap();
            assert!(status.starts_with('2'), "{name}");
            check(&answer["content"]["application/json"], name);
        }
    }
    assert_eq!(checked, 27 + 11);
}

#[test]
fn patterns_say_what_the_code_checks() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let long = "a".repeat(64);
    let longer = "a".repeat(65);
    let names = [
        "",
        "a",
        "A-1",
        "a_b",
        "a.b",
        "a b",
        "é",
        "1",
        "-",
        "_",
        "1a",
        "_a",
        "firstName",
        "first_name",
        "a-é",
        "a\n",
        &long,
        &longer,
    ];
    type Rule = (&'static str, &'static str, fn(&str) -> bool);
    let rules: [Rule; 3] = [
        ("StoreRequest", "/properties/displayName", is_display_name),
        (
            "TraitGroupRequest",
            "/properties/displayName",
            is_group_name,
        ),
        ("IdentifierConfig", "/properties/idType", is_type_name),
    ];
    for (schema, pointer, holds) in rules {
        let schema = validator(schemas[schema].pointer(pointer).unwrap());
        for name in names {
            assert_eq!(
                schema.is_valid(&name.into()),
                holds(name),
                "{pointer} {name:?}"
            );
        }
    }
    let given = validator(&schemas["TraitGroupRequest"]["properties"]["traits"]["propertyNames"]);
    let kept = validator(&schemas["TraitGroup"]["properties"]["traits"]["propertyNames"]);
    for name in names {
        let camel = camel_name(name);
        // How long a name becomes no pattern says.
        if name.len() <= 64 {
            assert_eq!(given.is_valid(&name.into()), camel.is_some(), "{name:?}");
        }
        assert_eq!(
            kept.is_valid(&name.into()),
            camel.as_deref() == Some(name),
            "{name:?}"
        );
    }
}

#[test]
fn the_page_shows_every_operation_and_schema_and_loads_nothing() {
    let document = document();
    let page = page(&document);
    for operation in PLACES.iter().flat_map(|place| place.operations) {
        let anchor = format!("<details id=\"{:?}\">", operation.name);
        assert_eq!(page.html.matches(&anchor).count(), 1, "{anchor}");
    }
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(page.html.contains(&format!("<h3 id=\"{name}\">")), "{name}");
    }
    for word in [
        "<script", " src=", "<link", "url(", "@import", "http://", " style=",
    ] {
        assert!(!page.html.contains(word), "{word}");
    }
    assert!(
        page.policy
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
}

#[test]
fn what_is_shown_is_text_whatever_is_in_it() {
    let mut document = document();
    document["info"]["title"] = "<b>\"&".into();
    let page = page(&document);
    assert!(
        page.html.contains("<h1>&lt;b&gt;&quot;&amp; "),
        "{}",
        page.html
    );
}

#[test]
fn a_service_that_knows_its_address_says_it() {
    assert_eq!(description(None)["servers"][0]["url"], "/");
    let url = "https://kith.example";
    assert_eq!(description(Some(url))["servers"][0]["url"], url);
}
