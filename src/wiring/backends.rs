//! The places where tasks run.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{Backend, Bell, InstallationId};
use tessera_docker::Docker;
use tessera_kubernetes::{Kubernetes, PlanShelf};

use crate::config::{self, Config};
use crate::embedded;
use crate::roster::at_machine;

/// Whether other servers cannot ask it.
fn is_local(backend: &config::Backend) -> bool {
    match backend {
        config::Backend::Docker(_) => true,
        config::Backend::Kubernetes(_) => false,
        config::Backend::Scripted(scripted) => scripted.local,
    }
}

/// What is open.
pub(super) struct Opened {
    /// The backends.
    pub(super) backends: Vec<Arc<dyn Backend>>,
    /// What jobs fetch that a backend could not hand them.
    pub(super) plans: Vec<Arc<PlanShelf>>,
}

/// The configured backends; the one for tasks that ask for none comes first. Among several servers, what is on this
/// one's machine is called after it, and its jobs are no other server's.
pub(super) async fn open(
    config: &Config,
    data: &Path,
    work: &Path,
    installation: &InstallationId,
    among: Option<&str>,
) -> anyhow::Result<Opened> {
    let mut opened = Opened { backends: Vec::new(), plans: Vec::new() };
    for (key, backend) in &config.backends.0 {
        let machine = among.filter(|_| is_local(backend));
        let name = &machine.map_or_else(|| key.clone(), |server| at_machine(key, server));
        let installation = &machine
            .map_or_else(|| installation.clone(), |server| InstallationId(format!("{server}-{}", installation.0)));
        let backend: Arc<dyn Backend> = match backend {
            config::Backend::Docker(docker) => {
                let mut docker = docker.clone();
                docker.stop_grace_ms = docker.stop_grace_ms.or(Some(config.policy.stop_grace_ms));
                let runtime = embedded::lay_out(data)?;
                let (installation, work) = (installation.clone(), work.join(key));
                Docker::open(name, docker, installation, work, runtime, Bell::default()).await?
            }
            config::Backend::Kubernetes(kubernetes) => {
                let mut kubernetes = kubernetes.as_ref().clone();
                kubernetes.stop_grace_ms = kubernetes.stop_grace_ms.or(Some(config.policy.stop_grace_ms));
                let (installation, folder) = (installation.clone(), work.join(key));
                let kubernetes = Kubernetes::open(name, kubernetes, installation, folder, Bell::default()).await?;
                opened.plans.push(kubernetes.plans());
                kubernetes
            }
            config::Backend::Scripted(scripted) if scripted.in_memory => {
                let memory = Scripted::new(Outside::in_memory(), installation.clone());
                Arc::new(memory.named(name).local(scripted.local))
            }
            config::Backend::Scripted(scripted) => {
                let local = scripted.local;
                let folder = scripted.folder.clone().unwrap_or_else(|| Path::new("scripted").join(key));
                let folder = data.join(folder);
                let scripted = Scripted::in_folder(&folder, installation.clone());
                let scripted = scripted.with_context(|| format!("backend `{name}`: `{}`", folder.display()))?;
                Arc::new(scripted.named(name).local(local))
            }
        };
        let is_default = *key == config.engine.default_backend;
        let at = if is_default { 0 } else { opened.backends.len() };
        opened.backends.insert(at, backend);
    }
    Ok(opened)
}
