//! `[telemetry]`: what the server says about itself.

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[telemetry]`. The log goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `text` for people, `json` for collectors. Default `text`.
    pub log_format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, also by module: `info,tessera::engine=debug`. Default `info`.
    pub log_level: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log_format: LogFormat::Text, log_level: "info".to_owned() }
    }
}

impl Telemetry {
    pub(super) fn check(&self, problems: &mut Problems) {
        if let Err(error) = self.log_level.parse::<tracing_subscriber::filter::Targets>() {
            problems.add("telemetry.log_level", format!("`{}`: {error}", self.log_level));
        }
    }
}
