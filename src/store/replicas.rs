//! Several servers on one store: who is here, and who does what only one of them should do.

use jiff::Timestamp;

use super::records::Holder;

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
    /// The configured names of its backends.
    pub backends: Vec<String>,
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
