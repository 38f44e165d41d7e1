//! What a report tells, and what was delivered.

use std::path::Path;

use tessera_runtime::report::{Fault, Outcome, Report};

/// The fault of a job that failed otherwise than by its command.
#[track_caller]
pub fn fault(report: &Report) -> &Fault {
    match &report.outcome {
        Outcome::Failed(fault) => fault,
        other @ (Outcome::Complete | Outcome::ExecutorFailed { .. } | Outcome::Canceled) => {
            panic!("{other:?} is no fault: {report:#?}")
        }
    }
}

/// All that was noted, a line each.
pub fn notes(report: &Report) -> String {
    report.notes.iter().map(|note| format!("{}\n", note.text)).collect()
}

/// What each step printed.
pub fn printed(report: &Report) -> Vec<&str> {
    report.steps.iter().map(|step| step.stdout_tail.as_str()).collect()
}

/// The exit code of each step.
pub fn codes(report: &Report) -> Vec<i32> {
    report.steps.iter().map(|step| step.exit_code).collect()
}

/// A file's text.
#[track_caller]
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
