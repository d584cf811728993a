//! The description as a page for people: one document without scripts, which loads nothing.

use std::fmt::{self, Write as _};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("page.css");

/// What is told of the values of a schema.
const KEYWORDS: [&str; 12] = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "minProperties",
    "maxProperties",
    "pattern",
    "enum",
    "default",
    "format",
];

/// A page, and the policy under which a browser may show it.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) html: String,
    /// `Content-Security-Policy`: its own style, and nothing from anywhere.
    pub(crate) policy: String,
}

/// The page of a description.
pub(crate) fn page(description: &Value) -> Page {
    let mut html = String::new();
    // Written to memory: nothing here can fail.
    let _written = write_page(&mut html, description).is_ok();
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    Page {
        html,
        policy: format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    }
}

/// A text as it stands in HTML, in elements and in quoted attributes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn text<'a>(value: &'a Value, member: &str) -> Text<'a> {
    Text(value[member].as_str().unwrap_or_default())
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn write_page(out: &mut String, description: &Value) -> fmt::Result {
    let info = &description["info"];
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}: the API</title><style>{STYLE}</style></head><body><main>\n\
         <h1>{title} {version}</h1><p>{summary}</p>",
        title = text(info, "title"),
        version = text(info, "version"),
        summary = text(info, "summary"),
    )?;
    for paragraph in info["description"]
        .as_str()
        .unwrap_or_default()
        .split("\n\n")
    {
        write!(out, "<p>{}</p>", Text(paragraph))?;
    }
    writeln!(
        out,
        "<p>Authentication: HTTP Basic. {} The same for programs: <a href=\"openapi.json\">openapi.json</a>.</p>",
        text(
            &description["components"]["securitySchemes"]["basic"],
            "description"
        ),
    )?;
    for section in items(&description["tags"]) {
        writeln!(
            out,
            "<h2>{}</h2><p>{}</p>",
            text(section, "name"),
            text(section, "description")
        )?;
        for (path, place) in members(&description["paths"]) {
            for (verb, operation) in
                members(place).filter(|(_, one)| one["tags"][0] == section["name"])
            {
                write_operation(out, description, (path, place), (verb, operation))?;
            }
        }
    }
    out.write_str("<h2>Schemas</h2>\n")?;
    for (name, schema) in members(&description["components"]["schemas"]) {
        write!(
            out,
            "<h3 id=\"{0}\">{0}</h3><p>{1}</p>",
            Text(name),
            text(schema, "description")
        )?;
        write_schema(out, schema)?;
    }
    out.write_str("</main></body></html>\n")
}

fn write_operation(
    out: &mut String,
    description: &Value,
    (path, place): (&str, &Value),
    (verb, operation): (&str, &Value),
) -> fmt::Result {
    writeln!(
        out,
        "<details id=\"{id}\"><summary><b>{verb}</b> <code>{path}</code><br>{summary}</summary>",
        id = text(operation, "operationId"),
        verb = Text(&verb.to_uppercase()),
        path = Text(path),
        summary = text(operation, "summary"),
    )?;
    let parameters: Vec<&Value> = items(&place["parameters"])
        .chain(items(&operation["parameters"]))
        .collect();
    if !parameters.is_empty() {
        out.write_str("<table><tr><th>Parameter<th>In<th>What<th>Values</tr>")?;
        for parameter in parameters {
            write!(
                out,
                "<tr><td><code>{}</code><td>{}<td>{}<td>",
                text(parameter, "name"),
                text(parameter, "in"),
                text(parameter, "description"),
            )?;
            write_kind(out, &parameter["schema"])?;
            out.write_str("</tr>")?;
        }
        out.write_str("</table>\n")?;
    }
    let body = content(&operation["requestBody"]);
    if !body.is_null() {
        out.write_str("<p>Body: ")?;
        write_kind(out, &body["schema"])?;
        writeln!(out, "</p><pre>{}</pre>", Escaped(&body["example"]))?;
    }
    out.write_str("<table><tr><th>Status<th>When<th>Body<th>Headers</tr>")?;
    for (status, answer) in members(&operation["responses"]) {
        let answer = resolved(description, answer);
        write!(
            out,
            "<tr><td>{}<td>{}<td>",
            Text(status),
            text(answer, "description")
        )?;
        write_kind(out, &content(answer)["schema"])?;
        out.write_str("<td>")?;
        for (header, _) in members(&answer["headers"]) {
            write!(out, "<code>{}</code> ", Text(header))?;
        }
        out.write_str("</tr>")?;
        let example = &content(answer)["example"];
        if !example.is_null() {
            write!(
                out,
                "<tr><td><td colspan=\"3\"><pre>{}</pre></tr>",
                Escaped(example)
            )?;
        }
    }
    out.write_str("</table></details>\n")
}

/// JSON as it stands in HTML.
struct Escaped<'a>(&'a Value);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Text(&format!("{:#}", self.0)))
    }
}

/// What is said of a body.
fn content(value: &Value) -> &Value {
    &value["content"]["application/json"]
}

/// What a reference leads to, or the value itself.
fn resolved<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    let found = pointer.and_then(|pointer| description.pointer(pointer));
    found.unwrap_or(value)
}

/// The members of an object, or what a value of another kind may be.
fn write_schema(out: &mut String, schema: &Value) -> fmt::Result {
    if schema["properties"].is_null() {
        out.write_str("<p>")?;
        write_kind(out, schema)?;
        return out.write_str("</p>\n");
    }
    out.write_str("<table><tr><th>Member<th>What<th>Values</tr>")?;
    for (name, member) in members(&schema["properties"]) {
        let is_required = items(&schema["required"]).any(|one| one == name);
        write!(
            out,
            "<tr><td><code>{}</code>{}<td>{}<td>",
            Text(name),
            if is_required {
                ""
            } else {
                " (may be left out)"
            },
            text(member, "description"),
        )?;
        write_kind(out, member)?;
        out.write_str("</tr>")?;
    }
    out.write_str("</table>\n")
}

/// What values there are, in a few words.
fn write_kind(out: &mut String, schema: &Value) -> fmt::Result {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        return write!(out, "<a href=\"#{0}\">{0}</a>", Text(name));
    }
    for word in ["oneOf", "anyOf"] {
        for (at, one) in items(&schema[word]).enumerate() {
            out.write_str(if at == 0 { "" } else { ", or " })?;
            write_kind(out, one)?;
        }
    }
    let kind = &schema["type"];
    let kinds: Vec<&str> = items(kind)
        .chain([kind])
        .filter_map(Value::as_str)
        .collect();
    out.write_str(&kinds.join(" or "))?;
    for (keyword, value) in members(schema) {
        if KEYWORDS.contains(&keyword.as_str()) {
            write!(out, "; {keyword} <code>{}</code>", Text(&value.to_string()))?;
        }
    }
    if !schema["items"].is_null() {
        out.write_str(" of ")?;
        write_kind(out, &schema["items"])?;
    }
    if schema["additionalProperties"].is_object() {
        out.write_str(" of ")?;
        write_kind(out, &schema["additionalProperties"])?;
    }
    if schema["properties"].is_object() {
        out.write_str(" ")?;
        write_schema(out, schema)?;
    }
    Ok(())
}
