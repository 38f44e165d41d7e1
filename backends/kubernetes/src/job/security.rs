//! As whom containers run, and how closed in.

use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext};
use tessera_contract::BackendError;

use super::asked::Asked;
use crate::config::{KubernetesConfig, Security};

/// That of the Pod as a whole.
pub(super) fn of_pod(config: &KubernetesConfig) -> Option<PodSecurityContext> {
    let fs_group = Some(config.fs_group?);
    Some(PodSecurityContext { fs_group, ..PodSecurityContext::default() })
}

/// That of our own containers.
pub(super) fn of_ours(config: &KubernetesConfig) -> SecurityContext {
    context(config.ours.security.of_ours())
}

/// That of an executor: the task's `container_user` counts more than what is configured for all.
pub(super) fn of_task(asked: &Asked<'_>) -> Result<SecurityContext, BackendError> {
    let mut security = asked.setting.config.tasks.security.of_tasks();
    if let Some(user) = &asked.plan.limits.container_user {
        let (user, group) = by_number(user)?;
        if user == 0 && security.run_as_non_root == Some(true) {
            return Err(BackendError::Rejected(format!(
                "the backend parameter `container_user` asks for root, which `{}` does not allow",
                asked.setting.name
            )));
        }
        security.run_as_user = Some(user);
        security.run_as_group = group.or(security.run_as_group);
    }
    Ok(context(security))
}

/// `uid` or `uid:gid`. Who a name is stands in the image, which nobody but the kubelet looks into.
fn by_number(text: &str) -> Result<(i64, Option<i64>), BackendError> {
    let id = |text: &str| text.parse::<u32>().ok().filter(|id| i32::try_from(*id).is_ok()).map(i64::from);
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (id(user), id(group).map(Some)),
        None => (id(text), Some(None)),
    };
    user.zip(group).ok_or_else(|| {
        BackendError::Rejected(format!(
            "the backend parameter `container_user` is {text:?}; Kubernetes knows users by number alone: write `1000` \
             or `1000:1000`"
        ))
    })
}

fn context(security: Security) -> SecurityContext {
    let some = |list: Option<Vec<String>>| list.filter(|list| !list.is_empty());
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: some(security.add_capabilities),
            drop: some(security.drop_capabilities),
        }),
        read_only_root_filesystem: security.read_only_root,
        run_as_user: security.run_as_user,
        run_as_group: security.run_as_group,
        run_as_non_root: security.run_as_non_root,
        seccomp_profile: security.seccomp.as_deref().and_then(seccomp),
        ..SecurityContext::default()
    }
}

fn seccomp(text: &str) -> Option<SeccompProfile> {
    let (type_, localhost_profile) = match text.split_once(':') {
        Some((type_, file)) => (type_, Some(file.to_owned())),
        None => (text, None),
    };
    (!text.is_empty()).then(|| SeccompProfile { localhost_profile, type_: type_.to_owned() })
}
