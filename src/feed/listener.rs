//! From the store and the ring to one who listens.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast};

use super::pump::Batch;
use crate::store::{Change, ChangeId, Store, StoreError};

/// Read from the store at once. Not shared, so less than what the ring holds.
const PAGE: u32 = 128;

/// One who listens.
pub struct Listener {
    store: Arc<dyn Store>,
    ring: broadcast::Receiver<Batch>,
    /// Whose turn it is to read the store.
    turns: Arc<Semaphore>,
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
    pub(super) fn new(
        store: Arc<dyn Store>,
        ring: broadcast::Receiver<Batch>,
        turns: Arc<Semaphore>,
        after: ChangeId,
    ) -> Self {
        Self { store, ring, turns, at: after, behind: true }
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
        let turn = self.turns.acquire().await;
        let page = self.store.changes(self.at, PAGE).await?;
        drop(turn);
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
            // Numbers have no holes but where something was removed or cannot be read: the store knows.
            Ok(batch) if batch.first().is_some_and(|first| first.id.0 > self.at.0.saturating_add(1)) => {
                self.behind = true;
                None
            }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::feed::Feed;
    use crate::store::sqlite::Sqlite;
    use crate::task::{Owner, TaskId, TaskSpec};

    async fn happen(store: &Sqlite) {
        let now = Timestamp::now();
        store.create(&Owner::anonymous(), &TaskId::new(now), now, TaskSpec::default()).await.unwrap();
    }

    fn numbers(heard: &Heard) -> Vec<u64> {
        match heard {
            Heard::Changes(changes) => changes.iter().map(|change| change.id.0).collect(),
            Heard::Missed(_) | Heard::End => panic!("{heard:?}"),
        }
    }

    #[tokio::test]
    async fn nothing_is_lost_when_the_pump_starts_late() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tasks.db")).unwrap());
        let feed = Feed::new(store.clone());
        let mut listener = feed.listen(None).await.unwrap();
        happen(&store).await;
        assert_eq!(numbers(&listener.next().await.unwrap()), [1]);
        // It has gone over to the ring now, and nobody fills it yet.
        happen(&store).await;
        let pump = tokio::spawn(async move { feed.run(std::future::pending()).await });
        let heard = tokio::time::timeout(std::time::Duration::from_secs(30), async {
            let mut heard = Vec::new();
            while heard.last() != Some(&2) {
                heard.extend(numbers(&listener.next().await.unwrap()));
            }
            heard
        });
        assert_eq!(heard.await.unwrap(), [2]);
        pump.abort();
    }

    #[tokio::test]
    async fn what_the_ring_leaves_out_is_read_from_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tasks.db")).unwrap());
        let ring = broadcast::Sender::new(4);
        let turns = Arc::new(Semaphore::new(1));
        let mut listener = Listener::new(store.clone(), ring.subscribe(), turns, ChangeId(0));
        happen(&store).await;
        assert_eq!(numbers(&listener.next().await.unwrap()), [1]);
        happen(&store).await;
        happen(&store).await;
        ring.send(store.changes(ChangeId(2), 1).await.unwrap().items.into()).unwrap();
        assert_eq!(numbers(&listener.next().await.unwrap()), [2, 3]);
    }
}
