//! Which nodes the Pod may be given to.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as k8s;
use tessera_contract::{BackendError, Job};

use super::GPU_TYPE;
use crate::config::{KubernetesConfig, Toleration, is_label_value};

/// What a Pod says of nodes.
#[derive(Debug, Default)]
pub(super) struct Placement {
    pub(super) node_selector: Option<BTreeMap<String, String>>,
    pub(super) tolerations: Option<Vec<k8s::Toleration>>,
    pub(super) affinity: Option<k8s::Affinity>,
    pub(super) priority_class: Option<String>,
}

/// What the configuration says of all, and what the job is content with or insists on.
pub(super) fn of(config: &KubernetesConfig, job: &Job) -> Result<Placement, BackendError> {
    let mut selector = config.node_selector.clone();
    let mut tolerations: Vec<&Toleration> = config.tolerations.iter().collect();
    let mut priority_class = config.priority_class.clone();
    if job.preemptible {
        let preemptible = &config.preemptible;
        selector.extend(preemptible.node_selector.clone());
        tolerations.extend(&preemptible.tolerations);
        priority_class = preemptible.priority_class.clone().or(priority_class);
    }
    if let Some(kind) = job.parameters.get(GPU_TYPE) {
        selector.extend(nodes_with(config, kind)?);
    }
    let tolerations: Vec<_> = tolerations.into_iter().map(toleration).collect();
    Ok(Placement {
        node_selector: Some(selector).filter(|selector| !selector.is_empty()),
        tolerations: Some(tolerations).filter(|tolerations| !tolerations.is_empty()),
        affinity: zones(config, job)?,
        priority_class,
    })
}

fn nodes_with(config: &KubernetesConfig, kind: &str) -> Result<BTreeMap<String, String>, BackendError> {
    let kind = kind.trim();
    let mut known = config.gpu_types.iter();
    let found = known.find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(_, labels)| labels.clone());
    found.ok_or_else(|| {
        let known: Vec<String> = config.gpu_types.keys().map(|name| format!("`{name}`")).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        BackendError::Rejected(format!("there is no kind of GPU `{kind}` here; `gpu_type` knows: {known}"))
    })
}

fn zones(config: &KubernetesConfig, job: &Job) -> Result<Option<k8s::Affinity>, BackendError> {
    if job.zones.is_empty() || !config.honours_zones() {
        return Ok(None);
    }
    if let Some(zone) = job.zones.iter().find(|zone| zone.is_empty() || !is_label_value(zone)) {
        return Err(BackendError::Rejected(format!("{zone:?} is no name of a zone: no node can have such a label")));
    }
    let one_of = k8s::NodeSelectorRequirement {
        key: config.zone_label.clone(),
        operator: "In".to_owned(),
        values: Some(job.zones.clone()),
    };
    let term = k8s::NodeSelectorTerm { match_expressions: Some(vec![one_of]), match_fields: None };
    let node_affinity = k8s::NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(k8s::NodeSelector {
            node_selector_terms: vec![term],
        }),
        ..k8s::NodeAffinity::default()
    };
    Ok(Some(k8s::Affinity { node_affinity: Some(node_affinity), ..k8s::Affinity::default() }))
}

fn toleration(toleration: &Toleration) -> k8s::Toleration {
    k8s::Toleration {
        key: toleration.key.clone(),
        operator: Some(toleration.operator().to_owned()),
        value: toleration.value.clone(),
        effect: toleration.effect.clone(),
        toleration_seconds: toleration.seconds.map(i64::from),
    }
}
