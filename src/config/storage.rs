//! `[storage.…]`: places that tasks may read from and write to.

use std::path::{Component, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[storage]`, one table a kind of storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// `[storage.file]`.
    pub file: FileStorage,
}

/// `[storage.file]`: `file://` URLs and bare absolute paths of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileStorage {
    /// Absolute folders below which tasks may read and write (TES contract 9.7). The server's own data is refused
    /// even below a root. Default none: file URLs are refused.
    pub roots: Vec<PathBuf>,
}

impl Storage {
    pub(super) fn check(&self, problems: &mut Problems) {
        for (index, root) in self.file.roots.iter().enumerate() {
            let plain = root.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
            if !root.is_absolute() || !plain {
                problems.add(
                    &format!("storage.file.roots[{index}]"),
                    format!("`{}` is not an absolute path without `..`", root.display()),
                );
            } else if root.to_str().is_none() {
                problems.add(&format!("storage.file.roots[{index}]"), "is not valid UTF-8");
            } else if !root.is_dir() {
                problems.add(
                    &format!("storage.file.roots[{index}]"),
                    format!("`{}` is no folder; make it, or take it out", root.display()),
                );
            }
        }
    }
}
