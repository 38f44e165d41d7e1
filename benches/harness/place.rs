//! Which store is measured, and how it is filled. Another store is another [`Place`].

use std::path::Path;

use anyhow::Result;

use super::rows::{self, Filling};

/// Nothing answers there: tasks are stored and wait, and no engine competes for the disk.
const NOBODY: &str = "[backends.docker]\nkind = \"docker\"\nhost = \"unix:///nonexistent/docker.sock\"\n";

/// Where tasks are stored.
pub enum Place {
    /// In a file of the server's data folder. Each server has a folder of its own.
    Sqlite,
}

impl Place {
    /// Settings of a server whose tasks go nowhere.
    pub fn settings(&self) -> String {
        match self {
            Self::Sqlite => NOBODY.to_owned(),
        }
    }

    /// Settings of a server whose tasks go to the scripted backend; those that ask for `docker` wait.
    pub fn running(&self) -> String {
        let scripted = "[backends.scripted]\nkind = \"scripted\"\nin_memory = true\n";
        format!("[engine]\ndefault_backend = \"scripted\"\n{scripted}{}", self.settings())
    }

    /// How much a store takes of the disk that no server is using.
    pub fn stored_bytes(&self, folder: &Path) -> Result<u64> {
        match self {
            Self::Sqlite => Ok(std::fs::metadata(folder.join("data").join("tessera.db"))?.len()),
        }
    }

    /// Tasks that have ended, for a server that will be started in this folder; their ids.
    pub fn fill(&self, folder: &Path, tasks: u64, filling: Filling) -> Result<Vec<String>> {
        match self {
            Self::Sqlite => rows::into_sqlite(&folder.join("data").join("tessera.db"), tasks, filling),
        }
    }
}
