//! A target's way through all that happens.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use tokio::sync::{Semaphore, watch};

use super::deliver::deliver;
use super::send::{Message, Sender};
use super::target::Target;
use super::window::Window;
use crate::clock::Clock;
use crate::roster::Turn;
use crate::store::{Change, ChangeId, Changes, Store, StoreError};
use crate::task::TaskId;

/// Changes read at once.
const PAGE: u32 = 256;
/// Messages that a target gets side by side; what waits for its next try does not count.
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
    /// This server's place among others that have the same targets; `None` where there is only one.
    pub turn: Option<Turn>,
}

/// Tells all targets what happens, until it is told to stop. Where there are several servers, one tells a target at a
/// time, and another goes on where it stood.
pub async fn run(post: &Post, targets: Vec<Target>, stopped: impl Future<Output = ()>) {
    let (stop, stopping) = watch::channel(false);
    let telling = join_all(targets.iter().map(|target| {
        let mut stopping = stopping.clone();
        let stopped = async move { drop(stopping.wait_for(|stop| *stop).await) };
        async move {
            match &post.turn {
                Some(turn) => {
                    let what = format!("webhook {}", target.name());
                    turn.take(&what, || follow(post, target), stopped).await;
                }
                None => tokio::select! {
                    () = follow(post, target) => {}
                    () = stopped => {}
                },
            }
        }
    }));
    let stopping = async {
        stopped.await;
        stop.send_replace(true);
    };
    tokio::join!(telling, stopping);
}

async fn follow(post: &Post, target: &Target) {
    let sender = match Sender::new(target) {
        Ok(sender) => sender,
        Err(reason) => {
            tracing::error!(to = target.shown(), reason, "webhooks cannot be sent");
            return;
        }
    };
    let name = target.name();
    let turns = Semaphore::new(SIDE_BY_SIDE);
    let way = Way { post, target, name: &name, sender: &sender, turns: &turns };
    let mut window = Window::after(way.begin().await);
    let mut under_way = FuturesUnordered::new();
    let (mut reading, mut telling) = (false, false);
    loop {
        if !reading && let Some(after) = window.wants_more() {
            reading = true;
            under_way.push(way.read(after));
        }
        if !telling && let Some(told) = window.to_tell() {
            telling = true;
            under_way.push(way.tell(told));
        }
        let next = match under_way.next().await {
            Some(Done::Read(page)) => {
                reading = false;
                if page.missed {
                    tracing::warn!(to = target.shown(), "some webhooks are lost: their events are not kept any more");
                }
                // Oldest first: a target that takes little hears of what happened first.
                for change in page.items {
                    if !target.wants(&change) {
                        window.pass(change.id);
                    } else if let Some(first) = window.open(change) {
                        under_way.push(way.deliver(first));
                    }
                }
                None
            }
            Some(Done::Closed(task, id)) => window.close(&task, id),
            Some(Done::Told(told)) => {
                telling = false;
                told.into_iter().for_each(|told| window.told(told));
                None
            }
            // The store is gone: nothing will ever happen again.
            Some(Done::Over) | None => return,
        };
        under_way.extend(next.map(|change| way.deliver(change)));
    }
}

/// What came of something under way.
enum Done {
    Read(Changes),
    /// It was taken or given up.
    Closed(TaskId, ChangeId),
    /// `None`: the store could not be written.
    Told(Option<ChangeId>),
    Over,
}

/// What is done on a target's way, each for itself: none of it waits for another, and no trouble of the store ends it.
#[derive(Clone, Copy)]
struct Way<'a> {
    post: &'a Post,
    target: &'a Target,
    name: &'a str,
    sender: &'a Sender,
    turns: &'a Semaphore,
}

impl<'a> Way<'a> {
    /// Where it goes on; a new target begins now.
    async fn begin(self) -> ChangeId {
        loop {
            match self.place().await {
                Ok(at) => return at,
                Err(error) => self.rest(&error).await,
            }
        }
    }

    async fn place(self) -> Result<ChangeId, StoreError> {
        let store = &self.post.store;
        if let Some(at) = store.told(self.name).await? {
            return Ok(at);
        }
        let now = store.kept().await?.newest;
        store.tell(self.name, now).await?;
        Ok(now)
    }

    /// Waits until something has happened.
    fn read(self, after: ChangeId) -> BoxFuture<'a, Done> {
        // Subscribe before looking, or a change between the two waits for the next one.
        let mut bell = self.post.store.bell();
        Box::pin(async move {
            loop {
                bell.mark_unchanged();
                match self.post.store.changes(after, PAGE).await {
                    Ok(page) if !page.items.is_empty() => return Done::Read(page),
                    Ok(_) if bell.changed().await.is_err() => return Done::Over,
                    Ok(_) => {}
                    Err(error) => self.rest(&error).await,
                }
            }
        })
    }

    fn deliver(self, change: Change) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            let id = format!("{}-{}", self.post.store.installation().0, change.id.0);
            let message = Message { id, body: (self.post.words)(&change) };
            deliver(self.sender, self.target, &message, change.at, &self.post.clock, self.turns).await;
            Done::Closed(change.task, change.id)
        })
    }

    /// Tries once, for more may be told the next time.
    fn tell(self, told: ChangeId) -> BoxFuture<'a, Done> {
        Box::pin(async move {
            match self.post.store.tell(self.name, told).await {
                Ok(()) => Done::Told(Some(told)),
                Err(error) => {
                    self.rest(&error).await;
                    Done::Told(None)
                }
            }
        })
    }

    async fn rest(self, error: &StoreError) {
        tracing::warn!(to = self.target.shown(), %error, "webhooks wait for the store");
        self.post.clock.sleep(AFTER_TROUBLE).await;
    }
}
