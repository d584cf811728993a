//! Whether what a service takes and answers is what its OpenAPI description says. Harnesses ask it about every exchange of
//! every test, so that the description is as true as the tests are thorough.
//!
//! It knows nothing of any operation: what it checks is in the description. No fault that it finds shows a body.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Headers that say something of an answer, and so may only be where they are described.
const TELLING: [&str; 8] = [
    "allow",
    "canonical-profile-id",
    "etag",
    "location",
    "operation-id",
    "retry-after",
    "www-authenticate",
    "cache-control",
];

/// Members whose words are taken in any case, which the description says in prose only.
const ANY_CASE: [(&str, Case); 4] = [
    ("dataType", Case::Upper),
    ("matchingAlgo", Case::Lower),
    ("limitPolicy", Case::Lower),
    ("normalization", Case::Lower),
];

#[derive(Clone, Copy)]
enum Case {
    Upper,
    Lower,
}

/// What is not as it is described.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {what}")]
pub struct Fault {
    operation: String,
    what: String,
}

/// The description cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no description: {0}")]
pub struct NoDescription(String);

/// One request and its answer.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The body that was sent, if it was JSON.
    pub sent: Option<&'a Value>,
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer, names in lower case.
    pub headers: &'a BTreeMap<String, String>,
    /// The body of the answer.
    pub answered: &'a Value,
}

/// A description, ready to be asked.
#[derive(Debug)]
pub struct Description {
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    name: String,
    method: String,
    path: String,
    takes: Option<Arc<Validator>>,
    answers: BTreeMap<u16, Answer>,
}

#[derive(Debug)]
struct Answer {
    body: Arc<Validator>,
    headers: BTreeMap<String, Arc<Validator>>,
}

impl Description {
    /// Reads a description in OpenAPI 3.1.
    ///
    /// # Errors
    /// [`NoDescription`]: a part is missing, or a schema is none.
    pub fn new(document: &Value) -> Result<Self, NoDescription> {
        let mut operations = Vec::new();
        let mut schemas = Schemas {
            document,
            known: BTreeMap::new(),
        };
        for (path, place) in members(&document["paths"]) {
            for (verb, operation) in members(place).filter(|(verb, _)| *verb != "parameters") {
                operations.push(schemas.operation(path, verb, operation)?);
            }
        }
        // Words before ids, as requests are routed.
        operations.sort_by_key(|operation| operation.path.matches('{').count());
        Ok(Self { operations })
    }

    /// How many operations are described.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    /// Checks an exchange. What is no operation is nobody's business here.
    ///
    /// # Errors
    /// [`Fault`]: a status, header or body of the answer that is not described, or a body that was taken and should not.
    pub fn check(&self, exchange: &Exchange<'_>) -> Result<(), Fault> {
        let Some(operation) = self.operation(exchange.method, exchange.path) else {
            return Ok(());
        };
        let status = exchange.status;
        let fault = |what: String| Fault {
            operation: format!("{} answered {status}", operation.name),
            what,
        };
        let answer = operation
            .answers
            .get(&status)
            .ok_or_else(|| fault("the status is not described".to_owned()))?;
        found(&answer.body, exchange.answered)
            .map_err(|place| fault(format!("the body is not as described at {place}")))?;
        for (name, schema) in &answer.headers {
            let value = exchange
                .headers
                .get(name)
                .ok_or_else(|| fault(format!("no header {name}")))?;
            if !schema.is_valid(&header(value, schema)) {
                return Err(fault(format!("the header {name} is not as described")));
            }
        }
        let untold = TELLING.iter().find(|name| {
            exchange.headers.contains_key(**name) && !answer.headers.contains_key(**name)
        });
        if let Some(name) = untold {
            return Err(fault(format!("the header {name} is not described")));
        }
        if let (Some(schema), Some(sent), 200..300) = (&operation.takes, exchange.sent, status) {
            found(schema, &folded(sent)).map_err(|place| {
                fault(format!(
                    "the request should not have been taken, for {place}"
                ))
            })?;
        }
        Ok(())
    }

    /// Whether a body that is sent to an operation is one that it says it takes; `None` if there is no such operation, or it
    /// takes none.
    #[must_use]
    pub fn takes(&self, operation: &str, body: &Value) -> Option<bool> {
        let operation = self.operations.iter().find(|one| one.name == operation)?;
        Some(operation.takes.as_ref()?.is_valid(body))
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Operation> {
        // The first path that fits is the one that is routed, whatever methods it has.
        let mut operations = self.operations.iter();
        let path = &operations.find(|one| is_at(&one.path, path))?.path;
        let mut operations = self.operations.iter();
        operations.find(|one| one.path == *path && one.method == method)
    }
}

fn is_at(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(word), Some(given)) if word.starts_with('{') => {
                if given.is_empty() {
                    return false;
                }
            }
            (Some(word), Some(given)) if word == given => {}
            _ => return false,
        }
    }
}

/// The schemas of a document, each made into a validator once: most answers share theirs.
struct Schemas<'a> {
    document: &'a Value,
    known: BTreeMap<String, Arc<Validator>>,
}

impl Schemas<'_> {
    fn operation(
        &mut self,
        path: &str,
        verb: &str,
        operation: &Value,
    ) -> Result<Operation, NoDescription> {
        let name = operation["operationId"].as_str();
        let name = name.ok_or_else(|| NoDescription(format!("{verb} {path} has no name")))?;
        let takes = &operation["requestBody"]["content"]["application/json"]["schema"];
        let takes = if takes.is_null() {
            None
        } else {
            Some(self.validator(takes)?)
        };
        let mut answers = BTreeMap::new();
        for (status, answer) in members(&operation["responses"]) {
            let number = status.parse();
            let number = number.map_err(|_| NoDescription(format!("{name}: {status}")))?;
            answers.insert(number, self.answer(answer)?);
        }
        Ok(Operation {
            name: name.to_owned(),
            method: verb.to_uppercase(),
            path: path.to_owned(),
            takes,
            answers,
        })
    }

    fn answer(&mut self, answer: &Value) -> Result<Answer, NoDescription> {
        let answer = resolved(self.document, answer);
        let body = self.validator(&answer["content"]["application/json"]["schema"])?;
        let mut headers = BTreeMap::new();
        for (name, header) in members(&answer["headers"]) {
            let header = resolved(self.document, header);
            headers.insert(name.to_lowercase(), self.validator(&header["schema"])?);
        }
        Ok(Answer { body, headers })
    }

    /// The validator of a schema, which may refer to those of the document.
    fn validator(&mut self, schema: &Value) -> Result<Arc<Validator>, NoDescription> {
        if schema.is_null() {
            return Err(NoDescription("a schema is missing".to_owned()));
        }
        let text = schema.to_string();
        if let Some(known) = self.known.get(&text) {
            return Ok(Arc::clone(known));
        }
        let mut whole = schema.clone();
        whole["components"] = json!({ "schemas": self.document["components"]["schemas"] });
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&whole)
            .map_err(|error| NoDescription(error.to_string()))?;
        let validator = Arc::new(validator);
        self.known.insert(text, Arc::clone(&validator));
        Ok(validator)
    }
}

/// What a reference leads to, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    let found = pointer.and_then(|pointer| document.pointer(pointer));
    found.unwrap_or(value)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The first place at which a value is not what a schema says: where, and by which part of the schema. Never the value.
fn found(schema: &Validator, value: &Value) -> Result<(), String> {
    match schema.iter_errors(value).next() {
        None => Ok(()),
        Some(error) => Err(format!(
            "{} ({})",
            error.instance_path(),
            error.schema_path()
        )),
    }
}

/// A header's value as the kind that is described: whole numbers are numbers.
fn header(value: &str, schema: &Validator) -> Value {
    let text = Value::from(value);
    match value.parse::<u64>() {
        Ok(number) if !schema.is_valid(&text) => number.into(),
        _ => text,
    }
}

/// A body with the words of lists as they are described.
fn folded(body: &Value) -> Value {
    match body {
        Value::Object(given) => {
            let fold = |(name, value): (&String, &Value)| {
                let case = ANY_CASE.iter().find(|(member, _)| member == name);
                let value = match (case, value) {
                    (Some((_, Case::Upper)), Value::String(word)) => word.to_uppercase().into(),
                    (Some((_, Case::Lower)), Value::String(word)) => word.to_lowercase().into(),
                    _ => folded(value),
                };
                (name.clone(), value)
            };
            Value::Object(given.iter().map(fold).collect())
        }
        Value::Array(items) => items.iter().map(folded).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => body.clone(),
    }
}

#[cfg(test)]
mod tests;
