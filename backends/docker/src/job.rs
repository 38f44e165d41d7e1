//! Our job → what its node is told. Pure.

use std::path::{Path, PathBuf};

use tessera_contract::{BackendError, InstallationId, Job};
use tessera_runtime::node::settings::{EngineSettings, NodeSettings, PullSettings, SETTINGS_VERSION};
use tessera_runtime::plan::{Network, Plan};

use crate::config::DockerConfig;
use crate::registry::{self, DockerFile};

/// Backend parameters that are honoured here (TES contract 13.6); the engine has turned them into limits.
pub(crate) const PARAMETERS: [&str; 4] = ["container_user", "gpu_count", "network", "walltime"];

/// What all jobs of one backend share.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) config: DockerConfig,
    pub(crate) installation: InstallationId,
    pub(crate) runtime_binary: PathBuf,
    pub(crate) bell: PathBuf,
}

/// The two documents of an attempt.
pub(crate) fn documents(
    setting: &Setting,
    file: &DockerFile,
    api: String,
    job: &Job,
) -> Result<(Plan, NodeSettings), BackendError> {
    let mut plan = job.plan.clone();
    plan.job = job.id.to_string();
    if plan.executors.is_empty() {
        return Err(BackendError::Rejected(format!("job {} has nothing to run", job.id)));
    }
    if plan.limits.network == Network::Host && !setting.config.allow_host_network {
        return Err(BackendError::Rejected(format!(
            "the network `host` is not allowed on `{}`: ask for `bridge` or `none`, or set \
             `allow_host_network`",
            setting.name
        )));
    }
    if let Some(grace) = setting.config.stop_grace_ms {
        plan.policy.stop_grace_ms = grace;
    }
    let config = &setting.config;
    let images = plan.executors.iter().map(|executor| executor.image.as_str());
    let settings = NodeSettings {
        version: SETTINGS_VERSION,
        backend: setting.name.clone(),
        installation: setting.installation.0.clone(),
        owner: job.owner.clone(),
        engine: EngineSettings { host: config.engine_host(), api: Some(api) },
        runtime_binary: setting.runtime_binary.clone(),
        bell: Some(setting.bell.clone()),
        pids_limit: Some(config.pids_limit).filter(|limit| *limit > 0),
        pull: PullSettings {
            attempts: config.pull_attempts,
            backoff_ms: config.pull_backoff_ms,
            stall_ms: config.pull_stall_ms,
        },
        logins: registry::logins(config, file, images),
    };
    Ok((plan, settings))
}

/// Where jobs live below a work directory.
pub(crate) fn bell_of(work: &Path) -> PathBuf {
    work.join("bell")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tessera_contract::JobId;

    fn job(plan: serde_json::Value) -> Job {
        Job {
            id: JobId::of_attempt("t", 1),
            owner: "o".into(),
            plan: serde_json::from_value(plan).unwrap(),
            preemptible: false,
            zones: Vec::new(),
            parameters: Default::default(),
        }
    }

    fn setting(config: serde_json::Value) -> Setting {
        Setting {
            name: "docker".into(),
            config: serde_json::from_value(config).unwrap(),
            installation: InstallationId("i".into()),
            runtime_binary: "/r".into(),
            bell: "/w/bell".into(),
        }
    }

    #[test]
    fn the_host_network_needs_leave() {
        let plan = serde_json::json!({"version": 1, "job": "", "limits": {"network": "host"},
            "executors": [{"image": "a", "command": ["true"]}]});
        let file = DockerFile::default();
        let refused = documents(&setting(serde_json::json!({})), &file, "1.41".into(), &job(plan.clone()));
        assert!(matches!(refused, Err(BackendError::Rejected(text)) if text.contains("`host`")));
        let setting = setting(serde_json::json!({"allow_host_network": true, "stop_grace_ms": 7, "pids_limit": 0}));
        let (plan, node) = documents(&setting, &file, "1.41".into(), &job(plan)).unwrap();
        assert_eq!((plan.job.as_str(), plan.policy.stop_grace_ms), ("t-1", 7));
        assert_eq!((node.pids_limit, node.engine.api.as_deref()), (None, Some("1.41")));
    }
}
