//! What callers get. Nothing here is ever `null`: what is unset is left out (6.1, 6.2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

pub use super::request::FileType;

/// A task as it is shown: MINIMAL has only `id` and `state`; BASIC leaves out contents, system logs and what
/// executors printed; FULL has everything.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesTaskView)]
pub struct Task<'a> {
    /// Its id.
    pub id: &'a str,
    /// Where it stands.
    pub state: State,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<&'a str>,
    /// A description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<&'a str>,
    /// Files that are brought in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub inputs: Vec<Input<'a>>,
    /// Files that are delivered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub outputs: Vec<Output<'a>>,
    /// What it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resources: Option<Resources<'a>>,
    /// Its commands; always there in BASIC and FULL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub executors: Option<Vec<Executor<'a>>>,
    /// Directories that start empty and are shared.
    #[serde(skip_serializing_if = "is_empty")]
    #[schema(required = false, value_type = Vec<String>)]
    pub volumes: &'a [String],
    /// Labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tags: Option<&'a BTreeMap<String, String>>,
    /// One entry an attempt, oldest first; always there in BASIC and FULL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub logs: Option<Vec<TaskLog<'a>>>,
    /// When it was created, RFC 3339; always there in BASIC and FULL.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub creation_time: Option<Timestamp>,
}

/// A command in an image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesExecutorView)]
pub struct Executor<'a> {
    /// The image.
    pub image: &'a str,
    /// The program and its arguments.
    #[schema(value_type = Vec<String>)]
    pub command: &'a [String],
    /// Directory to start in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub workdir: Option<&'a str>,
    /// Container path of standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stdin: Option<&'a str>,
    /// Container path of standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stdout: Option<&'a str>,
    /// Container path of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stderr: Option<&'a str>,
    /// Environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub env: Option<&'a BTreeMap<String, String>>,
    /// Whether a failure is recorded and passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ignore_error: Option<bool>,
}

/// A file or directory that is brought in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesInputView)]
pub struct Input<'a> {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<&'a str>,
    /// A description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<&'a str>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<&'a str>,
    /// Absolute container path.
    pub path: &'a str,
    /// What it is; FILE until more is known.
    #[serde(rename = "type")]
    #[schema(required = false)]
    pub kind: FileType,
    /// Its text; in FULL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub content: Option<&'a str>,
    /// Whether it may be streamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub streamable: Option<bool>,
}

/// A file, directory or pattern that is delivered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesOutputView)]
pub struct Output<'a> {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<&'a str>,
    /// A description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<&'a str>,
    /// Where it goes.
    pub url: &'a str,
    /// Absolute container path, or a pattern.
    pub path: &'a str,
    /// What is removed from the path of a match.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub path_prefix: Option<&'a str>,
    /// What it is; FILE until more is known.
    #[serde(rename = "type")]
    #[schema(required = false)]
    pub kind: FileType,
}

/// What a task needs.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesResourcesView)]
pub struct Resources<'a> {
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    #[schema(nullable = false)]
    pub cpu_cores: Option<f64>,
    /// Whether capacity that may be reclaimed is good enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preemptible: Option<bool>,
    /// Memory in GiB.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    #[schema(nullable = false)]
    pub ram_gb: Option<f64>,
    /// Disk in GiB.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "number")]
    #[schema(nullable = false)]
    pub disk_gb: Option<f64>,
    /// Zones wished for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<String>>)]
    pub zones: Option<&'a [String]>,
    /// Wishes that a configured backend honours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backend_parameters: Option<&'a BTreeMap<String, String>>,
    /// Whether wishes that no backend knows were to be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub backend_parameters_strict: Option<bool>,
}

/// One attempt at a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesTaskLog)]
pub struct TaskLog<'a> {
    /// The executors that have ended, in order.
    pub logs: Vec<ExecutorLog<'a>>,
    /// Facts about the run: backend, job id, node, image digests, memory and processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub metadata: Option<&'a BTreeMap<String, String>>,
    /// When it started, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub start_time: Option<Timestamp>,
    /// When it ended, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub end_time: Option<Timestamp>,
    /// The files that lie at their URLs, directories file by file.
    pub outputs: Vec<OutputFileLog<'a>>,
    /// What the server did, why the task waited, what failed: a time and a sentence each; in FULL only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub system_logs: Vec<String>,
}

/// One executor that has ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesExecutorLog)]
pub struct ExecutorLog<'a> {
    /// When it started, RFC 3339.
    #[schema(required = false, value_type = String, format = DateTime)]
    pub start_time: Timestamp,
    /// When it ended, RFC 3339.
    #[schema(required = false, value_type = String, format = DateTime)]
    pub end_time: Timestamp,
    /// The end of what it wrote to standard output; in FULL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stdout: Option<&'a str>,
    /// The end of what it wrote to standard error; in FULL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub stderr: Option<&'a str>,
    /// Its exit code; 128 + n when signal n ended it.
    pub exit_code: i32,
}

/// One file that was delivered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesOutputFileLog)]
pub struct OutputFileLog<'a> {
    /// Where it lies.
    pub url: &'a str,
    /// Its container path.
    pub path: &'a str,
    /// Its size, in decimal digits.
    #[schema(pattern = "^[0-9]+$")]
    pub size_bytes: String,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = tesState)]
pub enum State {
    /// Never said by this server.
    Unknown,
    /// Stored, waiting for a place.
    Queued,
    /// Handed to a backend: node, images, inputs.
    Initializing,
    /// The inputs are there and the first executor has started.
    Running,
    /// Held by the backend.
    Paused,
    /// All executors ended well and every output is delivered.
    Complete,
    /// An executor failed.
    ExecutorError,
    /// Something else failed; the last line of the system log says what.
    SystemError,
    /// Cancelled, and nothing is left running.
    Canceled,
    /// Its capacity was reclaimed.
    Preempted,
    /// Cancel was asked, and something is still being stopped.
    Canceling,
}

/// A page of tasks, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesListTasksResponse)]
pub struct TaskList<'a> {
    /// The tasks.
    pub tasks: Vec<Task<'a>>,
    /// To be sent as `page_token` for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_page_token: Option<String>,
}

/// The id of a new task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesCreateTaskResponse)]
pub struct Created<'a> {
    /// Its id.
    pub id: &'a str,
}

/// An empty object: the task is known, and nothing of it will go on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = tesCancelTaskResponse)]
pub struct Cancelled {}

fn is_empty(list: &&[String]) -> bool {
    list.is_empty()
}

/// Whole numbers as integers, never `1.0` (6.4).
fn number<S: Serializer>(amount: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    /// Up to here every whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match amount {
        Some(amount) if amount.fract() == 0.0 && amount.abs() <= EXACT => serializer.serialize_i64(*amount as i64),
        Some(amount) => serializer.serialize_f64(*amount),
        None => serializer.serialize_none(),
    }
}
