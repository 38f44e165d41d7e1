//! The plan: what a job has to do, written by the server, read by the runtime.
//!
//! Versioned JSON. New fields are optional with a default, so that a runtime of one build reads the plan of
//! another; a meaning that changes raises [`PLAN_VERSION`], and a runtime refuses a version above its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pattern;
pub use crate::storage::settings::Storage;
use crate::version::{self, Unreadable};

/// The version this build writes, and the highest one it reads.
pub const PLAN_VERSION: u32 = 1;

/// Everything a job does, in order: fetch `inputs`, run `executors`, deliver `outputs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// See [`PLAN_VERSION`].
    pub version: u32,
    /// The job's id: the same for the same attempt of the same task. Lower-case letters, digits and `-`.
    pub job: String,
    /// Files to bring in before the first executor.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The commands, run one after another. Never empty.
    pub executors: Vec<Executor>,
    /// Files to deliver after the last executor.
    #[serde(default)]
    pub outputs: Vec<Output>,
    /// Absolute container paths that start as empty directories shared by all executors.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// What each executor may use.
    #[serde(default)]
    pub limits: Limits,
    /// How the runtime behaves where the task does not say.
    #[serde(default)]
    pub policy: Policy,
    /// Which places the job may read from and write to.
    #[serde(default)]
    pub storage: Storage,
}

impl Plan {
    /// Reads a plan; one of a version above [`PLAN_VERSION`] is refused.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        version::read("plan", PLAN_VERSION, bytes)
    }
}

/// One file or directory to bring in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Absolute container path.
    pub path: String,
    /// Where it comes from.
    pub source: Source,
    /// What it was said to be; `None` means: decide from what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The text itself.
    Content(String),
    /// A URL, or a bare absolute path of the host.
    Url(String),
}

/// File or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One regular file.
    File,
    /// A directory with everything below it.
    Directory,
}

/// One command in one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executor {
    /// Image reference, as an engine takes it.
    pub image: String,
    /// The argument vector; no shell. Never empty.
    pub command: Vec<String>,
    /// Working directory; the image's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Environment, added to the image's.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Container path to read standard input from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Container path that receives standard output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Container path that receives standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// A failure is recorded and the next executor runs.
    #[serde(default)]
    pub ignore_error: bool,
}

/// One file, directory or pattern to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Absolute container path; may hold wildcards when `path_prefix` is given.
    pub path: String,
    /// Target URL, or a bare absolute path of the host.
    pub url: String,
    /// Removed from a matched path before it is appended to `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// What it was said to be; `None` counts as a file until the real kind is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

impl Output {
    /// Whether the path is a pattern: without `path_prefix` every character is literal (TES contract 10.8, 10.10).
    pub fn is_pattern(&self) -> bool {
        self.path_prefix.is_some() && pattern::has_wildcards(&self.path)
    }
}

/// What each executor's container may use. `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Thousandths of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_milli: Option<u64>,
    /// Memory in bytes; no swap beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram_bytes: Option<u64>,
    /// Disk in bytes, where the engine can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Whole GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_count: Option<u32>,
    /// Wall time of the whole attempt, in milliseconds, from the first executor's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub walltime_ms: Option<u64>,
    /// The network the executors see.
    #[serde(default)]
    pub network: Network,
    /// User (`name`, `uid` or `uid:gid`) to run as; the image's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_user: Option<String>,
}

/// The network of an executor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A private address behind the engine's bridge.
    #[default]
    Bridge,
    /// Loopback only.
    None,
    /// The host's own network; only where the server's configuration allows it.
    Host,
}

/// How the runtime behaves where the task does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// A literal output of type FILE that is missing after success.
    pub missing_output: MissingOutput,
    /// Bytes of each stream kept in the report (its end).
    pub log_tail_bytes: u64,
    /// Bytes of each stream kept on the node; what comes later is counted and dropped.
    pub log_cap_bytes: u64,
    /// Milliseconds between SIGTERM and SIGKILL.
    pub stop_grace_ms: u64,
    /// URL below which a pod puts a list of outputs that is too long for its log, as `<job>/outputs.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_prefix: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            missing_output: MissingOutput::Fail,
            log_tail_bytes: 16 * 1024,
            log_cap_bytes: 64 * 1024 * 1024,
            stop_grace_ms: 2_000,
            work_prefix: None,
        }
    }
}

/// What a missing output means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingOutput {
    /// The task ends in SYSTEM_ERROR.
    #[default]
    Fail,
    /// The task's log says so, nothing more.
    Ignore,
}
