//! `[engine]`: how tasks are moved.

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[engine]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// How often is looked for changes that nobody rang for, milliseconds. Default 1000.
    pub poll_period_ms: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self { poll_period_ms: 1_000 }
    }
}

impl Engine {
    pub(super) fn check(&self, problems: &mut Problems) {
        if self.poll_period_ms == 0 {
            problems.add("engine.poll_period_ms", "0 would never rest; 1000 is the default");
        }
    }
}
