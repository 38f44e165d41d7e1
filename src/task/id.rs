//! How tasks and owners are named.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A task's id: 26 lower-case letters and digits, sortable by creation time, not to be guessed (TES contract 3.10).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(String);

impl TaskId {
    /// A new id for a task created at `at`; 80 of its bits are random.
    pub fn new(at: Timestamp) -> Self {
        let at_ms = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let random = ulid::Ulid::generate().random();
        Self(ulid::Ulid::from_parts(at_ms, random).to_string().to_ascii_lowercase())
    }

    /// A text that has the form of an id; anything else names no task.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        fits.then(|| Self(text.to_owned()))
    }

    /// When the task was created, as its id says.
    pub fn created(&self) -> Option<Timestamp> {
        let at_ms = ulid::Ulid::from_string(&self.0).ok()?.timestamp_ms();
        Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a task belongs to: the caller's name from the configuration, or [`Owner::anonymous`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub String);

impl Owner {
    /// Everybody, on a server without logins.
    pub fn anonymous() -> Self {
        Self("anonymous".to_owned())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
