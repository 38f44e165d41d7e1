//! `[store]`: where tasks are remembered.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file, below `server.data_dir`; on a local disk, never on a network share. Default `tessera.db`.
    pub path: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self { path: PathBuf::from("tessera.db") }
    }
}

impl Store {
    /// Where the file lies.
    pub fn below(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(&self.path)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        // Below the data folder, because that is what tasks are kept out of.
        let below = self.path.components().all(|part| matches!(part, Component::Normal(_)));
        if self.path.file_name().is_none() || !below {
            problems.add("store.path", format!("`{}` names no file below server.data_dir", self.path.display()));
        }
    }
}
