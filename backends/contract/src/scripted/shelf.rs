//! Where jobs are kept.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tessera_runtime::plan::Plan;

use super::play::Effect;
use crate::{InstallationId, JobId};

/// A job as it was handed over. Never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whom it belongs to.
    pub owner: String,
    /// What is to be done.
    pub plan: Plan,
    /// When it was handed over.
    pub submitted: Timestamp,
}

/// A job's place: which installation's, and its id.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Whose it is.
    pub installation: &'a InstallationId,
    /// Its id.
    pub job: &'a JobId,
}

/// Keeps jobs, and marks on them that are set once.
pub trait Shelf: Send + Sync {
    /// Keeps a job; whoever comes first stands.
    fn put(&self, key: Key<'_>, kept: Kept) -> io::Result<()>;

    /// A job that is kept.
    fn get(&self, key: Key<'_>) -> io::Result<Option<Arc<Kept>>>;

    /// Sets a mark, unless it is set.
    fn mark(&self, key: Key<'_>, name: &str, text: &str) -> io::Result<()>;

    /// What a mark says, if it is set.
    fn marked(&self, key: Key<'_>, name: &str) -> io::Result<Option<String>>;

    /// Takes a mark away.
    fn unmark(&self, key: Key<'_>, name: &str) -> io::Result<()>;

    /// Carries out something outside, unless it was carried out under this name before.
    fn once(&self, key: Key<'_>, name: &str, effect: &Effect) -> io::Result<()>;

    /// Removes a job with its marks.
    fn remove(&self, key: Key<'_>) -> io::Result<()>;

    /// The jobs of an installation after an id, in order, at most so many.
    fn list(&self, installation: &InstallationId, after: Option<&JobId>, limit: usize) -> io::Result<Vec<JobId>>;

    /// How often [`Effect::Count`] was carried out for a mark.
    fn counted(&self, mark: &str) -> io::Result<usize>;
}

/// Appends a line to a file in one write.
pub(super) fn append(file: &Path, line: &str) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(file)?;
    file.write_all(format!("{line}\n").as_bytes())
}
