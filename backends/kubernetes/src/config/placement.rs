//! Which nodes a pod may be given to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A taint that is no matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Toleration {
    /// The taint's key. Default: every key, with the operator `Exists`.
    pub key: Option<String>,
    /// `Equal` or `Exists`. Default: `Equal` where there is a value, otherwise `Exists`.
    pub operator: Option<String>,
    /// The taint's value, for `Equal`.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`. Default: all of them.
    pub effect: Option<String>,
    /// Seconds for which `NoExecute` is no matter. Default: for ever.
    pub seconds: Option<u32>,
}

impl Toleration {
    /// The operator that holds.
    pub fn operator(&self) -> &str {
        self.operator.as_deref().unwrap_or(if self.value.is_some() { "Equal" } else { "Exists" })
    }
}

/// What is added to a pod whose task is content with capacity that may be reclaimed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preemptible {
    /// Labels that a node must have. Default: none.
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are no matter. Default: none.
    pub tolerations: Vec<Toleration>,
    /// PriorityClass instead of that of other pods. Default: theirs.
    pub priority_class: Option<String>,
}
