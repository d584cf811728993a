//! `kith profile`: one profile at a time.

use clap::Subcommand;
use kith_runtime::output::{note, say};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::cell;
use super::failure::Failure;
use super::http::{Answer, Http};
use super::output::shown;
use super::schema::Schema;

/// What can be done with profiles.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find, create or merge by what is known of a person; print the profile's id
    Create {
        /// What is known, such as Contact.email=ada@example.com; at least one of them an identifier
        #[arg(required = true, value_name = "GROUP.TRAIT=VALUE")]
        traits: Vec<String>,
    },
    /// Show a profile
    Get {
        /// Its id; the id of one that was merged leads to the one it was merged into
        id: String,
    },
    /// Find profiles by an identifier; print their ids
    Lookup {
        /// The type, such as email
        id_type: String,
        /// The value, in any spelling
        value: String,
    },
    /// Delete a profile with everybody who was merged into it, for good
    Delete {
        /// Its id; one that was merged is refused
        id: String,
    },
    /// Show who was merged into a profile, where its identifiers came from, and why
    Explain {
        /// Its id
        id: String,
    },
}

/// Does it.
pub(crate) async fn run(command: &Command, http: &Http, json: bool) -> Result<(), Failure> {
    match command {
        Command::Create { traits } => create(http, traits, json).await,
        Command::Get { id } => get(http, id, json).await,
        Command::Lookup { id_type, value } => lookup(http, id_type, value, json).await,
        Command::Delete { id } => delete(http, id, json).await,
        Command::Explain { id } => explain(http, id, json).await,
    }
}

async fn create(http: &Http, given: &[String], json: bool) -> Result<(), Failure> {
    let schema = Schema::fetch(http).await?;
    let mut traits: Map<String, Value> = Map::new();
    for text in given {
        let Some((name, value)) = text.split_once('=') else {
            let reason = "a trait is given as GROUP.TRAIT=VALUE".to_owned();
            return Err(Failure::Wrong(reason));
        };
        let wrong = |reason: &str| Failure::Wrong(format!("{name}: {reason}"));
        let column = schema.column(name).map_err(|reason| wrong(&reason))?;
        let value = cell::read(column.data_type, value).map_err(wrong)?;
        let value = value.ok_or_else(|| wrong("the value is missing"))?;
        let group = traits.entry(column.group).or_insert_with(|| json!({}));
        group[column.name] = value;
    }
    let body = json!({ "traits": traits }).to_string();
    let answer = http.profiles(Method::POST, &[], Some(body)).await?.good()?;
    print(&answer, json, |body| {
        body["id"].as_str().map(str::to_owned).into_iter().collect()
    })
}

async fn get(http: &Http, id: &str, json: bool) -> Result<(), Failure> {
    let answer = follow(http, id, &[]).await?;
    if json {
        return Ok(say(&answer.text)?);
    }
    let canonical = answer.body["id"].as_str().unwrap_or(id).to_owned();
    let identifiers = follow(http, &canonical, &["Identifiers"]).await?;
    let mut lines = vec![
        canonical,
        format!("  created  {}", plain(&answer.body["createdAt"])),
    ];
    lines.push("  identifiers".to_owned());
    for set in items(&identifiers.body["identifiers"]) {
        for value in items(&set["values"]) {
            lines.push(format!("    {}  {}", plain(&set["idType"]), shown(value)));
        }
    }
    lines.push("  traits".to_owned());
    for (group, traits) in members(&answer.body["traits"]) {
        for (name, value) in members(traits) {
            lines.push(format!("    {group}.{name}  {}", shown(value)));
        }
    }
    Ok(say(&lines.join("\n"))?)
}

async fn lookup(http: &Http, id_type: &str, value: &str, json: bool) -> Result<(), Failure> {
    let body = json!({ "idType": id_type, "value": value }).to_string();
    let answer = http
        .profiles(Method::POST, &["Lookup"], Some(body))
        .await?
        .good()?;
    let profiles: Vec<String> = items(&answer.body["profiles"]).map(plain).collect();
    print(&answer, json, |_| profiles.clone())?;
    if profiles.is_empty() {
        return Err(Failure::Nothing("nobody has it".to_owned()));
    }
    Ok(())
}

async fn delete(http: &Http, id: &str, json: bool) -> Result<(), Failure> {
    let answer = http.profiles(Method::DELETE, &[id], None).await?;
    if let Some(canonical) = &answer.canonical {
        return Err(Failure::Nothing(format!(
            "nothing was deleted: {id} was merged into {canonical}; to delete all of it, name that one"
        )));
    }
    print(&answer.good()?, json, |_| vec![format!("{id} is deleted")])
}

async fn explain(http: &Http, id: &str, json: bool) -> Result<(), Failure> {
    let answer = follow(http, id, &["Explain"]).await?;
    print(&answer, json, explained)
}

/// What Explain says, in lines.
fn explained(body: &Value) -> Vec<String> {
    let mut lines = vec![plain(&body["id"]), "  members".to_owned()];
    for member in items(&body["members"]) {
        lines.push(format!(
            "    {}  created {}",
            plain(&member["id"]),
            plain(&member["createdAt"])
        ));
    }
    lines.push("  identifiers".to_owned());
    for one in items(&body["identifiers"]) {
        lines.push(format!(
            "    {}  {}  of {}, added {} by {}",
            plain(&one["idType"]),
            shown(&one["value"]),
            plain(&one["profileId"]),
            plain(&one["addedAt"]),
            plain(&one["requestId"])
        ));
    }
    lines.push("  merges".to_owned());
    for merge in items(&body["merges"]) {
        lines.push(format!(
            "    {} into {}, {}",
            plain(&merge["profileId"]),
            plain(&merge["into"]),
            plain(&merge["mergedAt"])
        ));
        if let Some(request) = merge["requestId"].as_str() {
            let version = shown(&merge["settingsVersion"]);
            lines.push(format!(
                "      by {request}, settings {version}, which carried"
            ));
        }
        for one in items(&merge["identifiers"]) {
            let whose = one["profileId"].as_str();
            lines.push(match whose {
                Some(whose) => format!(
                    "        {}  {}  of {whose}",
                    plain(&one["idType"]),
                    shown(&one["value"])
                ),
                None => format!("        {}  (gone since)", plain(&one["idType"])),
            });
        }
    }
    lines
}

/// Asks for a profile, and where it was merged into another, for that one.
async fn follow(http: &Http, id: &str, below: &[&str]) -> Result<Answer, Failure> {
    let path = [&[id], below].concat();
    let answer = http.profiles(Method::GET, &path, None).await?;
    let Some(canonical) = answer.canonical.clone() else {
        return answer.good();
    };
    note(&format!("{id} was merged into {canonical}"));
    let path = [&[canonical.as_str()], below].concat();
    let answer = http.profiles(Method::GET, &path, None).await?;
    match &answer.canonical {
        // It was merged again in between.
        Some(next) => Err(Failure::Nothing(format!(
            "{canonical} was merged into {next} just now; ask for that one"
        ))),
        None => answer.good(),
    }
}

/// Prints an answer as it is, or the lines that it comes to.
fn print(
    answer: &Answer,
    json: bool,
    lines: impl FnOnce(&Value) -> Vec<String>,
) -> Result<(), Failure> {
    if json {
        return Ok(say(&answer.text)?);
    }
    for line in lines(&answer.body) {
        say(&line)?;
    }
    Ok(())
}

/// A text of the service's own: an id, a time, a name of the schema.
fn plain(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
