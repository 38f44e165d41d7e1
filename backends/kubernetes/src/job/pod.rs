//! The Pod.

use k8s_openapi::api::core::v1::{LocalObjectReference, PodSpec};
use tessera_contract::BackendError;

use super::asked::Asked;
use super::{containers, placement, security, volumes};

/// Beyond the time that a command has to end: the wrapper's and ours, to record it.
const OURS_TAKES_S: i64 = 2;

/// stage-in first, alone; then everything else at once, stage-out in front.
pub(super) fn pod(asked: &Asked<'_>) -> Result<PodSpec, BackendError> {
    let config = &asked.setting.config;
    let placement = placement::of(config, asked.job)?;
    let secrets = config.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    Ok(PodSpec {
        init_containers: Some(vec![containers::stage_in(asked)]),
        containers: containers::beside(asked)?,
        volumes: Some(volumes::volumes(asked)),
        restart_policy: Some("Never".to_owned()),
        service_account_name: config.service_account.clone(),
        // No command may talk to the cluster, and none sees which services there are.
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(grace_s(asked.plan.policy.stop_grace_ms)),
        image_pull_secrets: if config.image_pull_secrets.is_empty() { None } else { Some(secrets.collect()) },
        runtime_class_name: config.runtime_class.clone(),
        priority_class_name: placement.priority_class,
        node_selector: placement.node_selector,
        tolerations: placement.tolerations,
        affinity: placement.affinity,
        security_context: security::of_pod(config),
        ..PodSpec::default()
    })
}

fn grace_s(grace_ms: u64) -> i64 {
    i64::try_from(grace_ms.div_ceil(1_000)).unwrap_or(i64::MAX).saturating_add(OURS_TAKES_S)
}
