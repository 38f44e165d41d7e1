//! What is handed to a backend: a task with TES subtracted.

use std::fmt;

use serde::{Deserialize, Serialize};
use tessera_runtime::plan::Plan;

/// A job's id: the same for the same attempt of the same task. Lower-case letters, digits and `-`, at most 63.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// The id of an attempt: `<task>-<attempt>`.
    pub fn of_attempt(task: &str, attempt: u32) -> Self {
        Self(format!("{task}-{attempt}"))
    }

    /// An id found outside, if it has the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        fits.then(|| Self(text.to_owned()))
    }

    /// The task and the attempt it stands for.
    pub fn attempt(&self) -> Option<(&str, u32)> {
        let (task, attempt) = self.0.rsplit_once('-')?;
        Some((task, attempt.parse().ok()?))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Marks every outside object of one server, so that two servers on one engine never touch each other's work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(pub String);

/// All that must be remembered of a job; only its backend knows what it means. What stands before the first `#` is
/// shown to people as the job's name, so it is one that they find on the backend.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(pub String);

/// What a task becomes when TES is subtracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Whom it belongs to; for labels only.
    pub owner: String,
    /// What is to be done. `plan.job` is `id`.
    pub plan: Plan,
    /// Capacity that may be reclaimed is good enough.
    pub preemptible: bool,
    /// Zones asked for; a wish.
    pub zones: Vec<String>,
    /// Backend parameters that this backend honours, keys in lower case.
    pub parameters: std::collections::BTreeMap<String, String>,
}
