//! Where a backend is.
//!
//! A backend that only its own machine can ask is called `docker@machine` in a store of several servers: what a task is
//! claimed for, and where its job is. What tasks ask for is `docker`.

use jiff::Timestamp;

use super::present::Roster;
use crate::clock::after;

/// Between the configured name of a backend and the server whose machine it is on. No configured name has it.
const AT: char = '@';

/// The name of a backend that is on a server's machine.
pub fn at_machine(backend: &str, server: &str) -> String {
    format!("{backend}{AT}{server}")
}

/// The server whose machine a backend is on, for one that is on a machine.
pub fn machine(backend: &str) -> Option<&str> {
    backend.split_once(AT).map(|(_, server)| server)
}

/// The configured name of a backend: what tasks ask for.
pub fn base(backend: &str) -> &str {
    backend.split_once(AT).map_or(backend, |(base, _)| base)
}

/// Where a backend is that is not one of this server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// With another server, which is here, or has been away since a moment and may come back.
    With {
        /// Its name.
        server: String,
        /// Since when it is away, if it is.
        away: Option<Timestamp>,
    },
    /// On the machine of a server that has been away for too long, since a moment if that is known.
    Lost {
        /// Its name.
        server: String,
        /// Since when.
        since: Option<Timestamp>,
    },
    /// With nobody.
    Nowhere,
}

impl Roster {
    /// Where a backend is that is not one of ours.
    pub fn whereabouts(&self, backend: &str, now: Timestamp) -> Whereabouts {
        if self.is_alone() {
            return Whereabouts::Nowhere;
        }
        let away = |until: Timestamp| (until <= now).then_some(until);
        match machine(backend) {
            // It is said by the one who knows: the machine itself, when it has no such backend any more.
            Some(server) if server == self.name() => Whereabouts::Nowhere,
            Some(server) => {
                let until = self.named(server).map(|one| one.until);
                // Servers that begin together do not know of each other: a machine is missed from our own beginning on.
                let missed = until.max(self.listens_since());
                match missed {
                    Some(missed) if after(missed, self.absent_after()) > now => {
                        Whereabouts::With { server: server.to_owned(), away: until.map_or(Some(missed), away) }
                    }
                    _ => Whereabouts::Lost { server: server.to_owned(), since: until },
                }
            }
            None => {
                // The one that is here, or was here last.
                let with = self.offers(backend, now).into_iter().map(|(one, _)| one).max_by_key(|one| one.until);
                with.map_or(Whereabouts::Nowhere, |one| Whereabouts::With {
                    away: away(one.until),
                    server: one.replica.name,
                })
            }
        }
    }
}
