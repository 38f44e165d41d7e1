//! `[storage.cache]`: inputs kept on this host for the next task that asks for them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tessera_runtime::storage::settings;

use crate::config::problem::Problems;

/// Where it lies when nothing is said, below the data folder.
const FOLDER: &str = "cache";

/// `[storage.cache]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// How much it may hold, bytes; 0 keeps nothing. Default 21474836480 (20 GiB).
    pub max_bytes: u64,
    /// An absolute folder, best on the file system of `server.data_dir`, where a hit costs no copy. Empty: `cache`
    /// below `server.data_dir`. Default empty.
    pub dir: PathBuf,
}

impl Default for Cache {
    fn default() -> Self {
        Self { max_bytes: 20 * 1024 * 1024 * 1024, dir: PathBuf::new() }
    }
}

impl Cache {
    pub(super) fn check(&self, problems: &mut Problems) {
        if self.dir.as_os_str().is_empty() {
            return;
        }
        if let Err(reason) = super::file::plain(&self.dir) {
            problems.add("storage.cache.dir", reason);
        } else if self.dir.parent().is_none() {
            problems.add("storage.cache.dir", "is `/`; name a folder of its own");
        } else if self.dir.exists() && !self.dir.is_dir() {
            problems.add("storage.cache.dir", format!("`{}` is no folder", self.dir.display()));
        }
    }

    /// Where it lies, whether or not anything is kept.
    pub(super) fn folder(&self, data: &Path) -> PathBuf {
        // An empty path below another is that one.
        if self.dir.as_os_str().is_empty() { data.join(FOLDER) } else { self.dir.clone() }
    }

    /// In the words of the plan.
    pub(super) fn planned(&self, data: &Path) -> Option<settings::Cache> {
        let dir = self.folder(data).to_string_lossy().into_owned();
        (self.max_bytes > 0).then_some(settings::Cache { dir, max_bytes: self.max_bytes })
    }
}
