//! Bringing inputs in and delivering outputs.

use crate::plan::Plan;
use crate::report::{DeliveredFile, Fault};
use crate::tree::Tree;

/// What a delivery came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Files that lie durably at their URLs.
    pub files: Vec<DeliveredFile>,
    /// Sentences for the task's system log.
    pub notes: Vec<String>,
    /// The first thing that went wrong and counts.
    pub fault: Option<Fault>,
}

/// Brings all inputs into the tree; answers sentences for the task's system log. Dropping the future stops it.
/// Doing it again after a crash is harmless.
pub async fn bring_in(plan: &Plan, tree: &Tree) -> Result<Vec<String>, Fault> {
    let _ = (plan, tree);
    unimplemented!("follows")
}

/// Delivers all outputs. After a failed executor whatever exists is delivered, and nothing that goes wrong is a
/// fault (TES contract 10.3). Dropping the future stops it.
pub async fn deliver(plan: &Plan, tree: &Tree, after_failure: bool) -> Delivered {
    let _ = (plan, tree, after_failure);
    unimplemented!("follows")
}
