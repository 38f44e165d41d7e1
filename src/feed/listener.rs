//! From the store and the ring to one who listens.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::pump::Batch;
use crate::store::{Change, ChangeId, Store, StoreError};

/// Read from the store at once. Not shared, so less than what the ring holds.
const PAGE: u32 = 128;

/// One who listens.
pub struct Listener {
    store: Arc<dyn Store>,
    ring: broadcast::Receiver<Batch>,
    /// The last change it has heard of.
    at: ChangeId,
    /// Reads from the store: what it wants may lie before what is in the ring.
    behind: bool,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// What happened, oldest first; all owners'.
    Changes(Arc<[Change]>),
    /// Some of what happened is not kept any more; what is heard next begins after this change.
    Missed(ChangeId),
    /// The feed has ended.
    End,
}

impl Listener {
    pub(super) fn new(store: Arc<dyn Store>, ring: broadcast::Receiver<Batch>, after: ChangeId) -> Self {
        Self { store, ring, at: after, behind: true }
    }

    /// The last change it has heard of.
    pub fn at(&self) -> ChangeId {
        self.at
    }

    /// Waits for what comes next. Given up, it has heard nothing: it may be called again.
    pub async fn next(&mut self) -> Result<Heard, StoreError> {
        loop {
            let heard = if self.behind { self.read_store().await? } else { self.read_ring().await };
            if let Some(heard) = heard {
                return Ok(heard);
            }
        }
    }

    async fn read_store(&mut self) -> Result<Option<Heard>, StoreError> {
        let page = self.store.changes(self.at, PAGE).await?;
        if page.missed {
            let kept = self.store.kept().await?;
            self.at = ChangeId(kept.oldest.0.saturating_sub(1)).max(self.at);
            return Ok(Some(Heard::Missed(self.at)));
        }
        // What is newer than this page is in the ring, or will be: it was subscribed to before.
        self.behind = page.items.len() >= PAGE as usize;
        Ok(self.hear(page.items.into()))
    }

    async fn read_ring(&mut self) -> Option<Heard> {
        match self.ring.recv().await {
            Ok(batch) if batch.first().is_some_and(|first| first.id > self.at) => self.hear(batch),
            // Some of it was read from the store already.
            Ok(batch) => self.hear(batch.iter().filter(|change| change.id > self.at).cloned().collect()),
            Err(RecvError::Lagged(_)) => {
                self.behind = true;
                None
            }
            Err(RecvError::Closed) => Some(Heard::End),
        }
    }

    fn hear(&mut self, batch: Batch) -> Option<Heard> {
        self.at = batch.last()?.id;
        Some(Heard::Changes(batch))
    }
}
