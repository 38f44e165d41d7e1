//! The places where tasks run.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{Backend, Bell, InstallationId};
use tessera_docker::Docker;

use crate::config::{self, Config};
use crate::embedded;

/// The configured backends; the one for tasks that ask for none comes first.
pub(super) async fn open(
    config: &Config,
    data: &Path,
    work: &Path,
    installation: &InstallationId,
) -> anyhow::Result<Vec<Arc<dyn Backend>>> {
    let mut opened: Vec<Arc<dyn Backend>> = Vec::new();
    for (name, backend) in &config.backends.0 {
        let backend: Arc<dyn Backend> = match backend {
            config::Backend::Docker(docker) => {
                let mut docker = docker.clone();
                docker.stop_grace_ms = docker.stop_grace_ms.or(Some(config.policy.stop_grace_ms));
                let runtime = embedded::lay_out(data)?;
                let (installation, work) = (installation.clone(), work.join(name));
                Docker::open(name, docker, installation, work, runtime, Bell::default()).await?
            }
            config::Backend::Scripted(scripted) if scripted.in_memory => {
                Arc::new(Scripted::new(Outside::in_memory(), installation.clone()).named(name))
            }
            config::Backend::Scripted(scripted) => {
                let folder = scripted.folder.clone().unwrap_or_else(|| Path::new("scripted").join(name));
                let folder = data.join(folder);
                let scripted = Scripted::in_folder(&folder, installation.clone());
                let scripted = scripted.with_context(|| format!("backend `{name}`: `{}`", folder.display()))?;
                Arc::new(scripted.named(name))
            }
        };
        let is_default = *name == config.engine.default_backend;
        opened.insert(if is_default { 0 } else { opened.len() }, backend);
    }
    Ok(opened)
}
