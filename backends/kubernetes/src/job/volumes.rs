//! The volumes, and who sees what of them. See [`places`] for the picture.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, HostPathVolumeSource, PersistentVolumeClaimVolumeSource, ProjectedVolumeSource,
    SecretVolumeSource, ServiceAccountTokenProjection, Volume, VolumeMount, VolumeProjection,
};
use tessera_runtime::node::attempt;
use tessera_runtime::pod::places;
use tessera_runtime::step::{RUNTIME_PATH, STEP_PATH, TREE_PATH};

use super::asked::Asked;
use super::resources::work_size;
use crate::config::KubernetesConfig;
use crate::names;

const WORK: &str = "work";
const PRIVATE: &str = "private";
const PLAN: &str = "plan";
const IDENTITY: &str = "identity";
/// Name of the token below [`places::IDENTITY`].
const TOKEN: &str = "token";

/// What the operator has configured, by its place in the list.
fn configured(index: usize) -> String {
    format!("mount-{index}")
}

fn secret(index: usize) -> String {
    format!("secret-{index}")
}

/// All volumes of the Pod.
pub(super) fn volumes(asked: &Asked<'_>) -> Vec<Volume> {
    let config = &asked.setting.config;
    let named = |name: &str| Volume { name: name.to_owned(), ..Volume::default() };
    let empty = |size_limit| Some(EmptyDirVolumeSource { medium: None, size_limit });
    let of_secret =
        |name: String| Some(SecretVolumeSource { secret_name: Some(name), ..SecretVolumeSource::default() });
    let mut volumes = vec![
        Volume { empty_dir: empty(asked.plan.limits.disk_bytes.map(work_size)), ..named(WORK) },
        Volume { empty_dir: empty(None), ..named(PRIVATE) },
        Volume { secret: of_secret(names::object(&asked.setting.installation, &asked.job.id)), ..named(PLAN) },
    ];
    if let Some(identity) = &config.identity {
        let token = ServiceAccountTokenProjection {
            audience: Some(identity.audience.clone()),
            expiration_seconds: Some(i64::from(identity.expiration_s)),
            path: TOKEN.to_owned(),
        };
        let source = VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() };
        let projected = ProjectedVolumeSource { default_mode: None, sources: Some(vec![source]) };
        volumes.push(Volume { projected: Some(projected), ..named(IDENTITY) });
    }
    for (index, known) in config.identity_secrets.iter().enumerate() {
        volumes.push(Volume { secret: of_secret(known.name.clone()), ..named(&secret(index)) });
    }
    for (index, mount) in config.mounts.iter().enumerate() {
        let claim = mount.claim.clone().map(|claim_name| PersistentVolumeClaimVolumeSource {
            claim_name,
            read_only: mount.read_only.then_some(true),
        });
        let host_path = mount.host_path.clone().map(|path| HostPathVolumeSource { path, type_: None });
        volumes.push(Volume { persistent_volume_claim: claim, host_path, ..named(&configured(index)) });
    }
    volumes
}

/// What stage-in sees: all there is, and where the runtime goes.
pub(super) fn of_stage_in(asked: &Asked<'_>) -> Vec<VolumeMount> {
    let mut mounts = of_ours(&asked.setting.config);
    mounts.push(below(WORK, places::WORK_BIN, places::BIN));
    mounts
}

/// What stage-out sees.
pub(super) fn of_stage_out(asked: &Asked<'_>) -> Vec<VolumeMount> {
    of_ours(&asked.setting.config)
}

fn of_ours(config: &KubernetesConfig) -> Vec<VolumeMount> {
    let attempt = places::ATTEMPT;
    let mut mounts = vec![
        whole(PRIVATE, attempt),
        below(WORK, places::WORK_TREE, &format!("{attempt}/{}", attempt::TREE)),
        below(WORK, places::WORK_STEPS, &format!("{attempt}/{}", attempt::STEPS)),
        read_only(whole(PLAN, places::PLAN)),
    ];
    if config.identity.is_some() {
        mounts.push(read_only(whole(IDENTITY, places::IDENTITY)));
    }
    let secrets = config.identity_secrets.iter().enumerate();
    mounts.extend(secrets.map(|(index, known)| read_only(whole(&secret(index), &known.path))));
    for (index, mount) in config.mounts.iter().enumerate() {
        let seen = whole(&configured(index), &mount.path);
        mounts.push(if mount.read_only { read_only(seen) } else { seen });
    }
    mounts
}

/// What an executor sees: the runtime, its own step directory, the task's files.
pub(super) fn of_executor(asked: &Asked<'_>, index: usize) -> Vec<VolumeMount> {
    let runtime = format!("{}/{}", places::WORK_BIN, places::RUNTIME_NAME);
    let mut mounts = vec![
        read_only(below(WORK, &runtime, RUNTIME_PATH)),
        below(WORK, &format!("{}/{index}", places::WORK_STEPS), STEP_PATH),
        below(WORK, places::WORK_TREE, TREE_PATH),
    ];
    mounts.extend(asked.layout.mounts.iter().map(|mount| {
        let in_tree = format!("{}/{}", places::WORK_TREE, mount.tree);
        below(WORK, &in_tree, &mount.container)
    }));
    mounts
}

fn whole(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..VolumeMount::default() }
}

fn below(volume: &str, sub_path: &str, path: &str) -> VolumeMount {
    VolumeMount { sub_path: Some(sub_path.to_owned()), ..whole(volume, path) }
}

fn read_only(mount: VolumeMount) -> VolumeMount {
    VolumeMount { read_only: Some(true), ..mount }
}
