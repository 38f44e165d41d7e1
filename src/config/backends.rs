//! `[backends.NAME]`: places where tasks run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tessera_docker::config::DockerConfig;
use tessera_kubernetes::config::KubernetesConfig;
use toml::{Table, Value};

use super::overrides::Override;
use super::problem::Problems;
use super::read::shape;

/// `[backends]`: every place by its name, which tasks may ask for (`backend_parameters.backend`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Backends(pub BTreeMap<String, Backend>);

impl Default for Backends {
    /// Where nothing is configured, tasks run on this host's Docker engine.
    fn default() -> Self {
        Self(BTreeMap::from([("docker".to_owned(), Backend::Docker(DockerConfig::default()))]))
    }
}

/// One place, by its `kind`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Backend {
    /// `docker`: a Docker engine, or Podman's socket, on this host.
    Docker(DockerConfig),
    /// `kubernetes`: a namespace of a Kubernetes cluster.
    Kubernetes(Box<KubernetesConfig>),
    /// `scripted`: a fake that runs nothing, for tests and measurements.
    Scripted(Scripted),
}

/// The kinds, as they are written.
const KINDS: &str = "`docker`, `kubernetes` or `scripted`";

/// A fake backend whose jobs do as their images and commands say; nothing is ever run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scripted {
    /// The folder that holds its jobs, so that they outlive the server; a relative path lies below
    /// `server.data_dir`. Default `scripted/NAME`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Keep its jobs in memory instead: faster, and gone with the server. Default false.
    pub in_memory: bool,
    /// It is on this server's machine, as a Docker engine is: other servers on the same store cannot ask it. Default
    /// false.
    pub local: bool,
}

/// Reads the table of backends, each by itself, so that one wrong place does not hide what is wrong with another.
pub(super) fn read(written: Table, overrides: &[Override], problems: &mut Problems) -> Backends {
    let mut found = BTreeMap::new();
    for (name, value) in written {
        let key = format!("backends.{name}");
        if !is_name(&name) {
            problems.add(&key, "is no name: lower-case letters, digits and `-`, at most 32, a letter first");
        }
        let Value::Table(table) = value else {
            problems.add(&key, format!("is not a table; write [backends.{name}]"));
            continue;
        };
        if let Some(backend) = read_one(&key, table, overrides, problems) {
            found.insert(name, backend);
        }
    }
    Backends(found)
}

fn read_one(key: &str, mut table: Table, overrides: &[Override], problems: &mut Problems) -> Option<Backend> {
    let kind = table.remove("kind");
    match kind.as_ref().and_then(Value::as_str) {
        Some("docker") => {
            let docker: DockerConfig = shape(&mut table, key, overrides, problems)?;
            if let Some((below, reason)) = docker.problem() {
                problems.add(&format!("{key}.{below}"), reason);
            }
            Some(Backend::Docker(docker))
        }
        Some("kubernetes") => {
            let kubernetes: KubernetesConfig = shape(&mut table, key, overrides, problems)?;
            if let Some((below, reason)) = kubernetes.problem() {
                problems.add(&format!("{key}.{below}"), reason);
            }
            Some(Backend::Kubernetes(Box::new(kubernetes)))
        }
        Some("scripted") => Some(Backend::Scripted(shape(&mut table, key, overrides, problems)?)),
        Some(other) => {
            problems.add(&format!("{key}.kind"), format!("`{other}` is no kind of backend; use {KINDS}"));
            None
        }
        None => {
            problems.add(&format!("{key}.kind"), format!("missing, or no text; use {KINDS}"));
            None
        }
    }
}

/// A name that is good in labels, folders and variables.
fn is_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
