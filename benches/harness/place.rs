//! Which store is measured: SQLite, or PostgreSQL where [`VARIABLE`] names a server.

use std::path::Path;

use anyhow::{Result, bail};

use super::rows::{self, Filling};

/// A URL of PostgreSQL whose user may make databases. `cargo xtask bench --store postgres` sets it.
pub const VARIABLE: &str = "TESSERA_BENCH_POSTGRES";

/// Nothing answers there: tasks are stored and wait, and no engine competes for the disk.
const NOBODY: &str = "[backends.docker]\nkind = \"docker\"\nhost = \"unix:///nonexistent/docker.sock\"\n";

/// Where tasks are stored.
pub enum Place {
    /// In a file of the server's data folder.
    Sqlite,
    /// On a server with this URL.
    Postgres(String),
}

impl Place {
    /// The one that was asked for.
    pub fn asked() -> Self {
        std::env::var(VARIABLE).map_or(Self::Sqlite, Self::Postgres)
    }

    /// Settings of a server whose tasks go nowhere.
    pub fn settings(&self) -> Result<String> {
        Ok(format!("{}{NOBODY}", self.store()?))
    }

    /// Settings of a server whose tasks go to the scripted backend; those that ask for `docker` wait.
    pub fn running(&self) -> Result<String> {
        let scripted = "[backends.scripted]\nkind = \"scripted\"\nin_memory = true\n";
        Ok(format!("{}[engine]\ndefault_backend = \"scripted\"\n{scripted}{NOBODY}", self.store()?))
    }

    fn store(&self) -> Result<String> {
        match self {
            Self::Sqlite => Ok(String::new()),
            Self::Postgres(url) => bail!("{url} is not measured here"),
        }
    }

    /// Makes sure that nothing lies in the store of a server that will be started.
    pub fn fresh(&self) -> Result<()> {
        match self {
            // Each server has a folder of its own.
            Self::Sqlite => Ok(()),
            Self::Postgres(url) => bail!("{url} is not measured here"),
        }
    }

    /// How much a store takes of the disk that no server is using.
    pub fn stored_bytes(&self, folder: &Path) -> Result<u64> {
        match self {
            Self::Sqlite => Ok(std::fs::metadata(folder.join("data").join("tessera.db"))?.len()),
            Self::Postgres(url) => bail!("{url} is not measured here"),
        }
    }

    /// Tasks that have ended, for a server that will be started in this folder; their ids.
    pub fn fill(&self, folder: &Path, tasks: u64, filling: Filling) -> Result<Vec<String>> {
        match self {
            Self::Sqlite => rows::into_sqlite(&folder.join("data").join("tessera.db"), tasks, filling),
            Self::Postgres(url) => bail!("{url} is not measured here"),
        }
    }
}
