//! A step as a container: its name, its labels, its body. Pure.
//!
//! Nothing of the task stands in the engine's hands but the image: command and environment travel in the step
//! file, so no engine expands, truncates or shows them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, DeviceRequest, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, RestartPolicy,
    RestartPolicyNameEnum,
};

use super::settings::NodeSettings;
use crate::plan::{Network, Plan};
use crate::stage::Shared;
use crate::step::{RUNTIME_PATH, STEP_PATH, TREE_PATH};

/// Label: the installation a container belongs to.
pub const INSTALLATION: &str = "tessera.installation";
/// Label: its job.
pub const JOB: &str = "tessera.job";
/// Label: the index of its executor.
pub const STEP: &str = "tessera.step";
/// Label: whom the job belongs to.
pub const OWNER: &str = "tessera.owner";
/// Label: the backend's name in the configuration.
pub const BACKEND: &str = "tessera.backend";

/// Capabilities that the engine gives by default and that no tool should need: raw sockets, device nodes,
/// writing to the kernel's audit log, and giving capabilities away.
const DROPPED: [&str; 5] = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP"];

/// The least memory of a container: below 6 MiB the engine refuses, and its own start and the wrapper need some.
const LEAST_MEMORY: u64 = 16 << 20;
/// The least thousandths of a core that the kernel takes.
const LEAST_CPU_MILLI: u64 = 10;

/// The container's name: the same for the same step of the same attempt, so that creating it twice is noticed.
pub fn name(installation: &str, job: &str, step: u32) -> String {
    let safe: String = installation.chars().filter(char::is_ascii_alphanumeric).collect();
    // The end of an id made from time and chance is the part that differs.
    let short = &safe[safe.len().saturating_sub(8)..];
    format!("tessera-{short}-{job}-{step}")
}

/// Where a step's files lie on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The step's own directory.
    pub step: PathBuf,
    /// The task's tree.
    pub tree: PathBuf,
    /// Host path and container path of each mount of the layout.
    pub mounts: Vec<(PathBuf, String)>,
    /// Inputs that are not in the tree.
    pub shared: Vec<Shared>,
    /// The quota of the container's own layer in bytes; only for an engine that has quotas.
    pub quota: Option<u64>,
}

/// What the engine is asked to create.
pub fn body(plan: &Plan, settings: &NodeSettings, step: u32, places: &Places) -> ContainerCreateBody {
    let image = plan.executors.get(step as usize).map(|executor| executor.image.clone());
    let labels = [
        (INSTALLATION, settings.installation.clone()),
        (JOB, plan.job.clone()),
        (STEP, step.to_string()),
        (OWNER, settings.owner.clone()),
        (BACKEND, settings.backend.clone()),
    ];
    ContainerCreateBody {
        image,
        user: plan.limits.container_user.clone(),
        entrypoint: Some(vec![RUNTIME_PATH.to_owned(), "exec".to_owned()]),
        labels: Some(HashMap::from(labels.map(|(key, value)| (key.to_owned(), value)))),
        // The wrapper listens for this one, whatever the image says.
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: i64::try_from(plan.policy.stop_grace_ms.div_ceil(1_000) + 1).ok(),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host_config(plan, settings, places)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(plan: &Plan, settings: &NodeSettings, places: &Places) -> HostConfig {
    let limits = &plan.limits;
    // A limit may be more than what was asked, and never less (TES contract 13.1).
    let memory = limits.ram_bytes.map(|bytes| i64::try_from(bytes.max(LEAST_MEMORY)).unwrap_or(i64::MAX));
    let nano_cpus = |milli: u64| i64::try_from(milli.max(LEAST_CPU_MILLI).saturating_mul(1_000_000));
    let mut mounts = vec![
        bind(&settings.runtime_binary, RUNTIME_PATH, true),
        bind(&places.step, STEP_PATH, false),
        bind(&places.tree, TREE_PATH, false),
    ];
    mounts.extend(places.mounts.iter().map(|(host, container)| bind(host, container, false)));
    mounts.extend(
        (places.shared.iter()).map(|shared| bind(Path::new(&shared.host), &shared.container, !shared.writable)),
    );
    HostConfig {
        mounts: Some(mounts),
        network_mode: Some(network(limits.network).to_owned()),
        nano_cpus: limits.cpu_milli.map(|milli| nano_cpus(milli).unwrap_or(i64::MAX)),
        memory,
        // The same bound for memory and swap together is no swap.
        memory_swap: memory,
        storage_opt: places.quota.map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())])),
        pids_limit: limits.pids.or(settings.pids_limit).map(i64::from),
        device_requests: limits.gpu_count.filter(|count| *count > 0).map(|count| {
            vec![DeviceRequest {
                count: Some(i64::from(count)),
                capabilities: Some(vec![vec!["gpu".to_owned()]]),
                ..DeviceRequest::default()
            }]
        }),
        readonly_rootfs: Some(false),
        // Retries are the server's business alone.
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        privileged: Some(false),
        cap_drop: Some(DROPPED.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        // The wrapper keeps the command's output; this holds only what the wrapper itself cannot do.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), "64k".to_owned()),
                ("max-file".to_owned(), "1".to_owned()),
            ])),
        }),
        ..HostConfig::default()
    }
}

/// As a typed mount: unlike in a bind string, a path may hold any character, and one that is missing is an
/// error instead of a new directory.
fn bind(host: &Path, container: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(host.to_string_lossy().into_owned()),
        target: Some(container.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    }
}

fn network(network: Network) -> &'static str {
    match network {
        Network::Bridge => "bridge",
        Network::None => "none",
        Network::Host => "host",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::node::settings::EngineSettings;

    fn plan() -> Plan {
        serde_json::from_value(serde_json::json!({
            "version": 1,
            "job": "t-1",
            "executors": [{"image": "a:1", "command": ["secret $HOME"], "env": {"TOKEN": "t0ken"}}],
            "limits": {"cpu_milli": 1500, "ram_bytes": 1 << 30, "gpu_count": 2, "network": "none", "container_user": "7"}
        }))
        .unwrap()
    }

    fn settings() -> NodeSettings {
        NodeSettings {
            version: 1,
            backend: "docker".into(),
            installation: "01hzy-ABCDEFGHIJ".into(),
            owner: "me \"\n".into(),
            engine: EngineSettings { host: "unix:///s".into(), api: None },
            runtime_binary: "/r".into(),
            bell: None,
            pids_limit: Some(512),
            pull: Default::default(),
            logins: Default::default(),
        }
    }

    fn places() -> Places {
        Places {
            step: "/w/t-1/steps/0".into(),
            tree: "/w/t-1/tree".into(),
            mounts: vec![("/w/t-1/tree/a:b".into(), "/a:b".into())],
            shared: vec![Shared { container: "/in/x".into(), host: "/w/t-1/inputs/0".into(), writable: false }],
            quota: None,
        }
    }

    #[test]
    fn rule_12_2_the_engine_sees_neither_command_nor_environment() {
        let body = body(&plan(), &settings(), 0, &places());
        let text = serde_json::to_string(&body).unwrap();
        assert!(!text.contains("secret") && !text.contains("t0ken"), "{text}");
        assert_eq!(body.entrypoint.unwrap(), ["/.tessera/runtime", "exec"]);
        assert_eq!((body.cmd, body.env), (None, None));
    }

    #[test]
    fn rule_13_2_limits_are_what_was_asked() {
        let body = body(&plan(), &settings(), 0, &places());
        assert_eq!(body.user.as_deref(), Some("7"));
        let host = body.host_config.unwrap();
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!(host.memory, Some(1 << 30));
        assert_eq!(host.memory_swap, host.memory);
        assert_eq!(host.pids_limit, Some(512));
        assert_eq!(host.network_mode.as_deref(), Some("none"));
        assert_eq!(host.device_requests.unwrap()[0].count, Some(2));
        assert_eq!(host.privileged, Some(false));
        assert_eq!(host.storage_opt, None, "most engines take no quota");
        let places = Places { quota: Some(1 << 20), ..places() };
        let quota = super::body(&plan(), &settings(), 0, &places).host_config.unwrap().storage_opt.unwrap();
        assert_eq!(quota["size"], (1 << 20).to_string());
    }

    #[test]
    fn rule_13_1_what_is_too_little_for_any_container_is_raised() {
        let mut plan = plan();
        plan.limits.cpu_milli = Some(1);
        plan.limits.ram_bytes = Some(1 << 20);
        let host = body(&plan, &settings(), 0, &places()).host_config.unwrap();
        assert_eq!((host.nano_cpus, host.memory), (Some(10_000_000), Some(16 << 20)));
        assert_eq!(host.memory_swap, host.memory);
    }

    #[test]
    fn rule_11_7_and_12_10_the_root_is_writable_and_nothing_is_started_again() {
        let host = body(&plan(), &settings(), 0, &places()).host_config.unwrap();
        assert_eq!(host.readonly_rootfs, Some(false));
        assert_eq!(host.restart_policy.unwrap().name, Some(RestartPolicyNameEnum::NO));
    }

    #[test]
    fn nothing_of_the_host_is_mounted_but_the_attempt_and_the_runtime() {
        let host = body(&plan(), &settings(), 0, &places()).host_config.unwrap();
        let mounts: Vec<_> = host
            .mounts
            .unwrap()
            .into_iter()
            .map(|m| (m.source.unwrap(), m.target.unwrap(), m.read_only.unwrap()))
            .collect();
        let expected = [
            ("/r", "/.tessera/runtime", true),
            ("/w/t-1/steps/0", "/.tessera/step", false),
            ("/w/t-1/tree", "/.tessera/tree", false),
            ("/w/t-1/tree/a:b", "/a:b", false),
            ("/w/t-1/inputs/0", "/in/x", true),
        ];
        assert_eq!(mounts, expected.map(|(h, c, r)| (h.to_owned(), c.to_owned(), r)));
        assert_eq!(host.binds, None);
    }

    #[test]
    fn names_differ_by_installation_job_and_step() {
        assert_eq!(name("01hzy-ABCDEFGHIJ", "t-1", 0), "tessera-CDEFGHIJ-t-1-0");
        assert_eq!(name("", "t-1", 3), "tessera--t-1-3");
    }
}
