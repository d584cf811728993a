//! What the service says of itself: an OpenAPI description of the operations, and a page of it for people.
//!
//! OpenAPI 3.1, because its schemas are JSON Schema as it stands: an ordinary validator holds requests and answers against
//! them without a translation, and null is a type like others. The operations come from the table that routes requests
//! ([`operation`](crate::operation)), the limits from the constants that the code checks.

use serde_json::{Value, json};

mod answers;
mod examples;
mod operations;
mod page;
mod schemas;

pub(crate) use page::{Page, page};

/// The description: of a service at this absolute URL, else of the one that it was read from.
#[must_use]
pub fn description(public_url: Option<&str>) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kith",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Customer profiles and their identity: the profile side of the Conversation Memory v1 API.",
            "description": concat!(
                "A store holds profiles. A profile has traits, and identifiers that say whose it is; profiles that share an ",
                "identifier are merged, and the ids that are gone redirect to the one that is left.\n\n",
                "A 503 means that the effect of a request is not known: send it again as it was. ",
                "A path that is here answers other methods with 405, and `Allow` says which there are.",
            ),
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": public_url.unwrap_or("/") }],
        "security": [{ "basic": [] }],
        "tags": operations::sections(),
        "paths": operations::paths(),
        "components": {
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "An account sid and its token, or an API key and its secret.",
                },
            },
            "headers": answers::headers(),
            "responses": answers::shared(),
            "schemas": schemas::all(),
        },
    })
}

#[cfg(test)]
mod tests;
