//! `[logs]`: how much of what tasks print is kept, and how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[logs]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logs {
    /// Days that whole logs are kept, counted from the creation of their tasks. The end of each stream stays with the
    /// task (`policy.log_tail_bytes`). Default 30.
    pub keep_days: u32,
    /// GiB that whole logs may take together; beyond them the oldest go. Default 10.
    pub keep_gb: f64,
    /// GiB that are left free on the disk of `server.data_dir`: below that no log is kept. Default 1.
    pub leave_free_gb: f64,
    /// How long an ended job is left where it is while its log cannot be kept, milliseconds. Default 600000.
    pub give_up_ms: u64,
}

impl Default for Logs {
    fn default() -> Self {
        Self { keep_days: 30, keep_gb: 10.0, leave_free_gb: 1.0, give_up_ms: 600_000 }
    }
}

impl Logs {
    /// Bytes that whole logs may take together.
    pub fn keep_bytes(&self) -> u64 {
        bytes(self.keep_gb)
    }

    /// Bytes that are left free on the disk.
    pub fn leave_free_bytes(&self) -> u64 {
        bytes(self.leave_free_gb)
    }

    /// How long an ended job is left where it is.
    pub fn give_up(&self) -> Duration {
        Duration::from_millis(self.give_up_ms)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        for (key, gib) in [("logs.keep_gb", self.keep_gb), ("logs.leave_free_gb", self.leave_free_gb)] {
            if !gib.is_finite() || gib < 0.0 {
                problems.add(key, format!("`{gib}` is no number of GiB"));
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked; what is too large is as much as there is.
fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)) as u64
}
