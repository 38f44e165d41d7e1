#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::task::{LogLine, OutputFile, Owner, TaskId, TaskSpec, TaskState};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn map(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn executor_log(index: u32, exit_code: i32) -> task::ExecutorLog {
    let (stdout, stderr) = ("out".to_owned(), String::new());
    let (stdout_whole, stderr_whole) = (true, true);
    task::ExecutorLog { index, exit_code, started: at(1), ended: at(2), stdout, stderr, stdout_whole, stderr_whole }
}

/// A task with every member set, after a failed and a good attempt.
fn whole() -> task::Task {
    let spec = TaskSpec {
        name: Some("name".to_owned()),
        description: Some(String::new()),
        inputs: vec![
            spec::Input {
                name: Some("in".to_owned()),
                description: Some("an input".to_owned()),
                url: Some("s3://b/in".to_owned()),
                content: Some("text".to_owned()),
                path: "/in".to_owned(),
                kind: Some(FileKind::File),
                streamable: Some(true),
            },
            spec::Input { url: Some("s3://b/d/".to_owned()), path: "/d".to_owned(), ..spec::Input::default() },
        ],
        outputs: vec![spec::Output {
            name: None,
            description: None,
            url: "s3://b/out".to_owned(),
            path: "/out/*".to_owned(),
            path_prefix: Some("/out".to_owned()),
            kind: Some(FileKind::Directory),
        }],
        resources: Some(spec::Resources {
            cpu_cores: Some(1.0),
            ram_gb: Some(0.268),
            disk_gb: Some(10.0),
            preemptible: Some(false),
            zones: Some(vec!["a".to_owned()]),
            backend_parameters: Some(map("VmSize", "big")),
            backend_parameters_strict: Some(false),
        }),
        executors: vec![spec::Executor {
            image: "alpine".to_owned(),
            command: vec!["true".to_owned()],
            workdir: Some("/w".to_owned()),
            stdin: Some("/in".to_owned()),
            stdout: Some("/o".to_owned()),
            stderr: Some("/e".to_owned()),
            env: Some(map("A", "b")),
            ignore_error: Some(true),
        }],
        volumes: vec!["/vol".to_owned()],
        tags: Some(map("k", "")),
    };
    let lost = Attempt {
        number: 1,
        log: vec![LogLine { at: at(0), text: "the node was lost".to_owned() }],
        ended: Some(at(1)),
        ..Attempt::default()
    };
    let done = Attempt {
        number: 2,
        started: Some(at(1)),
        ended: Some(at(3)),
        executors: vec![executor_log(0, 0)],
        outputs: vec![OutputFile {
            url: "s3://b/out/a".to_owned(),
            path: "/out/a".to_owned(),
            size_bytes: 3_000_000_000,
            sha256: "00".to_owned(),
        }],
        log: vec![LogLine { at: at(3), text: "complete".to_owned() }],
        metadata: map("backend", "local"),
        ..Attempt::default()
    };
    task::Task {
        id: TaskId::parse("01hf7yat00000000000000000z").unwrap(),
        owner: Owner::anonymous(),
        created: at(0),
        spec,
        state: TaskState::Complete,
        attempts: vec![lost, done],
    }
}

fn bare() -> task::Task {
    let executor =
        spec::Executor { image: "alpine".to_owned(), command: vec!["true".to_owned()], ..spec::Executor::default() };
    task::Task {
        spec: TaskSpec { executors: vec![executor], ..TaskSpec::default() },
        state: TaskState::new(),
        attempts: vec![Attempt { number: 1, ..Attempt::default() }],
        ..whole()
    }
}

fn shown(task: &task::Task, detail: Detail) -> Value {
    serde_json::to_value(super::task(task, detail)).unwrap()
}

#[test]
fn rule_9_8_streamable_is_shown_as_it_was_sent() {
    let mut task = whole();
    for (streamable, told) in [(Some(true), json!(true)), (Some(false), json!(false)), (None, Value::Null)] {
        task.spec.inputs[0].streamable = streamable;
        for detail in [Detail::Basic, Detail::Full] {
            assert_eq!(shown(&task, detail)["inputs"][0]["streamable"], told);
        }
    }
}

#[test]
fn rule_7_2_full_shows_everything() {
    let expected = json!({
        "id": "01hf7yat00000000000000000z",
        "state": "COMPLETE",
        "name": "name",
        "description": "",
        "inputs": [
            {
                "name": "in", "description": "an input", "url": "s3://b/in", "content": "text", "path": "/in",
                "type": "FILE", "streamable": true,
            },
            { "url": "s3://b/d/", "path": "/d", "type": "FILE" },
        ],
        "outputs": [{ "url": "s3://b/out", "path": "/out/*", "path_prefix": "/out", "type": "DIRECTORY" }],
        "resources": {
            "cpu_cores": 1, "ram_gb": 0.268, "disk_gb": 10, "preemptible": false, "zones": ["a"],
            "backend_parameters": { "VmSize": "big" }, "backend_parameters_strict": false,
        },
        "executors": [{
            "image": "alpine", "command": ["true"], "workdir": "/w", "stdin": "/in", "stdout": "/o", "stderr": "/e",
            "env": { "A": "b" }, "ignore_error": true,
        }],
        "volumes": ["/vol"],
        "tags": { "k": "" },
        "logs": [
            {
                "logs": [], "outputs": [], "end_time": "2023-11-14T22:13:21Z",
                "system_logs": ["2023-11-14T22:13:20Z the node was lost"],
            },
            {
                "start_time": "2023-11-14T22:13:21Z", "end_time": "2023-11-14T22:13:23Z",
                "metadata": { "backend": "local" },
                "logs": [{
                    "start_time": "2023-11-14T22:13:21Z", "end_time": "2023-11-14T22:13:22Z", "exit_code": 0,
                    "stdout": "out", "stderr": "",
                }],
                "outputs": [{ "url": "s3://b/out/a", "path": "/out/a", "size_bytes": "3000000000" }],
                "system_logs": ["2023-11-14T22:13:23Z complete"],
            },
        ],
        "creation_time": "2023-11-14T22:13:20Z",
    });
    assert_eq!(shown(&whole(), Detail::Full), expected);
}

#[test]
fn rule_7_2_basic_leaves_out_contents_logs_and_prints() {
    let mut expected = shown(&whole(), Detail::Full);
    expected["inputs"][0].as_object_mut().unwrap().remove("content");
    for log in expected["logs"].as_array_mut().unwrap() {
        log.as_object_mut().unwrap().remove("system_logs");
    }
    for stream in ["stdout", "stderr"] {
        expected["logs"][1]["logs"][0].as_object_mut().unwrap().remove(stream);
    }
    assert_eq!(shown(&whole(), Detail::Basic), expected);
}

#[test]
fn rule_7_1_minimal_is_exactly_id_and_state() {
    let task = whole();
    let summary = Summary { id: task.id, created: task.created, phase: Phase::ExecutorError };
    let shown = serde_json::to_value(minimal(&summary)).unwrap();
    assert_eq!(shown, json!({ "id": "01hf7yat00000000000000000z", "state": "EXECUTOR_ERROR" }));
}

#[test]
fn rule_6_2_what_is_unset_is_left_out_and_6_3_what_clients_need_is_there() {
    let expected = json!({
        "id": "01hf7yat00000000000000000z",
        "state": "QUEUED",
        "executors": [{ "image": "alpine", "command": ["true"] }],
        "logs": [{ "logs": [], "outputs": [] }],
        "creation_time": "2023-11-14T22:13:20Z",
    });
    assert_eq!(shown(&bare(), Detail::Full), expected);
    assert_eq!(shown(&bare(), Detail::Basic), expected);
}

#[test]
fn rule_6_4_whole_cores_are_integers() {
    for (cores, literal) in [(1.0, "1"), (0.06, "0.06"), (2_147_483_647.0, "2147483647"), (1.5, "1.5")] {
        let mut task = bare();
        task.spec.resources = Some(spec::Resources { cpu_cores: Some(cores), ..spec::Resources::default() });
        let text = serde_json::to_string(&super::task(&task, Detail::Full)).unwrap();
        assert!(text.contains(&format!("\"cpu_cores\":{literal}}}")), "{text}");
    }
}

#[test]
fn rule_15_2_executor_logs_are_in_order_and_without_gaps() {
    let mut task = bare();
    task.attempts[0].executors = vec![executor_log(1, 7), executor_log(3, 9), executor_log(0, 5)];
    let codes: Vec<_> = shown(&task, Detail::Basic)["logs"][0]["logs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|log| log["exit_code"].clone())
        .collect();
    assert_eq!(codes, [json!(5), json!(7)]);
}

/// What the strictest clients refuse, taken from the table of §6: py-tes 0.4.2 and 1.1.4, pydantic-tes 0.4, tes 0.11.
mod parsers {
    use super::*;

    /// Walks every member of an answer.
    fn walk(value: &Value, at: &str, look: &mut dyn FnMut(&str, &Value)) {
        look(at, value);
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, member)| walk(member, &format!("{at}/{name}"), look))
            }
            Value::Array(elements) => elements.iter().for_each(|element| walk(element, &format!("{at}/*"), look)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn every_answer() -> Vec<Value> {
        let mut answers = Vec::new();
        for task in [whole(), bare()] {
            answers.extend([shown(&task, Detail::Basic), shown(&task, Detail::Full)]);
        }
        answers
    }

    #[test]
    fn rule_6_2_nothing_is_null_and_6_5_no_time_is_empty() {
        for answer in every_answer() {
            walk(&answer, "", &mut |at, value| {
                assert!(!value.is_null(), "{at}");
                if at.ends_with("_time") {
                    assert!(value.as_str().is_some_and(|time| time.parse::<Timestamp>().is_ok()), "{at}: {value}");
                }
            });
        }
    }

    #[test]
    fn rule_6_4_sizes_are_strings_exit_codes_integers_metadata_flat() {
        for answer in every_answer() {
            walk(&answer, "", &mut |at, value| match at.rsplit('/').next() {
                Some("size_bytes") => assert!(value.is_string()),
                Some("exit_code") => assert!(value.is_i64()),
                Some("metadata" | "tags" | "env") => {
                    assert!(value.as_object().is_some_and(|map| map.values().all(Value::is_string)));
                }
                Some(_) | None => {}
            });
        }
    }

    #[test]
    fn rule_6_3_every_task_log_has_both_arrays_and_every_file_its_type() {
        for answer in every_answer() {
            walk(&answer, "", &mut |at, value| {
                if at == "/logs/*" {
                    assert!(value["logs"].is_array() && value["outputs"].is_array());
                }
                if at == "/inputs/*" || at == "/outputs/*" {
                    assert!(value["type"] == "FILE" || value["type"] == "DIRECTORY");
                }
            });
        }
    }

    /// py-tes refuses unknown keys: these are the keys of its classes, of 0.4.2 without and of 1.1.4 with the
    /// members that 1.1 added.
    #[test]
    fn rule_6_1_and_6_2_py_tes_knows_every_key() {
        let old: &[(&str, &[&str])] = &[
            (
                "",
                &[
                    "id",
                    "state",
                    "name",
                    "description",
                    "inputs",
                    "outputs",
                    "resources",
                    "executors",
                    "volumes",
                    "tags",
                    "logs",
                    "creation_time",
                ],
            ),
            ("/executors/*", &["image", "command", "workdir", "stdin", "stdout", "stderr", "env"]),
            ("/inputs/*", &["name", "description", "url", "path", "type", "content"]),
            ("/outputs/*", &["name", "description", "url", "path", "type"]),
            ("/resources", &["cpu_cores", "ram_gb", "disk_gb", "preemptible", "zones"]),
            ("/logs/*", &["start_time", "end_time", "metadata", "logs", "outputs", "system_logs"]),
            ("/logs/*/logs/*", &["start_time", "end_time", "stdout", "stderr", "exit_code"]),
            ("/logs/*/outputs/*", &["url", "path", "size_bytes"]),
        ];
        let new: &[(&str, &[&str])] = &[
            ("/executors/*", &["ignore_error"]),
            ("/inputs/*", &["streamable"]),
            ("/outputs/*", &["path_prefix"]),
            ("/resources", &["backend_parameters", "backend_parameters_strict"]),
        ];
        let known = |tables: &[&[(&str, &[&str])]], at: &str, key: &str| {
            tables.iter().copied().flatten().any(|(place, keys)| *place == at && keys.contains(&key))
        };
        let check = |answer: &Value, tables: &[&[(&str, &[&str])]]| {
            walk(answer, "", &mut |at, value| {
                if !old.iter().any(|(place, _)| *place == at) {
                    return;
                }
                for key in value.as_object().unwrap().keys() {
                    assert!(known(tables, at, key), "{at}/{key}");
                }
            });
        };
        for answer in every_answer() {
            check(&answer, &[old, new]);
        }
        // 6.2: what 1.1 added is shown only to those who sent it.
        check(&shown(&bare(), Detail::Full), &[old]);
    }
}
