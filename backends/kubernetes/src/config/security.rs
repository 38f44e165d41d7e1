//! As whom and how closed in containers run.

use serde::{Deserialize, Serialize};

/// What stands in a container's security context. What is not said has a default that ours and tasks' containers do
/// not share. No container may ever gain privileges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// User, by number. Default: 0 for ours; for tasks their `container_user`, otherwise the image's.
    pub run_as_user: Option<i64>,
    /// Group, by number. Default: 0 for ours; for tasks their `container_user`, otherwise the image's.
    pub run_as_group: Option<i64>,
    /// Refuse to run as root. Default: not said.
    pub run_as_non_root: Option<bool>,
    /// The root file system is read-only. Default: true for ours, false for tasks.
    pub read_only_root: Option<bool>,
    /// Capabilities that are taken away, without `CAP_`; `ALL` is all.
    pub drop_capabilities: Option<Vec<String>>,
    /// Capabilities that are given.
    pub add_capabilities: Option<Vec<String>>,
    /// `RuntimeDefault`, `Unconfined`, `Localhost:FILE` (below the kubelet's own folder), or empty to say nothing.
    /// Default: `RuntimeDefault`.
    pub seccomp: Option<String>,
}

/// What runs of ours may do with files: read and remove whatever a task left, and give away what it is to have.
const OURS_ADD: [&str; 3] = ["CHOWN", "DAC_OVERRIDE", "FOWNER"];
/// What no task needs.
const TASKS_DROP: [&str; 5] = ["AUDIT_WRITE", "MKNOD", "NET_RAW", "SETFCAP", "SETPCAP"];
/// The runtime's own list of system calls.
const RUNTIME_DEFAULT: &str = "RuntimeDefault";

impl Security {
    /// Completed for our own containers.
    pub fn of_ours(&self) -> Self {
        let whole = self.clone().or(&["ALL"], &OURS_ADD, true);
        // Where somebody else was chosen, the group that goes with root is not meant.
        let group = if whole.run_as_user.is_none() { Some(0) } else { None };
        Self { run_as_user: whole.run_as_user.or(Some(0)), run_as_group: whole.run_as_group.or(group), ..whole }
    }

    /// Completed for the containers of tasks.
    pub fn of_tasks(&self) -> Self {
        self.clone().or(&TASKS_DROP, &[], false)
    }

    fn or(self, drop: &[&str], add: &[&str], read_only_root: bool) -> Self {
        let listed = |list: &[&str]| Some(list.iter().map(|&name| name.to_owned()).collect());
        Self {
            read_only_root: self.read_only_root.or(Some(read_only_root)),
            drop_capabilities: self.drop_capabilities.or_else(|| listed(drop)),
            add_capabilities: self.add_capabilities.or_else(|| listed(add)),
            seccomp: self.seccomp.or_else(|| Some(RUNTIME_DEFAULT.to_owned())),
            ..self
        }
    }
}
