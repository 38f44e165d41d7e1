//! The documents in `openapi/` are what the code says.

use std::path::Path;

use serde_json::Value;
use tessera::http::tes::document;
use tessera::http::{BackendFacts, Files, Places, Settings};

use crate::server::Server;

/// With `TESSERA_WRITE_OPENAPI=1` in the environment the document is written, and then it is current.
#[test]
fn openapi_documents_are_current() {
    current("tes.json", &document::of(&Settings::default()));
    current("api.json", &serde_json::to_value(tessera::http::api::routes::document()).unwrap());
}

fn current(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi").join(name);
    let meant = format!("{document:#}\n");
    if std::env::var_os("TESSERA_WRITE_OPENAPI").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &meant).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == meant, "openapi/{name} is stale; write it with `cargo xtask openapi`");
}

#[tokio::test]
async fn the_document_is_served() {
    let served = Server::new().get("/openapi/tes.json").await.json();
    assert_eq!(served, document::of(&Settings::default()));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document::of(&Settings::default());
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref") {
            let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(elements) => open.extend(elements),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

#[test]
fn the_document_follows_the_settings() {
    let files = Files { roots: vec!["/data.d".to_owned()], forbidden: vec![] };
    let backends = vec![BackendFacts {
        name: "local".to_owned(),
        parameters: vec!["walltime".to_owned()],
        stops_within: std::time::Duration::from_secs(2),
    }];
    let places = Places { files, ..Places::default() };
    let document = document::of(&Settings { places, backends, ..Settings::default() });
    let schemas = &document["components"]["schemas"];
    let url = schemas["tesOutput"]["properties"]["url"]["pattern"].as_str().unwrap();
    assert!(url.contains(r"|/data\.d(?:/") && url.contains(r"|file:///data\.d(?:/"), "{url}");
    let parameters = &schemas["tesResources"]["properties"]["backend_parameters"]["properties"];
    assert_eq!(parameters["backend"]["enum"], serde_json::json!(["local", null]));
    assert!(parameters["walltime"].is_object());
}
