//! What a type cannot say of a value: how a path or a URL is written, which members need each other.
//!
//! Each pattern here says the same as a function in [`super::super::places`] or [`super::super::urls`].

use serde_json::{Value, json};

use crate::http::settings::{Places, Settings};
use crate::http::tes::parameters::Known;

/// A string that can be stored: without NUL.
pub const STRING: &str = r"^[^\x00]*$";

/// An absolute container path: no `..`, nothing below `/.tessera`.
const PATH: &str = r"^(?!(?:/\.?)*/\.tessera(?:/|$))(?:/(?!\.\.(?:/|$))[^/\x00]*)+$";

/// The beginning of every pattern for a place: an absolute container path that is not `/` itself.
const PLACE: &str = r"^(?!(?:/\.?)*(?:$|/\.tessera(?:/|$)))";

/// The largest `cpu_cores`, an int32 in the specification.
const MOST_CORES: i64 = 2_147_483_647;

/// Narrows the schemas of requests to what is taken.
pub fn requests(schemas: &mut Value, settings: &Settings) {
    let place = format!(r"{PLACE}(?:/(?!\.\.(?:/|$))[^/\x00]*)+$");
    for name in ["tesTask", "tesExecutor", "tesInput", "tesOutput", "tesResources"] {
        for member in schemas[name]["properties"].as_object_mut().into_iter().flat_map(|members| members.values_mut()) {
            narrow_strings(member);
        }
    }
    for member in ["id", "state", "logs", "creation_time"] {
        let description = schemas["tesTask"]["properties"][member]["description"].take();
        schemas["tesTask"]["properties"][member] = json!({ "description": description });
    }
    let mut set = |schema: &str, member: &str, key: &str, value: Value| {
        schemas[schema]["properties"][member][key] = value;
    };
    set("tesTask", "executors", "minItems", json!(1));
    set("tesTask", "volumes", "items", json!({ "type": "string", "pattern": place }));
    set("tesExecutor", "image", "minLength", json!(1));
    set("tesExecutor", "command", "minItems", json!(1));
    set("tesExecutor", "workdir", "pattern", json!(PATH));
    for stream in ["stdin", "stdout", "stderr"] {
        set("tesExecutor", stream, "pattern", json!(place));
    }
    set("tesInput", "path", "pattern", json!(place));
    for amount in ["cpu_cores", "ram_gb", "disk_gb"] {
        set("tesResources", amount, "minimum", json!(0));
    }
    set("tesResources", "cpu_cores", "maximum", json!(MOST_CORES));
    let url = url(&settings.places);
    set("tesOutput", "url", "pattern", json!(url));
    // What the alternatives below say in full.
    for (schema, member) in
        [("tesInput", "url"), ("tesInput", "content"), ("tesOutput", "path"), ("tesOutput", "path_prefix")]
    {
        if let Some(member) = schemas[schema]["properties"][member].as_object_mut() {
            member.remove("pattern");
        }
    }
    schemas["tesInput"]["anyOf"] = input_alternatives(&url);
    schemas["tesOutput"]["anyOf"] = output_alternatives();
    parameters(&mut schemas["tesResources"], &Known::new(&settings.backends));
}

/// Answers hold what they are said to hold and nothing else (6.1).
pub fn answers(schemas: &mut Value) {
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        let is_request = ["tesTask", "tesExecutor", "tesInput", "tesOutput", "tesResources"].contains(&name.as_str());
        if !is_request && schema["type"] == "object" {
            schema["additionalProperties"] = json!(false);
        }
    }
}

fn narrow_strings(schema: &mut Value) {
    let is = |word: &str| {
        schema["type"] == word || schema["type"].as_array().is_some_and(|types| types.contains(&json!(word)))
    };
    if is("string") {
        schema["pattern"] = json!(STRING);
    } else if is("array") {
        narrow_strings(&mut schema["items"]);
    } else if is("object") && schema.get("additionalProperties").is_some() {
        // 4.2: a value that is null is dropped.
        schema["additionalProperties"] = json!({ "type": ["string", "null"], "pattern": STRING });
        schema["propertyNames"] = json!({ "pattern": STRING });
    }
}

/// An input has content, or a URL (4.7); content that is not empty wins, and makes a FILE (9.1).
fn input_alternatives(url: &str) -> Value {
    let file = json!({ "enum": ["FILE", null] });
    json!([
        {
            "title": "content",
            "required": ["content"],
            "properties": {
                "content": { "type": "string", "minLength": 1, "pattern": STRING },
                "url": { "type": ["string", "null"], "pattern": STRING },
                "type": file,
            },
        },
        {
            "title": "url",
            "required": ["url"],
            "properties": { "url": { "type": "string", "pattern": url }, "content": { "enum": ["", null] } },
        },
        {
            "title": "an empty file",
            "required": ["content"],
            "properties": { "content": { "enum": [""] }, "url": { "enum": ["", null] }, "type": file },
        },
    ])
}

/// A prefix is needed with `*` and `?`, must begin the pattern, and is ignored without one (10.10).
fn output_alternatives() -> Value {
    let path = |names: &str| json!({ "type": "string", "pattern": format!(r"{PLACE}(?:/(?!\.\.(?:/|$)){names}*)+$") });
    json!([
        {
            "title": "no prefix",
            "properties": { "path": path(r"[^/\x00*?]"), "path_prefix": { "enum": ["", null] } },
        },
        {
            "title": "no pattern",
            "properties": {
                "path": path(r"[^/\x00*?\[{]"),
                "path_prefix": { "type": ["string", "null"], "pattern": STRING },
            },
        },
        {
            "title": "a pattern",
            "required": ["path_prefix"],
            "properties": { "path": path(r"[^/\x00]"), "path_prefix": { "enum": ["/"] } },
        },
    ])
}

/// With `backend_parameters_strict` only known keys are taken (13.4), and `backend` names a configured one (13.6).
fn parameters(resources: &mut Value, known: &Known) {
    let backends: Vec<Option<&str>> = known.backends().map(Some).chain([None]).collect();
    let mut members = serde_json::Map::new();
    for key in known.keys() {
        let value = match key {
            "backend" => json!({ "enum": backends }),
            _ => json!({ "type": ["string", "null"], "pattern": STRING }),
        };
        members.insert(key.to_owned(), value);
    }
    resources["properties"]["backend_parameters"]["properties"] = json!(members);
    resources["anyOf"] = json!([
        { "title": "lenient", "properties": { "backend_parameters_strict": { "enum": [false, null] } } },
        {
            "title": "strict",
            "required": ["backend_parameters_strict"],
            "properties": {
                "backend_parameters_strict": { "enum": [true] },
                "backend_parameters": { "properties": members, "additionalProperties": { "type": "null" } },
            },
        },
    ]);
}

/// Any storage, known or not (9.6), unless there is a list of those that may be used, and the files of the host below
/// the roots (9.7). What is denied, and what only some callers may use, is not told to everybody.
fn url(places: &Places) -> String {
    const NAME: &str = r"(?:/(?!\.\.(?:/|$))[^/\x00]*)";
    const URL_NAME: &str = r"(?:/(?!\.\.(?:/|$))[^/%\x00-\x1f\x7f]*)";
    let mut forms = match places.lists.allow.is_empty() {
        true => vec![r"[A-Za-z][A-Za-z0-9+.\-]*://[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*".to_owned()],
        false => places.lists.allow.iter().map(|prefix| below(prefix)).collect(),
    };
    for root in &places.files.roots {
        let root = literal(root.trim_end_matches('/'));
        let some = if root.is_empty() { "+" } else { "*" };
        forms.push(format!("{root}{NAME}{some}"));
        forms.push(format!("file://{root}{URL_NAME}{some}"));
    }
    format!("^(?:{})$", forms.join("|"))
}

/// What lies below a prefix. Canonical forms only: what else means the same is taken as well.
fn below(prefix: &str) -> String {
    // Encoded or climbing names, queries and checksums might lead elsewhere; they are left out.
    const NAME: &str = r"(?!\.{1,2}(?:/|$))[^/%?#\x00-\x20\x7f]+";
    match prefix.strip_suffix('*') {
        Some(open) => format!("{}{NAME}(?:/{NAME})*", literal(open)),
        None if prefix.ends_with('/') => format!("{}{NAME}(?:/{NAME})*", literal(prefix)),
        None => format!("{}(?:/{NAME})*", literal(prefix)),
    }
}

/// A text as a regular expression that matches it alone.
fn literal(text: &str) -> String {
    let mut literal = String::new();
    for char in text.chars() {
        if r"\^$.|?*+()[]{}-".contains(char) {
            literal.push('\\');
        }
        literal.push(char);
    }
    literal
}
