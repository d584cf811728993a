//! What an OpenAPI description says, as facts that can be compared: one line each for a path, a parameter, a limit, a member
//! that must be there. Descriptions of 3.0 and 3.1 that mean the same give the same facts.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Keywords that are facts as they stand.
const KEYWORDS: [&str; 11] = [
    "default",
    "format",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "enum",
];

const VERBS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The names of the operations of a description.
#[must_use]
pub fn operations(document: &Value) -> BTreeSet<String> {
    let places = members(&document["paths"]).map(|(_, place)| place);
    places
        .flat_map(|place| VERBS.map(|verb| &place[verb]["operationId"]))
        .filter_map(|name| Some(name.as_str()?.to_owned()))
        .collect()
}

/// The facts of a description, by what they are about: of these operations; of others their paths only.
///
/// # Errors
/// A description that is none, or that says two things of what operations share.
pub fn facts(document: &Value, of: &BTreeSet<String>) -> Result<BTreeMap<String, String>> {
    let mut facts = Facts {
        document,
        of,
        found: BTreeMap::new(),
    };
    for (path, place) in members(&document["paths"]) {
        for (verb, operation) in members(place) {
            if VERBS.contains(&verb.as_str()) {
                facts.operation(path, place, verb, operation)?;
            }
        }
    }
    Ok(facts.found)
}

struct Facts<'a> {
    document: &'a Value,
    of: &'a BTreeSet<String>,
    found: BTreeMap<String, String>,
}

impl<'a> Facts<'a> {
    fn add(&mut self, about: String, fact: impl ToString) -> Result<()> {
        let fact = fact.to_string();
        match self.found.insert(about.clone(), fact.clone()) {
            Some(before) if before != fact => bail!("{about} is {before} and {fact}"),
            _ => Ok(()),
        }
    }

    fn operation(
        &mut self,
        path: &str,
        place: &'a Value,
        verb: &str,
        operation: &'a Value,
    ) -> Result<()> {
        let name = operation["operationId"].as_str().context("no name")?;
        self.add(name.to_owned(), format!("{} {path}", verb.to_uppercase()))?;
        if !self.of.contains(name) {
            return Ok(());
        }
        for parameter in items(&place["parameters"]).chain(items(&operation["parameters"])) {
            let parameter = self.resolved(parameter)?;
            let at = parameter["in"].as_str().context("a parameter nowhere")?;
            let parameter_name = parameter["name"].as_str().context("no name")?;
            // What is in the path is the same for all.
            let about = if at == "path" {
                format!("path {parameter_name}")
            } else {
                let about = format!("{name} {at} {parameter_name}");
                self.add(about.clone(), required(&parameter["required"]))?;
                about
            };
            self.schema(&about, &parameter["schema"])?;
        }
        let body = self.resolved(&operation["requestBody"])?;
        if !body.is_null() {
            let about = format!("{name} request");
            self.add(about.clone(), required(&body["required"]))?;
            self.schema(&about, &body["content"]["application/json"]["schema"])?;
        }
        for (status, answer) in members(&operation["responses"]) {
            self.add(format!("{name} {status}"), "yes")?;
            // Answers to what went wrong are the same for all.
            let about = if status.starts_with('2') {
                format!("{name} {status}")
            } else {
                self.add(format!("any {status}"), "yes")?;
                format!("any {status}")
            };
            let answer = self.resolved(answer)?;
            for (header, described) in members(&answer["headers"]) {
                let about = format!("{about} header {header}");
                self.add(about.clone(), "yes")?;
                let described = self.resolved(described)?;
                self.schema(&about, &described["schema"])?;
            }
            let content = &answer["content"]["application/json"];
            self.schema(&format!("{about} body"), &content["schema"])?;
        }
        Ok(())
    }

    fn schema(&mut self, about: &str, schema: &Value) -> Result<()> {
        let schema = self.whole(schema)?;
        let mut several = Vec::new();
        for keyword in ["oneOf", "anyOf"] {
            for one in items(&schema[keyword]) {
                several.push(self.whole(one)?);
            }
        }
        several.retain(|one| one["type"] != "null");
        self.merged(about, &schema)?;
        // One thing, or null.
        if let [one] = &several[..] {
            return self.schema(about, one);
        }
        for one in &several {
            let about = format!("{about}<{}>", label(one));
            self.add(about.clone(), "yes")?;
            self.schema(&about, one)?;
        }
        Ok(())
    }

    /// The facts of a schema that is no reference.
    fn merged(&mut self, about: &str, schema: &Value) -> Result<()> {
        let (kinds, has_null) = kinds(schema);
        if !kinds.is_empty() {
            self.add(format!("{about}: type"), kinds.join(" or "))?;
        }
        if has_null {
            self.add(format!("{about}: null"), "yes")?;
        }
        for keyword in KEYWORDS {
            if !schema[keyword].is_null() {
                self.add(
                    format!("{about}: {keyword}"),
                    fact(keyword, &schema[keyword]),
                )?;
            }
        }
        let properties = schema["properties"].as_object();
        let max = schema["maxProperties"].as_u64();
        let count = properties.map_or(0, Map::len) as u64;
        let is_closed = schema["additionalProperties"] == false
            || properties.is_some() && max.is_some_and(|max| max <= count);
        match max {
            // Said by the members themselves.
            Some(_) if properties.is_some() => {}
            Some(max) => self.add(format!("{about}: maxProperties"), max)?,
            None => {}
        }
        if properties.is_some() {
            self.add(
                format!("{about}: others"),
                if is_closed { "no" } else { "any" },
            )?;
        }
        for (name, member) in members(&schema["properties"]) {
            let about = format!("{about}.{name}");
            let is_required = items(&schema["required"]).any(|one| one == name);
            self.add(about.clone(), required(&is_required.into()))?;
            self.schema(&about, member)?;
        }
        for (keyword, suffix) in [
            ("items", "[]"),
            ("additionalProperties", ".{}"),
            ("propertyNames", " names"),
        ] {
            if schema[keyword].is_object() {
                self.schema(&format!("{about}{suffix}"), &schema[keyword])?;
            }
        }
        Ok(())
    }

    /// A schema without references at its top: what `allOf` says of it is put together.
    fn whole(&self, schema: &Value) -> Result<Value> {
        let mut whole = self.resolved(schema)?.clone();
        let parts = whole["allOf"].take();
        for part in items(&parts) {
            let part = self.whole(part)?;
            for (keyword, value) in members(&part) {
                if keyword == "properties" {
                    for (name, member) in members(value) {
                        whole[keyword][name] = member.clone();
                    }
                } else if whole[keyword].is_null() {
                    whole[keyword] = value.clone();
                }
            }
        }
        Ok(whole)
    }

    /// What a reference leads to, or the value itself.
    fn resolved<'b>(&self, value: &'b Value) -> Result<&'b Value>
    where
        'a: 'b,
    {
        let Some(to) = value["$ref"].as_str() else {
            return Ok(value);
        };
        let pointer = to.strip_prefix('#').unwrap_or_default();
        let found = self.document.pointer(pointer);
        self.resolved(found.with_context(|| format!("{to} leads nowhere"))?)
    }
}

/// What tells one of several schemas from the others.
fn label(schema: &Value) -> String {
    let rule = schema["properties"]["ruleType"]["enum"][0].as_str();
    match rule.or(schema["properties"]["type"]["enum"][0].as_str()) {
        Some(word) => word.to_owned(),
        None => kinds(schema).0.join(" or "),
    }
}

/// The types of values, and whether null is one.
fn kinds(schema: &Value) -> (Vec<&str>, bool) {
    let kind = &schema["type"];
    let kinds: Vec<&str> = items(kind)
        .chain([kind])
        .filter_map(Value::as_str)
        .collect();
    let is_one = items(&schema["anyOf"]).any(|one| one["type"] == "null");
    let has_null = schema["nullable"] == true || is_one || kinds.contains(&"null");
    let kinds = kinds.into_iter().filter(|kind| *kind != "null").collect();
    (kinds, has_null)
}

/// A keyword's value. Whether null is a word of a list, its type says.
fn fact(keyword: &str, value: &Value) -> String {
    if keyword == "enum" {
        let words: Vec<String> = items(value)
            .filter(|word| !word.is_null())
            .map(|word| {
                word.as_str()
                    .map_or_else(|| word.to_string(), |word| format!("'{word}'"))
            })
            .collect();
        return words.join(" ");
    }
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn required(value: &Value) -> &'static str {
    if *value == true {
        "required"
    } else {
        "optional"
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
