//! The first word: a server takes its name, or is told who has it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::warn;
use ulid::Ulid;

use super::present::{Roster, run};
use crate::clock::{Clock, after};
use crate::store::{Enlisted, Holder, Offer, Present, Replica, Store, StoreError};

/// How soon a word is tried again, at the latest, that the store could not take.
const AGAIN: Duration = Duration::from_secs(1);

/// How long, at least, a store is waited for that answered when it was opened.
const STORE_BACK: Duration = Duration::from_secs(10);

/// A server that wants to join.
#[derive(Debug, Clone)]
pub struct Newcomer {
    /// Its name.
    pub name: String,
    /// The id of its data folder, which nobody else uses as long as it runs.
    pub seat: String,
    /// Where the others reach it, if they can.
    pub address: Option<String>,
    /// Its backends.
    pub backends: Vec<Offer>,
}

/// What the servers agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long a server's word that it is there holds.
    pub lease: Duration,
    /// How long a machine may be away before its tasks are settled without it.
    pub absent_after: Duration,
}

/// Why a server has not joined.
#[derive(Debug, thiserror::Error)]
pub enum NotJoined {
    /// Another server has its name.
    #[error(
        "another server{} runs under the name `{name}` on this store; give each server a `replica.name` of its own, or \
         stop the other one", .address.as_ref().map(|address| format!(" (at {address})")).unwrap_or_default()
    )]
    Taken {
        /// The name.
        name: String,
        /// Where the other one is, if it says so.
        address: Option<String>,
    },
    /// The store did not take its word.
    #[error("cannot enlist in the store: {0}")]
    Store(#[from] StoreError),
}

impl Roster {
    /// Says for the first time that this server is there. A name that another machine has is waited for, for a lease:
    /// its server may be dead. So is a store that cannot be reached for a moment. A former run on the same seat is dead.
    pub async fn join(
        store: &dyn Store,
        newcomer: Newcomer,
        terms: Terms,
        clock: &Clock,
    ) -> Result<Arc<Self>, NotJoined> {
        let Newcomer { name, seat, address, backends } = newcomer;
        let mut me = Replica { holder: Holder(format!("{name}/{}", run(clock.now()))), name, seat, address, backends };
        let give_up = after(clock.now(), terms.lease.saturating_add(terms.lease / 3));
        let wait_for_store = give_up.max(after(clock.now(), STORE_BACK));
        let mut told = false;
        loop {
            let now = clock.now();
            let until = after(now, terms.lease);
            let other = match store.enlist(&me, now, until).await {
                Ok(Enlisted::Here(all)) => {
                    let roster = Self::silent(me, terms);
                    if let Some(others) = roster.others() {
                        others.hear(all, until, now);
                    }
                    return Ok(Arc::new(roster));
                }
                Ok(Enlisted::Taken(other)) => other,
                // It answered when it was opened, a moment ago.
                Err(StoreError::Unavailable(reason)) if now < wait_for_store => {
                    warn!(name = me.name, reason, "cannot enlist in the store yet; trying again");
                    clock.sleep((terms.lease / 3).clamp(Duration::from_millis(1), AGAIN)).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if other.replica.seat == me.seat {
                // The clock was set back since: we hold the folder, so that run is over whatever its id says.
                me.holder = later(&me.name, &other);
                continue;
            }
            if now >= give_up {
                return Err(NotJoined::Taken { name: me.name, address: other.replica.address });
            }
            if !std::mem::replace(&mut told, true) {
                let address = other.replica.address.as_deref().unwrap_or("an address that it does not say");
                warn!(name = me.name, address, "another server has this name; waiting whether it is still there");
            }
            clock.sleep((terms.lease / 3).max(Duration::from_millis(1))).await;
        }
    }
}

/// A run later than another.
fn later(name: &str, than: &Present) -> Holder {
    let former = than.replica.holder.0.rsplit_once('/').and_then(|(_, run)| Ulid::from_string(run).ok());
    let next = former.and_then(|former| former.increment().ok()).map(|next| next.to_string().to_ascii_lowercase());
    Holder(format!("{name}/{}", next.unwrap_or_else(|| run(Timestamp::MAX))))
}
