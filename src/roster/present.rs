//! The servers that are here.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use ulid::Ulid;

use crate::store::{Holder, Present};

/// What is known of the servers on this store.
#[derive(Debug)]
pub struct Roster {
    holder: Holder,
    /// `None` where there is only one.
    known: Option<RwLock<Vec<Present>>>,
}

/// How a holder is seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is this server.
    Me,
    /// It is there.
    Here,
    /// It is not, since a moment if that is known: its tasks may be taken over.
    Away(Option<Timestamp>),
}

impl Roster {
    /// The roster of a server that has its store for itself.
    pub fn alone() -> Arc<Self> {
        Arc::new(Self { holder: Holder(Ulid::generate().to_string().to_ascii_lowercase()), known: None })
    }

    /// This server's present run.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The name of this server, the same after a restart; empty where there is only one.
    pub fn name(&self) -> &str {
        self.holder.replica()
    }

    /// Whether this server has its store for itself.
    pub fn is_alone(&self) -> bool {
        self.known.is_none()
    }

    /// Whether this server may act: its own word that it is there still holds.
    pub fn may_act(&self, now: Timestamp) -> bool {
        self.is_alone() || self.present().iter().any(|one| one.replica.holder == self.holder && one.until > now)
    }

    /// How a holder is seen. Where there is only one, all work is its own, whoever began it.
    pub fn sees(&self, holder: &Holder, now: Timestamp) -> Seen {
        if self.is_alone() || *holder == self.holder {
            return Seen::Me;
        }
        let known = self.present();
        let run = known.iter().find(|one| one.replica.holder == *holder);
        match run {
            Some(one) if one.until > now => Seen::Here,
            Some(one) => Seen::Away(Some(one.until)),
            // A former run, of a server that is there again or of one that is forgotten.
            None => Seen::Away(None),
        }
    }

    /// The server of this name, in its last run.
    pub fn named(&self, name: &str) -> Option<Present> {
        self.present().into_iter().find(|one| one.replica.name == name)
    }

    /// All servers that have said that they are there, by name; none where there is only one.
    pub fn present(&self) -> Vec<Present> {
        let Some(known) = &self.known else { return Vec::new() };
        known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
