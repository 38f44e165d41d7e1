//! From the store to the ring.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore, broadcast};

use super::listener::Listener;
use crate::store::{Change, ChangeId, Store, StoreError};

/// Changes shared at once. One wake-up of every listener covers them all.
pub(super) type Batch = Arc<[Change]>;

/// Changes read from the store at once.
const PAGE: u32 = 512;

/// Batches in the ring.
const RING: usize = 64;

/// Listeners that read from the store at once. Thousands that come back together take turns, page by page, so that
/// requests find the store free.
const READ_AT_ONCE: usize = 8;

/// How long is waited after the store could not be read.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// What happens, for whoever listens. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Arc<dyn Store>,
    ring: broadcast::Sender<Batch>,
    /// The ring holds what happens after this change. Settled before the first listener reads, for what it finds in
    /// the store must reach to where the ring begins, also when the pump starts late.
    start: Arc<OnceCell<ChangeId>>,
    turns: Arc<Semaphore>,
}

impl Feed {
    /// The feed of a store; it tells nothing new until [`Feed::run`].
    pub fn new(store: Arc<dyn Store>) -> Self {
        let turns = Arc::new(Semaphore::new(READ_AT_ONCE));
        Self { store, ring: broadcast::Sender::new(RING), start: Arc::default(), turns }
    }

    /// Listens to what happens after a change; `None` is now.
    pub async fn listen(&self, after: Option<ChangeId>) -> Result<Listener, StoreError> {
        // Subscribe before looking, or a change between the two is missed.
        let ring = self.ring.subscribe();
        self.start().await?;
        let after = match after {
            Some(after) => after,
            None => self.store.kept().await?.newest,
        };
        Ok(Listener::new(Arc::clone(&self.store), ring, Arc::clone(&self.turns), after))
    }

    async fn start(&self) -> Result<ChangeId, StoreError> {
        let now = async || Ok(self.store.kept().await?.newest);
        self.start.get_or_try_init(now).await.copied()
    }

    /// Shares what happens, until it is told to stop.
    pub async fn run(&self, stopped: impl Future<Output = ()>) {
        tokio::select! {
            () = self.share() => {}
            () = stopped => {}
        }
    }

    async fn share(&self) {
        let mut bell = self.store.bell();
        let mut at = None;
        loop {
            bell.mark_unchanged();
            match self.share_new(&mut at).await {
                // The store is gone: nothing will ever happen again.
                Ok(()) if bell.changed().await.is_err() => return,
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot read what happened; it is read again");
                    tokio::time::sleep(AFTER_TROUBLE).await;
                }
            }
        }
    }

    async fn share_new(&self, at: &mut Option<ChangeId>) -> Result<(), StoreError> {
        let mut last = match *at {
            Some(at) => at,
            // What happened before is read by each listener that asks for it.
            None => *at.insert(self.start().await?),
        };
        loop {
            let items = self.store.changes(last, PAGE).await?.items;
            let Some(newest) = items.last() else { return Ok(()) };
            last = newest.id;
            *at = Some(last);
            // That nobody listens is no trouble.
            let _ = self.ring.send(items.into());
        }
    }
}
