//! What containers ask for, and what they may use.
//!
//! Executors run one after another, but Kubernetes adds up what the containers of a Pod ask for. So the first alone
//! asks for what each may use. What cannot be shared, a GPU, each has to ask for.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use tessera_contract::BackendError;

use super::GPU_TYPE;
use super::asked::Asked;
use crate::config::{KubernetesConfig, Ours};

type Quantities = BTreeMap<String, Quantity>;

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const STORAGE: &str = "ephemeral-storage";

/// The wrapper itself has to live in it.
const LEAST_MEMORY: u64 = 16 << 20;
/// Room beyond the bound on disk, so that the watch within the pod, which can tell what happened, comes first.
const LEAST_SLACK: u64 = 256 << 20;
/// Room for what is not the task's: logs, the journal, our own program.
const BESIDE: u64 = 1 << 30;

/// How much the volume with the task's files, or what a container has beside it, may take before the kubelet ends the
/// Pod.
pub(super) fn work_size(disk: u64) -> Quantity {
    bytes(disk.saturating_add(LEAST_SLACK.max(disk / 10)))
}

/// Those of stage-out. The limits of all containers together bound the Pod, where staged inputs lie twice for a moment:
/// what executors may not have is room for that.
pub(super) fn of_stage_out(ours: &Ours, disk: Option<u64>) -> ResourceRequirements {
    let mut found = of_ours(ours);
    if let Some(disk) = disk {
        let room = [(STORAGE, bytes(disk.saturating_add(BESIDE)))];
        found.limits.get_or_insert_default().extend(named(room));
        // A limit without a request would count as one.
        found.requests.get_or_insert_default().extend(named([(STORAGE, bytes(0))]));
    }
    found
}

/// Those of our own containers.
pub(super) fn of_ours(ours: &Ours) -> ResourceRequirements {
    let requests = [(CPU, milli(cores(ours.cpu_cores))), (MEMORY, bytes(gib(ours.ram_gb)))];
    let most = ours.cpu_cores_most.map(|most| (CPU, milli(cores(most))));
    let limits = most.into_iter().chain([(MEMORY, bytes(gib(ours.ram_gb_most)))]);
    ResourceRequirements { claims: None, requests: Some(named(requests)), limits: Some(named(limits)) }
}

/// Those of an executor.
pub(super) fn of_executor(asked: &Asked<'_>, index: usize) -> Result<ResourceRequirements, BackendError> {
    let limits = &asked.plan.limits;
    let cpu = limits.cpu_milli.filter(|milli| *milli > 0).map(milli);
    let memory = limits.ram_bytes.map(|ram| bytes(ram.max(LEAST_MEMORY)));
    let disk = limits.disk_bytes;
    // Of the container's own layer, which the watch within the pod does not see: the kubelet looks at it now and then.
    let storage = disk.map(work_size);
    let most = [(CPU, cpu.clone()), (MEMORY, memory.clone()), (STORAGE, storage)];
    let wanted = [(CPU, cpu), (MEMORY, memory), (STORAGE, disk.map(bytes))];
    let mut limits = said(most);
    // A limit without a request would count as one.
    let mut requests = if index == 0 { said(wanted) } else { named(wanted.map(|(name, _)| (name, bytes(0)))) };
    for (name, count) in whole(asked)? {
        limits.insert(name.clone(), bytes(count));
        requests.insert(name, bytes(count));
    }
    let some = |quantities: Quantities| (!quantities.is_empty()).then_some(quantities);
    Ok(ResourceRequirements { claims: None, requests: some(requests), limits: some(limits) })
}

/// Resources that are had in whole pieces or not at all.
fn whole(asked: &Asked<'_>) -> Result<BTreeMap<String, u64>, BackendError> {
    let KubernetesConfig { gpu_resource, extended_resources, .. } = &asked.setting.config;
    let parameters = &asked.job.parameters;
    // Who says which kind wants one.
    let gpus = asked.plan.limits.gpu_count.or_else(|| parameters.contains_key(GPU_TYPE).then_some(1));
    let mut found = BTreeMap::new();
    if let Some(gpus) = gpus.filter(|gpus| *gpus > 0) {
        found.insert(gpu_resource.clone(), u64::from(gpus));
    }
    for name in extended_resources {
        let Some(text) = parameters.get(&name.to_lowercase()) else { continue };
        let count: u32 = text.trim().parse().map_err(|_| {
            let why = format!("the backend parameter `{name}` is {text:?}, which is no whole number; write `1`");
            BackendError::Rejected(why)
        })?;
        if count > 0 {
            found.insert(name.clone(), u64::from(count));
        }
    }
    Ok(found)
}

fn named<'a>(quantities: impl IntoIterator<Item = (&'a str, Quantity)>) -> Quantities {
    quantities.into_iter().map(|(name, quantity)| (name.to_owned(), quantity)).collect()
}

fn said<'a>(quantities: impl IntoIterator<Item = (&'a str, Option<Quantity>)>) -> Quantities {
    named(quantities.into_iter().filter_map(|(name, quantity)| Some((name, quantity?))))
}

/// No quantity of Kubernetes is larger.
fn bounded(count: u64) -> u64 {
    count.min(i64::MAX.unsigned_abs())
}

fn bytes(count: u64) -> Quantity {
    Quantity(bounded(count).to_string())
}

fn milli(count: u64) -> Quantity {
    Quantity(format!("{}m", bounded(count)))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be positive.
fn cores(cores: f64) -> u64 {
    (cores * 1_000.0).ceil() as u64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked to be positive.
fn gib(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)).ceil() as u64
}
