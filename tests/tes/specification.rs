//! Our document against GA4GH's: the same paths, parameters, members, enumerations and required members.
//!
//! GA4GH's file is not part of this repository: `TESSERA_SPEC_DIR` names the folder that holds it. Without it this
//! says so and compares nothing, unless `TESSERA_REQUIRE_SPEC=1` demands it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tessera::http::Settings;
use tessera::http::tes::document;

/// What our document says beyond GA4GH's: operation, parameter, and why. All else is compared.
const ADDED: [(&str, &str, &str); 1] = [(
    "post /tasks",
    r#""Idempotency-Key" in "header" (required: false)"#,
    "a creation whose answer was lost may be sent again; who does not know the header does not send it",
)];

#[test]
fn our_document_says_what_ga4gh_says() {
    let Some(folder) = std::env::var_os("TESSERA_SPEC_DIR") else {
        let required = std::env::var_os("TESSERA_REQUIRE_SPEC").is_some_and(|value| value == "1");
        assert!(!required, "TESSERA_SPEC_DIR is not set, and TESSERA_REQUIRE_SPEC demands it");
        eprintln!("TESSERA_SPEC_DIR is not set: not compared with GA4GH's document");
        return;
    };
    let read = |name: &str| -> Value {
        let path = Path::new(&folder).join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_saphyr::from_str(&text).unwrap()
    };
    let (theirs, service_info) = (read("tes-1.1.0.openapi.yaml"), read("ga4gh-service-info-1.0.0.yaml"));
    let ours = document::of(&Settings::default());
    let mut comparison = Comparison { differences: Vec::new() };
    let (ours, theirs) =
        (Document { root: &ours, remote: None }, Document { root: &theirs, remote: Some(&service_info) });
    comparison.documents(ours, theirs);
    assert!(comparison.differences.is_empty(), "{}", comparison.differences.join("\n"));
}

/// A document, and the one that it refers to by URL.
#[derive(Clone, Copy)]
struct Document<'a> {
    root: &'a Value,
    remote: Option<&'a Value>,
}

/// A schema with the document in which its references lead somewhere.
#[derive(Clone, Copy)]
struct Schema<'a> {
    document: Document<'a>,
    value: &'a Value,
}

impl<'a> Document<'a> {
    fn schema(self, value: &'a Value) -> Schema<'a> {
        Schema { document: self, value }.resolved()
    }

    fn resolve(self, value: &'a Value) -> &'a Value {
        self.schema(value).value
    }
}

impl<'a> Schema<'a> {
    /// Follows references, and takes "this or null" for this (4.1).
    fn resolved(self) -> Self {
        if let Some(reference) = self.value.get("$ref").and_then(Value::as_str) {
            let (file, pointer) = reference.split_once('#').unwrap();
            let root = if file.is_empty() { self.document.root } else { self.document.remote.unwrap() };
            let document = Document { root, remote: self.document.remote };
            return Self { document, value: root.pointer(pointer).unwrap_or_else(|| panic!("{reference}")) }.resolved();
        }
        let null = json!({ "type": "null" });
        let rest: Vec<_> = self.value["oneOf"].as_array().into_iter().flatten().filter(|one| **one != null).collect();
        match rest[..] {
            [one] => Self { value: one, ..self }.resolved(),
            _ => self,
        }
    }

    /// The parts that must all hold, itself among them.
    fn parts(self) -> Vec<Self> {
        let more = self.value["allOf"].as_array().into_iter().flatten();
        let more = more.flat_map(|part| Self { value: part, ..self }.resolved().parts());
        [self].into_iter().chain(more).collect()
    }

    fn members(self) -> Vec<(&'a str, Self)> {
        let members = |part: Self| {
            part.value["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(move |(name, value)| (name.as_str(), Self { value, ..part }.resolved()))
        };
        self.parts().into_iter().flat_map(members).collect()
    }

    fn words(self, key: &str) -> BTreeSet<&'a str> {
        let parts = self.parts();
        parts.into_iter().filter_map(|part| part.value[key].as_array()).flatten().filter_map(Value::as_str).collect()
    }

    /// The type, null left out (4.1).
    fn kind(self) -> Option<&'a str> {
        self.parts().into_iter().find_map(|part| {
            let kind = &part.value["type"];
            let several = || kind.as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
            kind.as_str().or_else(several)
        })
    }
}

struct Comparison {
    differences: Vec<String>,
}

impl Comparison {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, at: &str, what: &str, ours: T, theirs: T) {
        if ours != theirs {
            self.differences.push(format!("{at}: {what}: ours {ours:?}, theirs {theirs:?}"));
        }
    }

    fn documents(&mut self, ours: Document<'_>, theirs: Document<'_>) {
        let (our_paths, their_paths) = (operations(ours), operations(theirs));
        let names =
            |operations: &[(String, &Value)]| operations.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
        self.same("paths", "operations", names(&our_paths), names(&their_paths));
        for (name, our) in &our_paths {
            let Some((_, their)) = their_paths.iter().find(|(other, _)| other == name) else { continue };
            self.parameters(name, (ours, our), (theirs, their));
            let body =
                |document, operation| member_of(document, operation, "/requestBody/content/application~1json/schema");
            if let (Some(our), Some(their)) = (body(ours, our), body(theirs, their)) {
                self.schemas(&format!("{name} request"), our, their, Side::Request);
            }
            let answer =
                |document, operation| member_of(document, operation, "/responses/200/content/application~1json/schema");
            let (our, their) = (answer(ours, our).unwrap(), answer(theirs, their).unwrap());
            self.schemas(&format!("{name} answer"), our, their, Side::Answer);
        }
    }

    fn parameters(&mut self, name: &str, ours: (Document<'_>, &Value), theirs: (Document<'_>, &Value)) {
        let (mut ours, theirs) = (parameters(ours.0, ours.1), parameters(theirs.0, theirs.1));
        for (_, added, why) in ADDED.iter().filter(|(operation, ..)| *operation == name) {
            let before = ours.len();
            ours.retain(|(parameter, _)| parameter != added);
            self.same(name, &format!("{added}, which is ours ({why})"), before - ours.len(), 1);
        }
        let shape = |all: &[(String, Schema<'_>)]| all.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
        self.same(name, "parameters", shape(&ours), shape(&theirs));
        for (parameter, our) in ours {
            if let Some((_, their)) = theirs.iter().find(|(other, _)| *other == parameter) {
                self.schemas(&format!("{name} {parameter}"), our, *their, Side::Request);
            }
        }
    }

    fn schemas(&mut self, at: &str, ours: Schema<'_>, theirs: Schema<'_>, side: Side) {
        // 4.4: what the server sets may be anything in a request.
        let ignored =
            side == Side::Request && ["/id", "/state", "/logs", "/creation_time"].iter().any(|end| at.ends_with(end));
        if ignored {
            return;
        }
        let widened = at.ends_with("/cpu_cores");
        if widened {
            // 4.9: fractions of cores.
            self.same(at, "type", (ours.kind(), theirs.kind()), (Some("number"), Some("integer")));
            return;
        }
        self.same(at, "type", ours.kind(), theirs.kind());
        self.same(at, "enum", ours.words("enum"), theirs.words("enum"));
        let mut their_required = theirs.words("required");
        if side == Side::Answer && theirs.words("required").contains("executors") {
            // 7.1: MINIMAL is exactly id and state.
            their_required = BTreeSet::from(["id", "state"]);
        }
        self.same(at, "required", ours.words("required"), their_required);
        let (our_members, their_members) = (ours.members(), theirs.members());
        let names = |members: &[(&str, Schema<'_>)]| {
            members.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>()
        };
        self.same(at, "members", names(&our_members), names(&their_members));
        for (name, our) in our_members {
            // A member that is narrowed in a later part stands there in full.
            if let Some((_, their)) = their_members.iter().rev().find(|(other, _)| *other == name) {
                self.schemas(&format!("{at}/{name}"), our, *their, side);
            }
        }
        for key in ["items", "additionalProperties"] {
            let inner = |schema: Schema<'_>| schema.value.get(key).is_some_and(Value::is_object);
            self.same(at, key, inner(ours), inner(theirs));
            if inner(ours) && inner(theirs) {
                let (our, their) = (ours.document.schema(&ours.value[key]), theirs.document.schema(&theirs.value[key]));
                self.schemas(&format!("{at}/{key}"), our, their, side);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Request,
    Answer,
}

fn operations<'a>(document: Document<'a>) -> Vec<(String, &'a Value)> {
    let paths = document.root["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, item)| {
        let methods = item
            .as_object()
            .unwrap()
            .iter()
            .filter(|(method, _)| matches!(method.as_str(), "get" | "post" | "put" | "delete" | "patch"));
        methods.map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    methods.collect()
}

/// Name and place of each parameter, and whether it is required.
fn parameters<'a>(document: Document<'a>, operation: &'a Value) -> Vec<(String, Schema<'a>)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten().map(|value| document.resolve(value));
    let shape = |parameter: &'a Value| {
        let required = parameter["required"].as_bool().unwrap_or(false);
        let shape = format!("{} in {} (required: {required})", parameter["name"], parameter["in"]);
        (shape, document.schema(&parameter["schema"]))
    };
    parameters.map(shape).collect()
}

fn member_of<'a>(document: Document<'a>, operation: &'a Value, pointer: &str) -> Option<Schema<'a>> {
    operation.pointer(pointer).map(|schema| document.schema(schema))
}
