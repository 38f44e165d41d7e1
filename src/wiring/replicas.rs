//! This server as one of several on its store, where the store is shared.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tessera_contract::Backend;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::background::Parts;
use super::seat::{Seat, host_name};
use crate::clock::Clock;
use crate::config;
use crate::roster::{Newcomer, Roster, Terms, base};
use crate::store::{Offer, Store};

/// What a server brings along before it joins.
pub(super) struct Place {
    /// Its name.
    pub(super) name: String,
    seat: Seat,
}

impl Place {
    /// Takes the seat; none where the server has its store for itself.
    pub(super) async fn take(set: &config::Replica, data: &Path, store: &dyn Store) -> anyhow::Result<Option<Self>> {
        if !store.is_shared() {
            return Ok(None);
        }
        let name = match set.name.as_str() {
            "" => host_name(config::Replica::is_name)?,
            name => name.to_owned(),
        };
        Ok(Some(Self { name, seat: Seat::take(data, set.lease()).await? }))
    }
}

/// Joins the others; who has its store for itself is alone.
pub(super) async fn join(
    place: Option<Place>,
    set: &config::Replica,
    store: &dyn Store,
    backends: &[Arc<dyn Backend>],
    clock: &Clock,
) -> anyhow::Result<(Arc<Roster>, Option<Seat>)> {
    let Some(Place { name, seat }) = place else { return Ok((Roster::alone(), None)) };
    let terms = Terms { lease: set.lease(), absent_after: set.absent_after() };
    let address = (!set.address.is_empty()).then(|| set.address.clone());
    let backends = backends.iter().map(|backend| offer(&**backend)).collect();
    let newcomer = Newcomer { name, seat: seat.id.clone(), address, backends };
    let roster = Roster::join(store, newcomer, terms, clock).await?;
    tracing::info!(name = roster.name(), others = roster.present().len().saturating_sub(1), "one of several servers");
    Ok((roster, Some(seat)))
}

fn offer(backend: &dyn Backend) -> Offer {
    let profile = backend.profile();
    Offer {
        name: base(&profile.name).to_owned(),
        local: profile.local,
        cpu_milli: profile.capacity.cpu_milli,
        ram_bytes: profile.capacity.ram_bytes,
    }
}

/// Says again and again that this server is there, until it ends.
pub(super) struct Presence {
    leave: oneshot::Sender<()>,
    keeping: JoinHandle<()>,
}

impl Presence {
    pub(super) fn keep(parts: &Parts) -> Self {
        let (leave, left) = oneshot::channel();
        let (roster, store, clock) = (parts.roster.clone(), parts.store.clone(), parts.clock.clone());
        let left = async {
            let _ = left.await;
        };
        Self { leave, keeping: tokio::spawn(async move { roster.keep(&*store, &clock, left).await }) }
    }

    /// The work is done: says that this server goes.
    pub(super) async fn end(self, grace: Duration) {
        let Self { leave, keeping } = self;
        let _ = leave.send(());
        // Otherwise its lease ends by itself.
        let _ = tokio::time::timeout(grace, keeping).await;
    }
}

/// Whether this server may act; nothing to say where it is alone.
pub(super) fn readiness(roster: &Roster, now: Timestamp) -> Option<(String, Result<(), String>)> {
    if roster.is_alone() {
        return None;
    }
    let word = match roster.replaced() {
        Some(other) => {
            let at = other.replica.address.as_ref().map(|address| format!(" at {address}")).unwrap_or_default();
            Err(format!("another server{at} has taken the name `{}`; stop one of them", roster.name()))
        }
        None if roster.may_act(now) => Ok(()),
        None => Err("the store has not taken this server's word that it is there".to_owned()),
    };
    Some((format!("replica {}", roster.name()), word))
}
