//! What the doors are told by the configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::auth::Access;
use crate::task::Owner;

/// Everything about the doors that an operator decides.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who may call.
    pub access: Access,
    /// How much one request may take.
    pub bounds: Bounds,
    /// How the service introduces itself (TES contract §16).
    pub service: Service,
    /// Which places a task may name (TES contract 9.6, 9.7).
    pub places: Places,
    /// URL prefixes that really work, such as `file:///shared` (TES contract 16.3).
    pub storage: Vec<String>,
    /// The configured backends, as much of them as a caller is told.
    pub backends: Vec<BackendFacts>,
    /// Whether CANCELING is shown; `None`: where every backend stops soon (TES contract 14.7).
    pub show_canceling: Option<bool>,
    /// Show INITIALIZING in place of QUEUED, for clients that take QUEUED for a failure (TES contract 14.9).
    pub hide_queued: bool,
    /// Origins of web pages that may call; `*` is every origin. Empty: no CORS at all (TES contract 17.6).
    pub cors_origins: Vec<String>,
}

/// How much one request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Largest body, bytes; beyond it 413 (TES contract 4.10).
    pub body_bytes: usize,
    /// How long a body may take to arrive (then 408), and the store to answer a question (then 503).
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { body_bytes: 32 * 1024 * 1024, time: Duration::from_secs(30) }
    }
}

/// How the service introduces itself. `None` leaves an optional field out (TES contract 16.1, 16.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// A unique id, by custom a reversed domain name.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// A sentence for people.
    pub description: Option<String>,
    /// Who runs it.
    pub organization_name: String,
    /// Their web site, an absolute URL.
    pub organization_url: String,
    /// Where to ask: a URL or `mailto:`.
    pub contact_url: Option<String>,
    /// Where to read on.
    pub documentation_url: Option<String>,
    /// Such as `production` or `test`.
    pub environment: Option<String>,
    /// When the service was first offered.
    pub created: Option<Timestamp>,
    /// When it was last changed.
    pub updated: Option<Timestamp>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            id: "org.tessera".to_owned(),
            name: "Tessera".to_owned(),
            description: None,
            organization_name: "Tessera".to_owned(),
            organization_url: "http://localhost".to_owned(),
            contact_url: None,
            documentation_url: None,
            environment: None,
            created: None,
            updated: None,
        }
    }
}

/// Which places tasks may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// On this host.
    pub files: Files,
    /// Elsewhere.
    pub lists: Lists,
    /// Elsewhere, for single callers, whole.
    pub callers: BTreeMap<String, Lists>,
}

impl Places {
    /// The lists that hold for a caller.
    pub fn lists_of(&self, caller: &Owner) -> &Lists {
        self.callers.get(&caller.0).unwrap_or(&self.lists)
    }
}

/// Prefixes of URLs, in the form that the runtime compares (`tessera_runtime::storage::prefix`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// What may be used; empty is everything.
    pub allow: Vec<String>,
    /// What may not be used, even if allowed.
    pub deny: Vec<String>,
}

/// Which places of this host `file://` URLs and bare absolute paths may name. Compared as text, component by
/// component; links are resolved where the file is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Absolute directories below which they are allowed.
    pub roots: Vec<String>,
    /// Absolute directories that are refused even below a root: the server's own data.
    pub forbidden: Vec<String>,
}

/// A configured backend, as much of it as a caller is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendFacts {
    /// Its name; a task may ask for it with the parameter `backend` (TES contract 13.6).
    pub name: String,
    /// Lower-case keys of `backend_parameters` that it honours.
    pub parameters: Vec<String>,
    /// How long a cancelled job may go on at most.
    pub stops_within: Duration,
}

/// A secret that never prints. Only its digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret with this text.
    pub fn new(text: &str) -> Self {
        Self::of_bytes(text.as_bytes())
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub(super) fn is(&self, other: &Self) -> subtle::Choice {
        use subtle::ConstantTimeEq as _;
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
