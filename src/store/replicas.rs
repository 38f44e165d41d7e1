//! Several servers on one store: who is here, and who does what only one of them should do.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::records::Holder;

/// A server that has been away for so long is forgotten when another says that it is there.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A server among others on one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its name, the same after a restart.
    pub name: String,
    /// This run of it: new at every start.
    pub holder: Holder,
    /// The id of its data folder. Who holds that folder may take the name from a former run at once.
    pub seat: String,
    /// Where the others reach it, if they can: `http://10.0.0.5:8000`.
    pub address: Option<String>,
    /// Its backends.
    pub backends: Vec<Offer>,
}

/// A backend of a server, as the others know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its configured name: what tasks ask for.
    pub name: String,
    /// It is on that server's machine, and no other server can ask it.
    #[serde(default)]
    pub local: bool,
    /// Thousandths of a core it can carry; `None` is no bound.
    #[serde(default)]
    pub cpu_milli: Option<u64>,
    /// Bytes of memory it can carry; `None` is no bound.
    #[serde(default)]
    pub ram_bytes: Option<u64>,
}

/// A server that has said that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The server, in its last run.
    pub replica: Replica,
    /// Until when it is taken to be there. A moment that has passed: it is away since then.
    pub until: Timestamp,
}

/// What came of a server's word that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enlisted {
    /// It is; these have ever said so, itself included, by name.
    Here(Vec<Present>),
    /// Another run with another seat has the name and is there, or a later run of the same seat has replaced this one.
    Taken(Present),
}

/// What a backend has room for, all servers together; `None` is no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ceiling {
    /// Jobs at once.
    pub jobs: Option<u64>,
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes of memory.
    pub ram_bytes: Option<u64>,
}

/// How often other servers have left work: counters that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// Tasks that wait.
    pub queued: u64,
    /// Tasks whose cancel was requested.
    pub canceled: u64,
}
