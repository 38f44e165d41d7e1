//! Tasks as they travel. Lenient: whatever a server leaves out is absent, whatever it adds is kept in `other`, so
//! that `--json` shows all that was said.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A task, as much of it as the view shows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Task {
    /// Its id; absent in what is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
    /// Files to bring in.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub inputs: Vec<Input>,
    /// Files to deliver.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub outputs: Vec<Output>,
    /// What it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Its commands.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub executors: Vec<Executor>,
    /// Shared empty directories.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub volumes: Vec<String>,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
    /// One log an attempt, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub logs: Vec<TaskLog>,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A task's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Waiting for a place.
    Queued,
    /// Being prepared.
    Initializing,
    /// At work.
    Running,
    /// Held.
    Paused,
    /// Ended well.
    Complete,
    /// A command failed.
    ExecutorError,
    /// Something else failed.
    SystemError,
    /// Stopped on request.
    Canceled,
    /// Being stopped.
    Canceling,
    /// Capacity was reclaimed.
    Preempted,
    /// A word of another server.
    #[serde(untagged)]
    Other(String),
}

impl State {
    /// The word on the wire.
    pub fn word(&self) -> &str {
        match self {
            Self::Queued => "QUEUED",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Complete => "COMPLETE",
            Self::ExecutorError => "EXECUTOR_ERROR",
            Self::SystemError => "SYSTEM_ERROR",
            Self::Canceled => "CANCELED",
            Self::Canceling => "CANCELING",
            Self::Preempted => "PREEMPTED",
            Self::Other(word) => word,
        }
    }

    /// Whether nothing more will happen. A preempted task may go on (TES contract 14.8), a word that nobody knows
    /// too.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Complete | Self::ExecutorError | Self::SystemError | Self::Canceled => true,
            Self::Queued
            | Self::Initializing
            | Self::Running
            | Self::Paused
            | Self::Canceling
            | Self::Preempted
            | Self::Other(_) => false,
        }
    }
}

/// A file to bring in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// Where from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Container path.
    pub path: String,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A file to deliver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// Where to.
    pub url: String,
    /// Container path.
    pub path: String,
    /// Removed from matched paths before they are appended to the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// `FILE` or `DIRECTORY`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a task needs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<serde_json::Number>,
    /// Memory, GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_gb: Option<f64>,
    /// Disk, GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<f64>,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A command in an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Executor {
    /// The image.
    pub image: String,
    /// The argument vector.
    pub command: Vec<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Container path of standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Container path of standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Container path of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    pub env: BTreeMap<String, Option<String>>,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The log of one attempt.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskLog {
    /// One log an executor that ended.
    #[serde(deserialize_with = "null_is_empty")]
    pub logs: Vec<ExecutorLog>,
    /// Sentences of the server.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub system_logs: Vec<String>,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The log of one executor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutorLog {
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The end of its standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The end of its standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// What we do not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A page of tasks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskPage {
    /// The tasks, newest first.
    #[serde(deserialize_with = "null_is_empty")]
    pub tasks: Vec<Task>,
    /// Where the next page begins; absent or empty when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// The answer to a create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The new task's id.
    pub id: String,
}

impl Task {
    /// The exit code of the executor that ended the last attempt.
    pub fn exit_code(&self) -> Option<i32> {
        self.logs.last()?.logs.last()?.exit_code
    }

    /// What the server said of the last attempt.
    pub fn system_logs(&self) -> &[String] {
        self.logs.last().map_or(&[], |log| &log.system_logs)
    }
}

/// A member that is null counts as absent, here as for every TES client.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_other_servers_add_leave_out_or_null_is_read_and_kept() {
        let said = r#"{"id":"a","state":"HELD","executors":null,"tags":{"k":null},"vendor":{"x":1},
            "logs":[{"logs":[{"exit_code":3,"host":"n1"}],"outputs":null}]}"#;
        let task: Task = serde_json::from_str(said).unwrap();
        assert_eq!(task.state, Some(State::Other("HELD".to_owned())));
        assert_eq!(task.exit_code(), Some(3));
        let again = serde_json::to_value(&task).unwrap();
        assert_eq!(again["vendor"]["x"], 1);
        assert_eq!(again["logs"][0]["logs"][0]["host"], "n1");
    }

    #[test]
    fn a_task_to_send_holds_only_what_was_set() {
        let executor = Executor { image: "alpine".into(), command: vec!["true".into()], ..Executor::default() };
        let task = Task { executors: vec![executor], ..Task::default() };
        assert_eq!(serde_json::to_string(&task).unwrap(), r#"{"executors":[{"image":"alpine","command":["true"]}]}"#);
    }
}
