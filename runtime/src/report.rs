//! The report: what a job did, written by the runtime, read by the server.
//!
//! Versioned JSON, under the same rules as the plan. [`Progress`] is the same conversation before the end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::doing::Doing;
use crate::version::{self, Unreadable};

/// The version this build writes, and the highest one it reads.
pub const REPORT_VERSION: u32 = 1;

/// All that is known of a job that has ended. Nothing of it is still being changed when it can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// See [`REPORT_VERSION`].
    pub version: u32,
    /// The job's id, as in the plan.
    pub job: String,
    /// How it ended.
    pub outcome: Outcome,
    /// When the runtime began to work on the job.
    pub began: Timestamp,
    /// When the first executor's command was started, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the job had ended: commands gone, outputs delivered.
    pub ended: Timestamp,
    /// The executors that ran, in order. One that never started has no entry.
    #[serde(default)]
    pub steps: Vec<StepReport>,
    /// Files that lie durably at their URLs.
    #[serde(default)]
    pub outputs: Vec<DeliveredFile>,
    /// What is worth telling the user, oldest first. The last line of a failure explains it.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// Facts about the run: node, image digests, times and memory (TES contract 15.7).
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl Report {
    /// Reads a report; one of a version above [`REPORT_VERSION`] is refused.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        version::read("report", REPORT_VERSION, bytes)
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every executor ended without an error that counts, and every output is delivered.
    Complete,
    /// An executor failed, and its failure was not to be ignored.
    ExecutorFailed {
        /// Its index in the plan.
        step: u32,
    },
    /// Something other than the user's command failed.
    Failed(Fault),
    /// The job was stopped on request, and nothing of it is left running.
    Canceled,
}

/// A fault that is not the user's command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What may be done about it.
    pub class: FaultClass,
    /// One sentence: what was attempted, on what, and what happened.
    pub message: String,
    /// Whether a command of the user may have run.
    pub user_code_started: bool,
}

/// Faults, sorted by what the engine does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// Would fail again: a missing input, an image that does not exist, a missing output.
    Rejected,
    /// May pass: a registry or a storage that does not answer.
    Unavailable,
    /// An operator must act: a full disk, a refused credential.
    Misconfigured,
    /// The node or the engine was lost under the job.
    Lost,
}

/// One executor that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its index in the plan.
    pub step: u32,
    /// The command's exit code; 128 + n when signal n ended it; 127 and 126 when it could not be started.
    pub exit_code: i32,
    /// When the command was started.
    pub started: Timestamp,
    /// When it had ended.
    pub ended: Timestamp,
    /// The end of what it wrote to standard output.
    #[serde(default)]
    pub stdout_tail: String,
    /// The end of what it wrote to standard error.
    #[serde(default)]
    pub stderr_tail: String,
    /// The former is byte for byte all that it wrote to standard output.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stdout_whole: bool,
    /// The same of standard error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stderr_whole: bool,
}

/// One file that lies durably at its URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredFile {
    /// Its final URL.
    pub url: String,
    /// Its path in the container.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
    /// Lower-case hexadecimal SHA-256 of what was delivered.
    pub sha256: String,
}

/// A sentence for the task's system log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When it was true.
    pub at: Timestamp,
    /// The sentence; no secrets, no signed URLs.
    pub text: String,
}

/// What a job has done so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// See [`REPORT_VERSION`].
    pub version: u32,
    /// The job's id, as in the plan.
    pub job: String,
    /// When the runtime began to work on the job.
    pub began: Timestamp,
    /// When the first executor's command was started, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The executors that have ended, in order.
    #[serde(default)]
    pub steps: Vec<StepReport>,
    /// What is worth telling the user, oldest first. Grows only at its end.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// What it is about now, where that takes its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doing: Option<Doing>,
}

impl Progress {
    /// Reads a progress document; one of a version above [`REPORT_VERSION`] is refused.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        version::read("progress", REPORT_VERSION, bytes)
    }
}
