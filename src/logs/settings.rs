//! How much is kept, and how long.

use std::time::Duration;

/// What an operator may turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Days that a log is kept, counted from the creation of its task.
    pub keep_days: u32,
    /// Bytes that all logs may take together; beyond them the oldest go.
    pub keep_bytes: u64,
    /// Bytes that are left free on the disk: what else lies there, the store above all, needs them more.
    pub leave_free_bytes: u64,
    /// How long a job waits to be removed while its log cannot be kept.
    pub give_up: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { keep_days: 30, keep_bytes: 10 << 30, leave_free_bytes: 1 << 30, give_up: Duration::from_secs(600) }
    }
}
