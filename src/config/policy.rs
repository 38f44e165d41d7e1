//! `[policy]`: what the server does where the specification leaves it open (TES contract §1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// A FILE output that is missing after success: `fail` ends in SYSTEM_ERROR, `ignore` only says so in the log.
    /// Default `fail`.
    pub missing_output: MissingOutput,
    /// The end of each stream shown in a task, bytes. Default 16384.
    pub log_tail_bytes: u64,
    /// What is kept of each stream on the node, bytes. Default 67108864.
    pub log_cap_bytes: u64,
    /// Between SIGTERM and SIGKILL, milliseconds. Default 2000.
    pub stop_grace_ms: u64,
    /// When CANCELING is shown; several clients cannot read it (TES contract 14.7). Default `quick`.
    pub show_canceling: ShowCanceling,
    /// Show QUEUED; otherwise a task that waits is INITIALIZING. Pulsar takes QUEUED for a failure (TES contract 14.9).
    /// Default true.
    pub show_queued: bool,
    /// Backend parameters for tasks that do not set them themselves. Default none.
    pub backend_parameters: BTreeMap<String, String>,
}

/// What a missing output means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingOutput {
    /// SYSTEM_ERROR.
    #[default]
    Fail,
    /// A line in the log.
    Ignore,
}

/// When CANCELING is shown, instead of the former state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShowCanceling {
    /// Where every backend stops within about three seconds.
    #[default]
    Quick,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            missing_output: MissingOutput::Fail,
            log_tail_bytes: 16 * 1024,
            log_cap_bytes: 64 * 1024 * 1024,
            stop_grace_ms: 2_000,
            show_canceling: ShowCanceling::Quick,
            show_queued: true,
            backend_parameters: BTreeMap::new(),
        }
    }
}

impl Policy {
    pub(super) fn check(&self, problems: &mut Problems) {
        if self.log_tail_bytes > self.log_cap_bytes {
            problems.add("policy.log_tail_bytes", "is more than policy.log_cap_bytes, of which it is the end");
        }
        if self.log_tail_bytes > 1024 * 1024 {
            problems
                .add("policy.log_tail_bytes", "is above 1048576; tails are stored with every task, so keep them small");
        }
    }
}
