//! `[store]`: where tasks are remembered.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file; a relative path lies below `server.data_dir`. A local disk, never a network share. Default
    /// `tessera.db`.
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
        if self.path.file_name().is_none() {
            problems.add("store.path", format!("`{}` names no file", self.path.display()));
        }
    }
}
