#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rules() -> Rules {
    let files = Files { roots: vec!["/shared".to_owned()], forbidden: vec![] };
    let lists = Lists { allow: vec![], deny: vec!["s3://secret/".to_owned()] };
    let narrow = Lists { allow: vec!["s3://ada/".to_owned()], ..lists.clone() };
    let callers = [("ada".to_owned(), narrow)].into();
    Rules { places: Places { files, lists, callers }, ..Rules::default() }
}

fn anybodys(body: &[u8]) -> Result<Asked, ApiError> {
    task(body, &Owner::anonymous(), &rules())
}

fn read(body: &Value) -> Result<Asked, ApiError> {
    anybodys(body.to_string().as_bytes())
}

/// A small task with one member set.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = json!({
        "executors": [{ "image": "alpine", "command": ["true"] }],
        "inputs": [{ "url": "s3://b/in", "path": "/in" }],
        "outputs": [{ "url": "s3://b/out", "path": "/out" }],
        "resources": {},
    });
    match body.pointer_mut(pointer) {
        Some(member) => *member = value,
        None => {
            let (parent, member) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[member] = value;
        }
    }
    body
}

fn spec(pointer: &str, value: Value) -> TaskSpec {
    read(&with(pointer, value)).unwrap().spec
}

fn blamed(body: &Value) -> String {
    let error = read(body).expect_err(&body.to_string());
    error.blamed().unwrap_or_default().to_owned()
}

#[test]
fn rule_4_1_null_is_absent_everywhere() {
    let body = json!({
        "id": null, "state": null, "name": null, "description": null, "inputs": null, "outputs": null, "volumes": null,
        "tags": null, "logs": null, "creation_time": null, "resources": null,
        "executors": [{
            "image": "alpine", "command": ["true"], "workdir": null, "stdin": null, "stdout": null, "stderr": null,
            "env": null, "ignore_error": null,
        }],
    });
    let minimal = json!({ "executors": [{ "image": "alpine", "command": ["true"] }] });
    assert_eq!(read(&body).unwrap(), read(&minimal).unwrap());

    let nulls = json!({
        "executors": [{ "image": "alpine", "command": ["true"] }],
        "inputs": [{ "path": "/in", "content": "x", "url": null, "type": null, "name": null, "streamable": null }],
        "outputs": [{ "path": "/out", "url": "s3://b/o", "path_prefix": null, "type": null, "description": null }],
        "resources": { "cpu_cores": null, "zones": null, "backend_parameters": null, "backend_parameters_strict": null },
    });
    let read = read(&nulls).unwrap().spec;
    assert_eq!(read.resources, Some(Resources::default()));
    assert_eq!(read.inputs[0].url, None);
}

#[test]
fn rule_4_1_a_null_element_is_refused() {
    assert_eq!(blamed(&with("/executors/0/command", json!(["a", null]))), "/executors/0/command/1");
    assert_eq!(blamed(&with("/inputs", json!([null]))), "/inputs/0");
    assert_eq!(blamed(&with("/executors", json!([null]))), "/executors/0");
    assert_eq!(blamed(&with("/volumes", json!([null]))), "/volumes/0");
    assert_eq!(blamed(&with("/resources/zones", json!(["a", null]))), "/resources/zones/1");
}

#[test]
fn rule_4_2_null_values_of_maps_are_dropped() {
    let tags = spec("/tags", json!({ "parent_workflow_id": null, "a": "b" })).tags.unwrap();
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), [("a".to_owned(), "b".to_owned())]);
    assert_eq!(spec("/executors/0/env", json!({ "A": null })).executors[0].env, Some(Default::default()));
    assert_eq!(blamed(&with("/tags", json!({ "a": 1 }))), "/tags/a");
}

#[test]
fn rule_4_3_unknown_members_are_dropped() {
    for pointer in ["/vendor", "/executors/0/vendor", "/inputs/0/vendor", "/outputs/0/vendor", "/resources/vendor"] {
        assert!(read(&with(pointer, json!({ "deep": [1, null, { "x": "y" }] }))).is_ok(), "{pointer}");
    }
}

#[test]
fn rule_4_4_what_the_server_sets_is_ignored() {
    for (member, value) in [("/id", json!(7)), ("/state", json!("COMPLETE")), ("/logs", json!([{ "x": [] }]))] {
        assert_eq!(spec(member, value), spec("/vendor", json!(0)));
    }
    assert!(read(&with("/creationTime", json!("nonsense"))).is_ok());
}

#[test]
fn rule_4_5_names_in_camel_case() {
    let body = json!({
        "executors": [{ "image": "alpine", "command": ["true"], "ignoreError": true, "env": { "aB": "c" } }],
        "outputs": [{ "url": "s3://b/out", "path": "/out/*", "pathPrefix": "/out" }],
        "resources": {
            "cpuCores": 2, "ramGb": 1.5, "diskGb": 3, "backendParametersStrict": false, "backendParameters": {},
        },
    });
    let read = read(&body).unwrap().spec;
    assert_eq!(read.executors[0].ignore_error, Some(true));
    assert_eq!(read.executors[0].env.as_ref().unwrap()["aB"], "c");
    assert_eq!(read.outputs[0].path_prefix.as_deref(), Some("/out"));
    let resources = read.resources.unwrap();
    assert_eq!((resources.cpu_cores, resources.ram_gb, resources.disk_gb), (Some(2.0), Some(1.5), Some(3.0)));
    assert_eq!(resources.backend_parameters_strict, Some(false));
    assert_eq!(resources.backend_parameters, Some(Default::default()));
}

#[test]
fn rule_4_5_both_spellings_are_refused() {
    let mut body = with("/resources/cpu_cores", json!(1));
    body["resources"]["cpuCores"] = json!(1);
    assert_eq!(blamed(&body), "/resources/cpu_cores");
}

#[test]
fn rule_4_7_nonsense_is_blamed_on_its_field() {
    for (pointer, value) in [
        ("/executors", json!([])),
        ("/executors", json!({})),
        ("/executors/0", json!(["alpine", ["true"]])),
        ("/executors/0/image", json!("")),
        ("/executors/0/image", json!(null)),
        ("/executors/0/image", json!(5)),
        ("/executors/0/command", json!([])),
        ("/executors/0/command", json!(null)),
        ("/executors/0/command", json!("true")),
        ("/executors/0/workdir", json!("work")),
        ("/executors/0/workdir", json!("")),
        ("/executors/0/stdin", json!("in")),
        ("/executors/0/stdout", json!("/")),
        ("/executors/0/stderr", json!("/a/../b")),
        ("/executors/0/ignore_error", json!("yes")),
        ("/executors/0/env", json!(["A=B"])),
        ("/inputs/0/path", json!("")),
        ("/inputs/0/path", json!("in")),
        ("/inputs/0/path", json!("/")),
        ("/inputs/0/path", json!("/.tessera/tree")),
        ("/inputs/0/path", json!(null)),
        ("/inputs/0/url", json!("nonsense")),
        ("/inputs/0/type", json!("file")),
        ("/inputs/0/type", json!({ "FILE": null })),
        ("/inputs/0/streamable", json!(1)),
        ("/outputs/0/url", json!(null)),
        ("/outputs/0/url", json!("")),
        ("/outputs/0/url", json!("file:///")),
        ("/outputs/0/path", json!("/tmp/../../..")),
        ("/resources", json!([])),
        ("/resources/cpu_cores", json!(-1)),
        ("/resources/cpu_cores", json!("4")),
        ("/resources/cpu_cores", json!(2147483648u32)),
        ("/resources/ram_gb", json!(-0.5)),
        ("/resources/disk_gb", json!(true)),
        ("/resources/zones", json!("a")),
        ("/resources/backend_parameters_strict", json!("true")),
        ("/name", json!(1)),
        ("/tags", json!([])),
    ] {
        assert_eq!(blamed(&with(pointer, value.clone())), pointer, "{value}");
    }
    assert_eq!(blamed(&with("/volumes", json!(["/ok", "/"]))), "/volumes/1");
    assert_eq!(blamed(&json!({})), "/executors");
    assert_eq!(blamed(&json!([])), "");
    assert_eq!(blamed(&json!(null)), "");
}

#[test]
fn rule_4_8_zero_is_unset() {
    let resources = spec("/resources", json!({ "cpu_cores": 0, "ram_gb": 0.0, "disk_gb": -0.0 })).resources;
    assert_eq!(resources, Some(Resources::default()));
}

#[test]
fn rule_4_9_fractions_are_kept() {
    let asked = spec("/resources", json!({ "cpu_cores": 0.06, "ram_gb": 0.268 }));
    assert_eq!(asked.resources.as_ref().unwrap().cpu_cores, Some(0.06));
    assert_eq!(asked.cpu_milli(), Some(60));
}

#[test]
fn rule_4_10_content_of_128_kib() {
    let content = "x".repeat(131_072);
    let asked = spec("/inputs/0", json!({ "path": "/tmp/run_snakemake.sh", "content": content }));
    assert_eq!(asked.inputs[0].content.as_ref().map(String::len), Some(131_072));
}

#[test]
fn rule_9_1_content_or_url() {
    let input = |value: Value| read(&with("/inputs/0", value));
    assert!(input(json!({ "path": "/a" })).is_err());
    assert!(input(json!({ "path": "/a", "url": "" })).is_err());
    assert!(input(json!({ "path": "/a", "content": "" })).is_ok());
    assert!(input(json!({ "path": "/a", "content": "x", "url": "nonsense" })).is_ok());
    assert!(input(json!({ "path": "/a", "content": "", "url": "nonsense" })).is_err());
    assert!(input(json!({ "path": "/a", "content": "", "url": "s3://b/d", "type": "DIRECTORY" })).is_ok());
    assert_eq!(
        blamed(&with("/inputs/0", json!({ "path": "/a", "content": "x", "type": "DIRECTORY" }))),
        "/inputs/0/type"
    );
    assert!(input(json!({ "path": "/a", "content": "", "type": "DIRECTORY" })).is_err());
}

#[test]
fn rule_9_8_streamable_is_kept() {
    for (sent, kept) in [(json!(true), Some(true)), (json!(false), Some(false)), (Value::Null, None)] {
        assert_eq!(spec("/inputs/0/streamable", sent).inputs[0].streamable, kept);
    }
}

#[test]
fn rule_9_6_any_storage_is_taken_and_9_7_files_are_confined() {
    for (url, taken) in [
        ("s3://bucket/key", true),
        ("unheard-of://x", true),
        ("/shared/a", true),
        ("file:///shared/a", true),
        ("/etc/passwd", false),
        ("file:///etc/passwd", false),
        ("file:///shared/../etc/passwd", false),
    ] {
        assert_eq!(read(&with("/inputs/0/url", json!(url))).is_ok(), taken, "{url}");
        assert_eq!(read(&with("/outputs/0/url", json!(url))).is_ok(), taken, "{url}");
    }
}

#[test]
fn rule_9_6_what_a_caller_may_not_use_is_named() {
    let ada = Owner("ada".to_owned());
    for (url, anybody, adas) in [
        ("s3://open/a", true, false),
        ("s3://ada/a", true, true),
        ("s3://secret/a", false, false),
        ("S3://secret", false, false),
    ] {
        for field in ["/inputs/0/url", "/outputs/0/url"] {
            let mut body = with("/inputs", json!([{ "url": "s3://ada/in", "path": "/in" }]));
            body["outputs"] = json!([{ "url": "s3://ada/out", "path": "/out" }]);
            *body.pointer_mut(field).unwrap() = json!(url);
            for (caller, fits) in [(&Owner::anonymous(), anybody), (&ada, adas)] {
                let asked = task(body.to_string().as_bytes(), caller, &rules());
                assert_eq!(asked.is_ok(), fits, "{url} in {field} of {caller:?}");
                if let Err(error) = asked {
                    assert_eq!(error.blamed(), Some(field));
                }
            }
        }
    }
    // 9.1: a URL that is not read is not judged either.
    let unread = with("/inputs/0", json!({ "path": "/a", "content": "x", "url": "s3://secret/a" }));
    assert!(read(&unread).is_ok());
}

#[test]
fn rule_10_10_wildcards_need_their_prefix() {
    let output = |value: Value| with("/outputs/0", value);
    let without = output(json!({ "url": "s3://b/", "path": "/out/*.txt" }));
    assert_eq!(blamed(&without), "/outputs/0/path_prefix");
    assert_eq!(
        blamed(&output(json!({ "url": "s3://b/", "path": "/o/*", "path_prefix": "" }))),
        "/outputs/0/path_prefix"
    );
    // Compared by component: `/ou` is no beginning of `/out/*.txt`.
    let other = output(json!({ "url": "s3://b/", "path": "/out/*.txt", "path_prefix": "/ou" }));
    assert_eq!(blamed(&other), "/outputs/0/path_prefix");
    assert!(read(&output(json!({ "url": "s3://b/", "path": "/out/*.txt", "path_prefix": "/out" }))).is_ok());
    assert!(read(&output(json!({ "url": "s3://b/", "path": "/out/[a].txt" }))).is_ok());
}

#[test]
fn rule_3_11_texts_that_cannot_be_stored() {
    for (pointer, blame) in [
        ("/name", "/name"),
        ("/executors/0/image", "/executors/0/image"),
        ("/inputs/0/content", "/inputs/0/content"),
        ("/tags/a", "/tags/a"),
    ] {
        let mut body = with("/tags", json!({ "a": "b" }));
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[member] = json!("a\u{0}b");
        assert_eq!(blamed(&body), blame);
    }
    assert!(read(&with("/tags", json!({ "a\u{0}": "b" }))).is_err());

    let around = |name: &str| format!(r#"{{"executors":[{{"image":"a","command":["b"]}}],"name":{name}}}"#);
    for name in [r#""\ud800""#, r#""\udc00\ud800""#, "\"\u{1}\"", "\"x"] {
        assert!(anybodys(around(name).as_bytes()).is_err(), "{name}");
        let dropped = around(name).replace("\"name\"", "\"vendor\"");
        assert!(anybodys(dropped.as_bytes()).is_err(), "{dropped}");
    }
    assert_eq!(anybodys(around(r#""\ud83d\ude00""#).as_bytes()).unwrap().spec.name.as_deref(), Some("😀"));
    let mut broken = around("\"x\"").into_bytes();
    let at = broken.iter().position(|byte| *byte == b'x').unwrap();
    broken[at] = 0xff;
    assert!(anybodys(&broken).unwrap_err().message().contains("UTF-8"));
}

#[test]
fn bodies_that_are_no_json() {
    for body in ["", " ", "{", "nul", "{}}", "executors", "[[[[", r#"{"executors":[{"image":"a","command":["b"]}]} x"#]
    {
        assert_eq!(anybodys(body.as_bytes()).expect_err(body).blamed().unwrap_or_default(), "", "{body}");
    }
    let deep = format!(r#"{{"executors":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(anybodys(deep.as_bytes()).is_err());
    let deep = format!(r#"{{"x":{}{},"executors":5}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(anybodys(deep.as_bytes()).is_err());
    let huge = r#"{"executors":[{"image":"a","command":["b"]}],"resources":{"ram_gb":1e999}}"#;
    assert!(anybodys(huge.as_bytes()).is_err());
    let twice = r#"{"executors":[{"image":"a","image":"b","command":["c"]}]}"#;
    assert!(anybodys(twice.as_bytes()).is_err());
}

#[test]
fn rule_13_4_strict_is_refused_and_13_3_lenient_is_noted() {
    let asked = |strict: bool| {
        let resources = json!({ "backend_parameters": { "x": "y" }, "backend_parameters_strict": strict });
        read(&with("/resources", resources))
    };
    assert_eq!(asked(true).unwrap_err().blamed(), Some("/resources/backend_parameters/x"));
    let lenient = asked(false).unwrap();
    assert_eq!(lenient.notes.len(), 1);
    assert_eq!(lenient.spec.resources.unwrap().backend_parameters, Some(Default::default()));
}

proptest! {
    #[test]
    fn no_body_panics(body in any::<Vec<u8>>()) {
        let _ = anybodys(&body);
    }

    #[test]
    fn no_value_panics_and_each_refusal_names_a_field_of_the_body(
        pointer in prop::sample::select(vec![
            "/executors/0/image", "/executors/0/command", "/inputs/0/url", "/outputs/0/path", "/resources/cpu_cores",
        ]),
        text in ".{0,20}",
        number in any::<f64>(),
    ) {
        for value in [json!(text), json!(number), json!([text]), json!({ text.clone(): number })] {
            if let Err(error) = read(&with(pointer, value)) {
                prop_assert!(error.blamed().is_some_and(|field| field.starts_with(pointer) || pointer.starts_with(field)
                    || field == "/outputs/0/path_prefix"), "{error:?}");
            }
        }
    }
}
