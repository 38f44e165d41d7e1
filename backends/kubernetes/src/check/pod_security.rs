//! Whether the namespace's Pod Security would refuse our pods.
//!
//! The cluster takes such a Job and refuses its Pod, so that a Job that is tried with `dryRun` does not show it. The
//! namespace's label does.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, Namespace, PodSpec};
use tessera_contract::{Finding, Severity};

/// What the namespace enforces.
const ENFORCED: &str = "pod-security.kubernetes.io/enforce";

/// A warning when pods like the sample's would be refused: whom the cluster exempts is not known here.
pub(super) fn refuses(namespace: &Namespace, sample: &Job) -> Option<Finding> {
    let level = namespace.metadata.labels.as_ref()?.get(ENFORCED)?;
    let pod = sample.spec.as_ref()?.template.spec.as_ref()?;
    let advice = match level.as_str() {
        "restricted" | "baseline" if mounts_of_nodes(pod) => "have no `mounts` with a `host_path`",
        "restricted" if !containers(pod).all(is_restricted) => {
            "set `fs_group`, `ours.security` and `tasks.security` as docs/kubernetes.md shows"
        }
        _ => return None,
    };
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let message = format!("`{name}` enforces `{level}`, which refuses our pods as they are configured: {advice}");
    Some(super::finding(Severity::Warning, "pod security", message))
}

fn containers(pod: &PodSpec) -> impl Iterator<Item = &Container> {
    pod.init_containers.iter().flatten().chain(&pod.containers)
}

fn mounts_of_nodes(pod: &PodSpec) -> bool {
    pod.volumes.iter().flatten().any(|volume| volume.host_path.is_some())
}

/// What configuration may have loosened; the rest is always as it should be.
fn is_restricted(container: &Container) -> bool {
    container.security_context.as_ref().is_some_and(|closed| {
        let capabilities = closed.capabilities.as_ref();
        let added = capabilities.and_then(|these| these.add.as_deref()).unwrap_or_default();
        let dropped = capabilities.and_then(|these| these.drop.as_deref()).unwrap_or_default();
        closed.run_as_non_root == Some(true)
            && closed.run_as_user != Some(0)
            && added.iter().all(|name| name == "NET_BIND_SERVICE")
            && dropped.iter().any(|name| name == "ALL")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use k8s_openapi::api::core::v1::{Capabilities, HostPathVolumeSource, SecurityContext, Volume};

    use super::*;

    fn sample(user: i64, add: &[&str], host_path: bool) -> Job {
        let capabilities = Capabilities {
            add: Some(add.iter().map(|&name| name.to_owned()).collect()),
            drop: Some(vec!["ALL".to_owned()]),
        };
        let closed = SecurityContext {
            run_as_user: Some(user),
            run_as_non_root: Some(user != 0),
            capabilities: Some(capabilities),
            ..SecurityContext::default()
        };
        let mut job = Job::default();
        let pod = job.spec.get_or_insert_default().template.spec.get_or_insert_default();
        pod.containers = vec![Container { security_context: Some(closed), ..Container::default() }];
        let from_node = Volume { host_path: Some(HostPathVolumeSource::default()), ..Volume::default() };
        pod.volumes = host_path.then(|| vec![from_node]);
        job
    }

    fn enforcing(level: &str) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.labels = Some([(ENFORCED.to_owned(), level.to_owned())].into());
        namespace
    }

    #[test]
    fn a_namespace_that_would_refuse_our_pods_is_a_warning() {
        let ours = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];
        let table = [
            ("restricted", sample(0, &ours, false), true),
            ("restricted", sample(65532, &ours, false), true),
            ("restricted", sample(65532, &[], false), false),
            ("restricted", sample(65532, &[], true), true),
            ("baseline", sample(0, &ours, false), false),
            ("baseline", sample(0, &ours, true), true),
            ("privileged", sample(0, &ours, true), false),
        ];
        for (level, job, refused) in table {
            assert_eq!(refuses(&enforcing(level), &job).is_some(), refused, "{level}: {job:?}");
        }
        assert!(refuses(&Namespace::default(), &sample(0, &ours, true)).is_none(), "nothing is enforced");
    }
}
