//! The settings of one Docker backend.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// The socket of an engine that nobody has configured.
const USUAL_SOCKET: &str = "unix:///var/run/docker.sock";

/// One Docker (or Podman) engine and how it is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DockerConfig {
    /// Address of the engine: `unix:///path` or `tcp://host:port`. Default: `DOCKER_HOST`, otherwise
    /// `unix:///var/run/docker.sock`. The engine must see this host's files, so it runs on this host.
    pub host: Option<String>,
    /// Cores that jobs may use together. Default: those of the engine.
    pub cpu_cores: Option<f64>,
    /// GiB of memory that jobs may use together. Default: that of the engine.
    pub ram_gb: Option<f64>,
    /// Jobs at the same time. Default: no bound but cores and memory.
    pub jobs: Option<u64>,
    /// Processes and threads of one container. Default: 4096; 0 is no limit.
    pub pids_limit: u32,
    /// Milliseconds between SIGTERM and SIGKILL when a job is stopped. Default: what the server says for all.
    pub stop_grace_ms: Option<u64>,
    /// Whether a task may ask for `network = host`. Default: false.
    pub allow_host_network: bool,
    /// Tries of an image pull when the registry does not answer. Default: 3.
    pub pull_attempts: u32,
    /// Milliseconds before the second try, doubled before each further one. Default: 500.
    pub pull_backoff_ms: u64,
    /// Milliseconds without any movement after which a pull counts as failed. Default: 300000.
    pub pull_stall_ms: u64,
    /// How often a node that dies without getting anywhere is started again. Default: 5.
    pub node_restarts: u32,
    /// Logins for private registries; they come before those of Docker's own file.
    pub registries: Vec<Registry>,
    /// Docker's own file with logins. Default: `$DOCKER_CONFIG/config.json`, otherwise `~/.docker/config.json`.
    pub docker_config: Option<PathBuf>,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            host: None,
            cpu_cores: None,
            ram_gb: None,
            jobs: None,
            pids_limit: 4_096,
            stop_grace_ms: None,
            allow_host_network: false,
            pull_attempts: 3,
            pull_backoff_ms: 500,
            pull_stall_ms: 300_000,
            node_restarts: 5,
            registries: Vec::new(),
            docker_config: None,
        }
    }
}

impl DockerConfig {
    /// The engine's address.
    pub fn engine_host(&self) -> String {
        let from_environment = || std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        self.host.clone().or_else(from_environment).unwrap_or_else(|| USUAL_SOCKET.to_owned())
    }

    /// What is wrong with it: the key and a sentence.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let positive = |value: Option<f64>| value.is_none_or(|value| value.is_finite() && value > 0.0);
        let host = self.engine_host();
        if !["unix://", "tcp://", "http://"].iter().any(|scheme| host.starts_with(scheme)) {
            return Some(("host", format!("`{host}` is no address: use unix:///path or tcp://host:port")));
        }
        if !positive(self.cpu_cores) {
            return Some(("cpu_cores", "must be more than 0".to_owned()));
        }
        if !positive(self.ram_gb) {
            return Some(("ram_gb", "must be more than 0".to_owned()));
        }
        if self.jobs == Some(0) {
            return Some(("jobs", "must be at least 1; leave it out for no bound".to_owned()));
        }
        if self.pull_attempts == 0 {
            return Some(("pull_attempts", "must be at least 1".to_owned()));
        }
        None
    }
}

/// A login for one registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The registry's host as it stands in image names; `docker.io` for Docker Hub.
    pub server: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: Secret,
}

/// A text that never prints.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_that_does_not_exist_is_named() {
        let error = serde_json::from_str::<DockerConfig>(r#"{"cpu_core": 2}"#).unwrap_err();
        assert!(error.to_string().contains("cpu_core"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_is_named() {
        let table = [
            (r#"{"host": "ssh://x"}"#, "host"),
            (r#"{"cpu_cores": 0}"#, "cpu_cores"),
            (r#"{"ram_gb": -1}"#, "ram_gb"),
            (r#"{"jobs": 0}"#, "jobs"),
            (r#"{"pull_attempts": 0}"#, "pull_attempts"),
        ];
        for (text, key) in table {
            let config: DockerConfig = serde_json::from_str(text).unwrap();
            assert_eq!(config.problem().map(|(key, _)| key), Some(key), "{text}");
        }
        assert_eq!(DockerConfig { host: Some(USUAL_SOCKET.into()), ..Default::default() }.problem(), None);
    }

    #[test]
    fn a_password_never_prints() {
        let config: DockerConfig = serde_json::from_str(
            r#"{"registries": [{"server": "r.example", "username": "me", "password": "hunter2"}]}"#,
        )
        .unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.registries[0].password.reveal(), "hunter2");
    }
}
