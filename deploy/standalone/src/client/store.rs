//! `kith store`: stores of the account.

use clap::Subcommand;
use kith_runtime::output::say;
use reqwest::Method;
use serde_json::json;

use super::failure::Failure;
use super::http::Http;

/// What can be done with stores.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a store, and print its id
    Create {
        /// 1 to 64 letters, digits or hyphens; one of its name an account
        name: String,
        /// At most 128 characters
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
}

/// Does it.
pub(crate) async fn run(command: &Command, http: &Http, json: bool) -> Result<(), Failure> {
    let Command::Create { name, description } = command;
    let mut body = json!({ "displayName": name });
    if let Some(description) = description {
        body["description"] = json!(description);
    }
    let accepted = http
        .control(Method::POST, &["Stores"], &[], Some(body.to_string()))
        .await?
        .good()?;
    // The answer does not tell the id: its operation does, which is complete by now.
    let Some(id) = accepted.operation else {
        let reason = "the store is accepted, and its operation was not named";
        return Err(Failure::Unavailable(reason.to_owned()));
    };
    let operation = http
        .control(Method::GET, &["Operations", &id], &[], None)
        .await?
        .good()?;
    if json {
        return Ok(say(&operation.text)?);
    }
    match operation.body["result"]["id"].as_str() {
        Some(store) => Ok(say(store)?),
        None => Err(Failure::Unavailable(format!(
            "operation {id} is {}",
            operation.body["status"].as_str().unwrap_or("unknown")
        ))),
    }
}
