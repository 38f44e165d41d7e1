//! Documents as builds of version 1 write them. These files never change: a build that cannot read them, or that
//! writes them differently, breaks jobs that run while a server is updated.

#![allow(clippy::unwrap_used)]

use std::fmt::Debug;

use serde::Serialize;
use serde_json::{Value, json};
use tessera_runtime::plan::Plan;
use tessera_runtime::report::{Progress, Report};
use tessera_runtime::step::{StepEnd, StepFile, StepRecord};
use tessera_runtime::version::Unreadable;

/// Reads a document, writes it again, and refuses the same of a newer version.
fn frozen<T: Serialize + Debug>(text: &str, read: fn(&[u8]) -> Result<T, Unreadable>) -> T {
    let document = read(text.as_bytes()).unwrap();
    let original: Value = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_value(&document).unwrap(), original);

    // Fields of a later build of the same version are passed over.
    let mut later = original.clone();
    later["of_a_later_build"] = json!({"any": "thing"});
    read(later.to_string().as_bytes()).unwrap();

    // A newer version may look like anything.
    let newer = json!({"version": 2, "job": 7});
    let error = read(newer.to_string().as_bytes()).unwrap_err().to_string();
    assert!(error.contains("version 2") && error.contains("up to 1"), "{error}");

    for broken in ["", "{}", "[]", "{\"version\":1}", "{\"version\":-1}"] {
        assert!(matches!(read(broken.as_bytes()), Err(Unreadable::Invalid { .. })), "{broken}");
    }
    document
}

#[test]
fn the_plan() {
    let plan = frozen(include_str!("documents/plan-v1.json"), Plan::read);
    assert_eq!(plan.executors.len(), 2);
    assert!(plan.outputs[0].is_pattern() && !plan.outputs[1].is_pattern());
}

#[test]
fn a_plan_needs_little() {
    let text = br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#;
    let plan = Plan::read(text).unwrap();
    assert!(plan.inputs.is_empty() && plan.storage.file_roots.is_empty());
    assert_eq!(plan.policy, Default::default());
    let again = serde_json::to_vec(&plan).unwrap();
    assert_eq!(Plan::read(&again).unwrap(), plan);
}

#[test]
fn the_report() {
    frozen(include_str!("documents/report-v1.json"), Report::read);
}

#[test]
fn every_outcome() {
    for outcome in [json!("complete"), json!({"executor_failed": {"step": 2}}), json!("canceled")] {
        let mut report: Value = serde_json::from_str(include_str!("documents/report-v1.json")).unwrap();
        report["outcome"] = outcome;
        let read = Report::read(report.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), report);
    }
}

#[test]
fn the_progress() {
    frozen(include_str!("documents/progress-v1.json"), Progress::read);
}

#[test]
fn the_step_file() {
    frozen(include_str!("documents/step-v1.json"), StepFile::read);
}

#[test]
fn the_step_record() {
    let text = include_str!("documents/record-v1.json");
    frozen(text, StepRecord::read);
    let mut record: Value = serde_json::from_str(text).unwrap();
    record["end"] = json!({"fault": {"message": "cannot write `/x`", "command_started": false}});
    let read = StepRecord::read(record.to_string().as_bytes()).unwrap();
    assert!(matches!(read.end, StepEnd::Fault { command_started: false, .. }));
    assert_eq!(serde_json::to_value(&read).unwrap(), record);
}
