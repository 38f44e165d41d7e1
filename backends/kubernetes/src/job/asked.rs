//! What every part of a Pod is made from.

use tessera_contract::Job;
use tessera_runtime::layout::Layout;
use tessera_runtime::plan::Plan;

use super::Setting;

/// What a Pod is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) setting: &'a Setting,
    pub(super) job: &'a Job,
    /// As the pod is to have it.
    pub(super) plan: &'a Plan,
    pub(super) layout: &'a Layout,
}
