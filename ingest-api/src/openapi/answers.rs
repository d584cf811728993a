//! What requests are answered: with what they asked for, or instead of it (`memory-api.md` 2, 3).

use kith_domain::id::{OperationId, ProfileId};
use serde_json::{Map, Value, json};

use super::schemas::{REQUEST_ID, reference};
use crate::operation::{Operation, Place, Success, Verb};

/// The answers of an operation, by status.
pub(super) fn of(place: &Place, operation: &Operation, example: &Value) -> Value {
    let (status, success) = success(operation.success, example);
    let mut answers = Map::new();
    answers.insert(status.to_owned(), success);
    for (status, name) in instead(place, operation) {
        let answer = json!({ "$ref": format!("#/components/responses/{name}") });
        answers.insert(status.to_owned(), answer);
    }
    Value::Object(answers)
}

fn success(success: Success, example: &Value) -> (&'static str, Value) {
    let (status, description, schema) = match success {
        Success::Found(schema) | Success::Versioned(schema) => {
            ("200", "What was asked for.", schema)
        }
        Success::Operation(schema) => ("200", "The operation as it is now.", schema),
        Success::Accepted(schema) => ("202", "Done.", schema),
        Success::Tracked(schema) => ("202", "In force; what is left of it is tracked.", schema),
    };
    let headers: &[&str] = match success {
        Success::Found(_) | Success::Accepted(_) => &[],
        Success::Versioned(_) => &["ETag"],
        Success::Operation(_) => &["Operation-Id", "Retry-After"],
        Success::Tracked(_) => &["Operation-Id", "Location", "Retry-After"],
    };
    let mut answer = answer(description, reference(schema), headers);
    answer["content"]["application/json"]["example"] = example.clone();
    (status, answer)
}

/// What else an operation may be answered, by the name of the shared answer.
fn instead(place: &Place, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let is_of_profile = place.path.contains("{profileId}");
    let is_of_something = place.path.contains('{');
    let is_read = operation.verb == Verb::Get;
    let has_body = operation.body.is_some();
    [
        (is_of_profile && is_read, "301", "MovedPermanently"),
        (is_of_profile && !is_read, "308", "PermanentRedirect"),
        (true, "400", "BadRequest"),
        (true, "401", "Unauthorized"),
        (operation.writes, "403", "Forbidden"),
        (is_of_something, "404", "NotFound"),
        (has_body, "408", "RequestTimeout"),
        (operation.conflicts, "409", "Conflict"),
        (operation.has_version, "412", "PreconditionFailed"),
        (has_body, "413", "ContentTooLarge"),
        (has_body, "415", "UnsupportedMediaType"),
        (true, "429", "TooManyRequests"),
        (true, "500", "InternalServerError"),
        (true, "503", "ServiceUnavailable"),
    ]
    .into_iter()
    .filter_map(|(is_possible, status, name)| is_possible.then_some((status, name)))
    .collect()
}

/// The answers that operations share.
pub(super) fn shared() -> Value {
    let moved = |description| {
        let headers = ["Location", "Canonical-Profile-Id", "Cache-Control"];
        answer(description, reference("Moved"), &headers)
    };
    let error = |description, headers: &[&str]| answer(description, reference("Error"), headers);
    json!({
        "MovedPermanently": moved("The profile was merged into another: ask there."),
        "PermanentRedirect": moved("The profile was merged into another: send the same there."),
        "BadRequest": error("The id, the query or the body is wrong; nothing was written.", &[]),
        "Unauthorized": error("No credentials, or wrong ones.", &["WWW-Authenticate"]),
        "Forbidden": error("The API key may only read.", &[]),
        "NotFound": error("The store or what is asked for in it is not there.", &[]),
        "RequestTimeout": error("The body did not arrive in time.", &["Retry-After"]),
        "Conflict": error("What is there does not allow it.", &[]),
        "PreconditionFailed": error("`If-Match` is not the current version.", &[]),
        "ContentTooLarge": error("The body is too large.", &[]),
        "UnsupportedMediaType": error("The body is not plain JSON.", &[]),
        "TooManyRequests": error("More requests than the operator allows.", &["Retry-After"]),
        "InternalServerError": error("A fault of the service.", &[]),
        "ServiceUnavailable": error(
            "Not now. What became of a write is not known: send it again as it was.",
            &["Retry-After"],
        ),
    })
}

fn answer(description: &str, schema: Value, headers: &[&str]) -> Value {
    let named = headers.iter().chain(&["Twilio-Request-Id"]);
    let headers: Map<String, Value> = named
        .map(|name| {
            let header = json!({ "$ref": format!("#/components/headers/{name}") });
            ((*name).to_owned(), header)
        })
        .collect();
    json!({
        "description": description,
        "headers": headers,
        "content": { "application/json": { "schema": schema } },
    })
}

/// The headers of answers, by their names.
pub(super) fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "required": true, "schema": schema });
    json!({
        "Twilio-Request-Id": header(
            "The request, as the log of the service names it.",
            json!({ "type": "string", "pattern": REQUEST_ID }),
        ),
        "ETag": header(
            "The version that was read, for `If-Match`.",
            json!({ "type": "string", "maxLength": 512, "pattern": "^\"[A-Za-z0-9_-]+\"$" }),
        ),
        "Operation-Id": header(
            "The operation.",
            json!({ "type": "string", "pattern": OperationId::PATTERN }),
        ),
        "Location": header(
            "Where to go on.",
            json!({ "type": "string", "format": "uri" }),
        ),
        "Canonical-Profile-Id": header(
            "The profile that the one that was asked for was merged into.",
            json!({ "type": "string", "pattern": ProfileId::PATTERN }),
        ),
        "Retry-After": header(
            "When to come back, in seconds.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "Cache-Control": header(
            "The profile may be deleted yet: ask again.",
            json!({ "type": "string", "enum": ["no-store"] }),
        ),
        "WWW-Authenticate": header("How to authenticate.", json!({ "type": "string" })),
    })
}
