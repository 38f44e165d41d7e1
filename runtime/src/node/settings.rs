//! What a node must know beside the plan: the engine, whose work this is, and how patient to be.
//!
//! Versioned JSON, written by the server into the attempt's directory, under the same rules as the plan.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The version this build writes, and the highest one it reads.
pub const SETTINGS_VERSION: u32 = 1;

/// Everything that concerns the host and the installation rather than the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSettings {
    /// See [`SETTINGS_VERSION`].
    pub version: u32,
    /// The backend's name in the server's configuration; it stands in messages and labels.
    pub backend: String,
    /// The installation's id; it stands in the name and the labels of every container.
    pub installation: String,
    /// Whom the job belongs to; for labels only.
    #[serde(default)]
    pub owner: String,
    /// The container engine.
    pub engine: EngineSettings,
    /// The static runtime on the host, mounted read-only in every container.
    pub runtime_binary: PathBuf,
    /// The server's FIFO, which is rung when something has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bell: Option<PathBuf>,
    /// Processes and threads of each container where the plan does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<u32>,
    /// How image pulls are repeated.
    #[serde(default)]
    pub pull: PullSettings,
    /// Logins for the images of this plan, by image reference. The file is readable by its owner only.
    #[serde(default)]
    pub logins: BTreeMap<String, RegistryLogin>,
}

/// How the engine is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineSettings {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`.
    pub host: String,
    /// The API version the server has negotiated; a node that is started again asks for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
}

/// How often and how patiently a pull is repeated when the registry does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PullSettings {
    /// Tries in all, at least one.
    pub attempts: u32,
    /// Milliseconds before the second try; doubled before each further one.
    pub backoff_ms: u64,
    /// Milliseconds without any movement after which a try counts as failed.
    pub stall_ms: u64,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self { attempts: 3, backoff_ms: 500, stall_ms: 300_000 }
    }
}

/// A login for one registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryLogin {
    /// The registry's host, as the engine is told.
    pub server: String,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// A token in place of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_token: Option<String>,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin")
            .field("server", &self.server)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_smallest_file_of_version_one_is_read() {
        let settings: NodeSettings = serde_json::from_str(
            r#"{"version":1,"backend":"docker","installation":"i","engine":{"host":"unix:///s"},"runtime_binary":"/r","from_the_future":1}"#,
        )
        .unwrap();
        assert_eq!(settings.pull, PullSettings::default());
        assert!(settings.logins.is_empty());
    }

    #[test]
    fn a_login_never_prints_its_secrets() {
        let login = RegistryLogin {
            server: "r.example".into(),
            username: Some("me".into()),
            password: Some("hunter2".into()),
            identity_token: Some("tok".into()),
        };
        let printed = format!("{login:?}");
        assert!(!printed.contains("hunter2") && !printed.contains("tok\""), "{printed}");
        assert_eq!(serde_json::from_str::<RegistryLogin>(&serde_json::to_string(&login).unwrap()).unwrap(), login);
    }
}
