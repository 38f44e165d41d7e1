//! What a pod says to the server.
//!
//! Two ways lead out of a pod without any access to the cluster's API:
//! - the **log** of stage-in and stage-out: a JSON text sequence (RFC 7464: 0x1e, one JSON text, newline), each text a
//!   [`Record`]. What else stands there is no record and is passed over;
//! - the **last words** of the container that ends the job, [`LastWords`]: the report itself where it fits, otherwise
//!   its digest and a summary, the whole being the last record of the log.
//!
//! A command of the task can write to neither.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::report::{DeliveredFile, Outcome, Progress, Report};

/// The version this build writes, and the highest one it reads.
pub const WORDS_VERSION: u32 = 1;

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// How far the job is; the newest counts.
    Progress(Progress),
    /// How it ended. Of a list of outputs that is too long for the log only the head stands here, see
    /// [`Summary::outputs_at`].
    Report(Report),
}

/// The last words of stage-in where it failed, otherwise of stage-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// See [`WORDS_VERSION`].
    pub version: u32,
    /// The whole report, where it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Otherwise what it says in short, and how to know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// A report in short: enough to end a task with when the log is lost with its node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The job's id, as in the plan.
    pub job: String,
    /// Lower-case hexadecimal SHA-256 of the report's JSON text as it stands in the log.
    pub sha256: String,
    /// Bytes of that text.
    pub bytes: u64,
    /// How it ended; a long sentence is cut.
    pub outcome: Outcome,
    /// When the runtime began to work on the job.
    pub began: Timestamp,
    /// When the first executor's command was started, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When the job had ended.
    pub ended: Timestamp,
    /// The exit codes of the executors that ran, in order.
    pub exit_codes: Vec<i32>,
    /// Files that were delivered.
    pub outputs: u64,
    /// Where the list of outputs lies as JSON (an array of [`DeliveredFile`]), when it is too long for the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_at: Option<String>,
}

/// Where a plan is fetched that is too large for a Secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// See [`WORDS_VERSION`].
    pub version: u32,
    /// The URL.
    pub url: String,
    /// A bearer token, good for this attempt's plan alone.
    pub token: String,
    /// Lower-case hexadecimal SHA-256 of the plan.
    pub sha256: String,
}

impl std::fmt::Debug for Fetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetch").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A list of outputs beside the log.
pub type OutputList = Vec<DeliveredFile>;
