//! A target's way through all that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;

use super::deliver::deliver;
use super::send::{Message, Sender};
use super::target::Target;
use crate::clock::Clock;
use crate::store::{Change, ChangeId, Store, StoreError};
use crate::task::TaskId;

/// Changes read at once.
const PAGE: u32 = 256;
/// Changes that no target wanted and that are looked at again after a restart, at most.
const UNWANTED: u64 = 1_000;
/// Tasks that a target is told of side by side.
const SIDE_BY_SIDE: usize = 8;
/// How long is waited after the store did not answer.
const AFTER_TROUBLE: Duration = Duration::from_secs(1);

/// Puts a change into the words that targets read.
pub type Words = Arc<dyn Fn(&Change) -> Vec<u8> + Send + Sync>;

/// What all targets share.
#[derive(Clone)]
pub struct Post {
    /// Remembers what happened, and how far each was told.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Clock,
    /// What is said.
    pub words: Words,
}

/// Tells all targets what happens, until it is told to stop.
pub async fn run(post: &Post, targets: Vec<Target>, stopped: impl Future<Output = ()>) {
    let following = join_all(targets.iter().map(|target| follow(post, target)));
    tokio::select! {
        _ = following => {}
        () = stopped => {}
    }
}

async fn follow(post: &Post, target: &Target) {
    let sender = match Sender::new(target) {
        Ok(sender) => sender,
        Err(reason) => {
            tracing::error!(to = target.shown(), reason, "webhooks cannot be sent");
            return;
        }
    };
    // Subscribe before looking, or a change between the two waits for the next one.
    let mut bell = post.store.bell();
    let mut way = Way { name: target.name(), at: None, told: ChangeId(0) };
    loop {
        bell.mark_unchanged();
        match way.step(post, target, &sender).await {
            Ok(true) => {}
            Ok(false) if bell.changed().await.is_err() => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(to = target.shown(), %error, "webhooks wait for the store");
                post.clock.sleep(AFTER_TROUBLE).await;
            }
        }
    }
}

/// How far a target has come.
struct Way {
    name: String,
    at: Option<ChangeId>,
    /// As far as the store knows.
    told: ChangeId,
}

impl Way {
    /// Where it goes on; a new target begins now.
    async fn begin(&mut self, store: &dyn Store) -> Result<ChangeId, StoreError> {
        if let Some(at) = self.at {
            return Ok(at);
        }
        let at = match store.told(&self.name).await? {
            Some(at) => at,
            None => {
                let now = store.kept().await?.newest;
                store.tell(&self.name, now).await?;
                now
            }
        };
        self.told = at;
        Ok(*self.at.insert(at))
    }

    /// Delivers a page; answers whether there was one.
    async fn step(&mut self, post: &Post, target: &Target, sender: &Sender) -> Result<bool, StoreError> {
        let at = self.begin(&*post.store).await?;
        let page = post.store.changes(at, PAGE).await?;
        if page.missed {
            tracing::warn!(to = target.shown(), "some webhooks are lost: their events are not kept any more");
        }
        let Some(last) = page.items.last().map(|change| change.id) else { return Ok(false) };
        let mut by_task: BTreeMap<TaskId, Vec<Change>> = BTreeMap::new();
        for change in page.items.into_iter().filter(|change| target.wants(change)) {
            by_task.entry(change.task.clone()).or_default().push(change);
        }
        let open = by_task.values().flatten().map(|change| change.id).collect();
        let open = Open { ids: Mutex::new(open), told: tokio::sync::Mutex::new(at), last };
        // Oldest first: a target that takes little hears of what happened first.
        let mut tasks: Vec<_> = by_task.into_values().collect();
        tasks.sort_by_key(|changes| changes.first().map(|change| change.id));
        let told: Vec<Result<(), StoreError>> = stream::iter(tasks)
            .map(|changes| tell_of_a_task(post, target, sender, &self.name, changes, &open))
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        // All were taken or given up: should the store have been away, it is told now. What no target wanted is worth
        // a write only now and then.
        if !told.is_empty() || last.0.saturating_sub(self.told.0) >= UNWANTED {
            post.store.tell(&self.name, last).await?;
            self.told = last;
        }
        self.at = Some(last);
        if let Some(error) = told.into_iter().find_map(Result::err) {
            tracing::debug!(%error, "how far a target was told was written late");
        }
        Ok(true)
    }
}

/// What of a page was not taken yet.
struct Open {
    ids: Mutex<BTreeSet<ChangeId>>,
    /// Written so far; held while writing, so that it never goes back.
    told: tokio::sync::Mutex<ChangeId>,
    last: ChangeId,
}

impl Open {
    /// Takes one out, and answers up to where all is taken.
    fn close(&self, id: ChangeId) -> ChangeId {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&id);
        ids.first().map_or(self.last, |first| ChangeId(first.0.saturating_sub(1)))
    }
}

async fn tell_of_a_task(
    post: &Post,
    target: &Target,
    sender: &Sender,
    name: &str,
    changes: Vec<Change>,
    open: &Open,
) -> Result<(), StoreError> {
    for change in changes {
        let id = format!("{}-{}", post.store.installation().0, change.id.0);
        let message = Message { id, body: (post.words)(&change) };
        deliver(sender, target, &message, change.at, &post.clock).await;
        let taken = open.close(change.id);
        let mut told = open.told.lock().await;
        if taken > *told {
            post.store.tell(name, taken).await?;
            *told = taken;
        }
    }
    Ok(())
}
