//! How paths get into containers. The plan decides, never an adapter.

use crate::plan::Plan;
use crate::step::StepFile;

/// Where everything of a plan lies: what is mounted, what the tree must hold beforehand, what the wrapper copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What every executor's container mounts from the tree; none lies inside another.
    pub mounts: Vec<Mount>,
    /// Absolute container paths of the directories the tree must hold before inputs are brought in, parents first.
    pub directories: Vec<String>,
}

/// One bind mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path in the container.
    pub container: String,
    /// The same place in the tree, relative to its root.
    pub tree: String,
    /// A directory, there from the beginning. Otherwise an input: there once inputs are in, and usually a file.
    pub directory: bool,
}

/// Why a plan cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Not an absolute path without `..`.
    #[error("`{0}` is not an absolute path without `..`")]
    NotAbsolute(String),
    /// The root of the container.
    #[error("`/` itself cannot be an input, output or volume")]
    Root,
    /// Below `/.tessera`.
    #[error("`{0}` lies in `/.tessera`, which is reserved")]
    Reserved(String),
    /// In a file system of the kernel.
    #[error("`{0}` lies in a file system of the kernel")]
    Kernel(String),
}

impl Layout {
    /// Lays a plan out.
    pub fn of(plan: &Plan) -> Result<Self, LayoutError> {
        let _ = plan;
        unimplemented!("follows")
    }

    /// What the wrapper of one executor is told.
    pub fn step_file(&self, plan: &Plan, index: usize) -> StepFile {
        let _ = (plan, index);
        unimplemented!("follows")
    }
}
