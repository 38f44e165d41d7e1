//! All of the door as OpenAPI, in our own words: the types in [`super::wire`] give the schemas.
//!
//! The document says what this server takes and what it refuses, so parts of it follow the settings: which files
//! may be named, which backend parameters are known. `openapi/tes.json` is that of a server as it is configured
//! without a word; a test keeps it current.
//!
//! Parts:
//! - [`operations`]: paths, parameters, answers;
//! - [`narrow`]: what a type cannot say of a value.

pub mod narrow;
pub mod operations;

use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema};

use super::wire::{answer, request, service};
use crate::http::error::ErrorBody;
use crate::http::settings::Settings;

/// The document of a server with these settings.
pub fn of(settings: &Settings) -> Value {
    let mut schemas = schemas();
    narrow::requests(&mut schemas, settings);
    narrow::answers(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tessera: GA4GH Task Execution Service",
            "version": "1.1.0",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/ga4gh/tes/v1" }, { "url": "/v1" }, { "url": "/" }],
        "security": [{}, { "bearer": [] }, { "basic": [] }],
        "paths": operations::paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "basic": { "type": "http", "scheme": "basic" },
            },
        },
    })
}

const DESCRIPTION: &str = "\
Tasks in, container jobs out. A task names inputs, commands in images, and outputs; it is stored and answered at once, \
and its state, logs and outputs are asked for.\n\n\
Requests are read leniently: a member that is `null` is absent, unknown members are dropped, and every name is read in \
camelCase too. Answers are strict: nothing that GA4GH TES 1.1 does not know, nothing that is `null`.\n\n\
The same API is served under each of the three servers below. `/tasks/service-info` answers in the shape used before \
TES 1.0.";

/// The schemas of everything that is sent and answered, by name.
fn schemas() -> Value {
    fn add<T: ToSchema>(all: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        all.push((T::name().into_owned(), <T as PartialSchema>::schema()));
        T::schemas(all);
    }
    let mut all = Vec::new();
    add::<request::Task>(&mut all);
    add::<answer::Task<'static>>(&mut all);
    add::<answer::TaskList<'static>>(&mut all);
    add::<answer::Created<'static>>(&mut all);
    add::<answer::Cancelled>(&mut all);
    add::<service::ServiceInfo>(&mut all);
    add::<ErrorBody<'static>>(&mut all);
    all.into_iter().map(|(name, schema)| (name, json!(schema))).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Narrowing must change a member that a type has, not make up one that none has.
    #[test]
    fn narrowing_makes_up_no_member() {
        let (plain, document) = (schemas(), of(&Settings::default()));
        for (name, schema) in document["components"]["schemas"].as_object().expect("schemas are an object") {
            for member in schema["properties"].as_object().into_iter().flat_map(|members| members.keys()) {
                assert!(plain[name]["properties"].get(member).is_some(), "{name}.{member}");
            }
        }
    }
}
