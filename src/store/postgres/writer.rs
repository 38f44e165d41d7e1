//! The one hand that writes.
//!
//! Writes queue up while a commit is under way and go into the next one together: the price of a commit, a flush of
//! the disk and a way over the network, is shared by all who wait. Alone, a write waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::warn;

use super::address::Address;
use super::batch::Batch;
use super::claim::Claiming;
use super::create::Create;
use super::fault::Fault;
use super::record::{Item, Say};
use super::session::Session;
use crate::store::{Ceiling, ClaimRequest, Claimed, Created, Holder, Key, Record, Recorded, StoreError};
use crate::task::{Event, Owner, TaskId, TaskSpec};

/// Writes in one commit at most, so that the first of them does not wait long for the last.
const TOGETHER: usize = 512;

/// Bytes of specs in one commit at most, but for one that is larger.
const BYTES_TOGETHER: usize = 8 << 20;

/// Writes that may wait before those who bring more are held up.
const WAITING: usize = 4 * TOGETHER;

/// Writes in a commit from which on many are at work at once.
const MANY: usize = 16;

/// How long those are waited for who were just answered, when many are at work: they come again at once, and would else
/// take turns with the others, each half of them in every second commit.
const GATHERING: Duration = Duration::from_millis(1);

/// How long a lost connection is looked for again before those who wait are told.
const LOOKING: Duration = Duration::from_secs(3);

/// What the writer needs to know of its store.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) address: Arc<Address>,
    /// The number of the store's lock.
    pub(super) lock: i32,
    /// Where other servers hear of commits.
    pub(super) channel: String,
    /// Whom they hear: this store, opened this once.
    pub(super) voice: String,
}

/// Sends writes to the writer's task.
#[derive(Debug)]
pub(super) struct Writer {
    inbox: mpsc::Sender<Write>,
    place: Arc<Address>,
}

/// A write that waits for its turn.
enum Write {
    Create(Box<Create>),
    Say(Say),
    Claim(Claiming),
}

impl Write {
    fn bytes(&self) -> usize {
        match self {
            Self::Create(create) => create.bytes(),
            Self::Say(_) | Self::Claim(_) => 0,
        }
    }
}

impl Writer {
    /// Starts the task. It rings the bell after each commit of its own that wrote changes.
    pub(super) fn start(desk: Desk, ring: watch::Sender<()>) -> Self {
        let (inbox, writes) = mpsc::channel(WAITING);
        let place = desk.address.clone();
        tokio::spawn(Hand { desk, ring, session: None, is_lost: false }.run(writes));
        Self { inbox, place }
    }

    /// Writes a new task.
    pub(super) async fn create(
        &self,
        owner: &Owner,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<(), StoreError> {
        self.put(owner, None, id, created, spec).await.map(drop)
    }

    /// Writes a new task under a name, unless one has that name.
    pub(super) async fn create_once(
        &self,
        owner: &Owner,
        key: &Key,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError> {
        self.put(owner, Some(key), id, created, spec).await
    }

    async fn put(
        &self,
        owner: &Owner,
        key: Option<&Key>,
        id: &TaskId,
        created: Timestamp,
        spec: TaskSpec,
    ) -> Result<Created, StoreError> {
        let (reply, answer) = oneshot::channel();
        let create = Create::new(owner, key, id, created, spec, reply);
        let create = create.map_err(|fault| StoreError::Corrupt(fault.to_string()))?;
        self.send(Write::Create(Box::new(create)), answer).await
    }

    /// Applies a user's cancel; `None` when the task is not this owner's.
    pub(super) async fn cancel(
        &self,
        owner: &Owner,
        id: &TaskId,
        at: Timestamp,
        shown: bool,
    ) -> Result<Option<Recorded>, StoreError> {
        let event = Event::CancelRequested { shown };
        let record = Record { task: id.clone(), fence: None, at, event };
        let answer = self.say(vec![record], Some(owner.clone())).await?.pop();
        Ok(answer.filter(|answer| *answer != Recorded::Unknown))
    }

    /// Applies events, each by itself.
    pub(super) async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError> {
        self.say(records, None).await
    }

    async fn say(&self, records: Vec<Record>, owner: Option<Owner>) -> Result<Vec<Recorded>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let items = records.into_iter().map(Item::new).collect();
        self.send(Write::Say(Say { items, owner, failed: None, reply }), answer).await
    }

    /// Takes waiting tasks.
    pub(super) async fn claim(
        &self,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
        ceiling: Ceiling,
        wanted: &[ClaimRequest],
    ) -> Result<Vec<Claimed>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.send(Write::Claim(Claiming::new(holder, now, until, ceiling, wanted, reply)), answer).await
    }

    async fn send<T>(&self, write: Write, answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        let stopped = || {
            let place = &self.place.place;
            StoreError::Unavailable(format!("the writer of the database `{place}` has stopped; restart the server"))
        };
        self.inbox.send(write).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// The task that writes.
struct Hand {
    desk: Desk,
    ring: watch::Sender<()>,
    session: Option<Session>,
    /// The last look for the database found none: nobody waits long for the next.
    is_lost: bool,
}

impl Hand {
    async fn run(mut self, mut writes: mpsc::Receiver<Write>) {
        let mut arrived = Vec::with_capacity(TOGETHER);
        let mut last = 0;
        while writes.recv_many(&mut arrived, TOGETHER).await > 0 {
            if last >= MANY {
                let gathering = async {
                    let mut more = last.saturating_sub(arrived.len());
                    while more > 0 {
                        match writes.recv_many(&mut arrived, more).await {
                            0 => return,
                            came => more -= came,
                        }
                    }
                };
                // As many as the last time, or as many as come; none that arrived is lost.
                let _late = tokio::time::timeout(GATHERING, gathering).await;
            }
            last = arrived.len();
            let mut queue = arrived.drain(..).peekable();
            while queue.peek().is_some() {
                let (mut batch, mut bytes) = (Batch::default(), 0);
                while let Some(write) = queue.next_if(|next| bytes == 0 || bytes + next.bytes() <= BYTES_TOGETHER) {
                    bytes += write.bytes();
                    match write {
                        Write::Create(create) => batch.creates.push(*create),
                        Write::Say(say) => batch.says.push(say),
                        Write::Claim(claim) => batch.claims.push(claim),
                    }
                }
                self.settle(batch).await;
            }
        }
    }

    /// Writes a batch until each of it has its answer.
    async fn settle(&mut self, mut batch: Batch) {
        let began = Instant::now();
        let mut pause = Duration::from_millis(20);
        while batch.len() > 0 {
            match self.attempt(&mut batch).await {
                Ok(()) => batch.answer(),
                Err(fault) if fault.is_of_the_connection() => {
                    self.session = None;
                    batch.maybe_done();
                    if self.is_lost || began.elapsed() > LOOKING {
                        self.is_lost = true;
                        return self.refuse(batch, &fault);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(Duration::from_millis(500));
                }
                Err(fault) if fault.is_of_a_write() && batch.len() > 1 => {
                    for alone in batch.alone() {
                        Box::pin(self.settle(alone)).await;
                    }
                    return;
                }
                Err(fault) => return self.refuse(batch, &fault),
            }
        }
    }

    fn refuse(&self, batch: Batch, fault: &Fault) {
        let error = fault.told(&self.desk.address.place);
        warn!("{} writes undone: {error}", batch.len());
        batch.refuse(&error);
    }

    async fn attempt(&mut self, batch: &mut Batch) -> Result<(), Fault> {
        let session = match &self.session {
            Some(session) => session,
            None => {
                let made = Session::start(&self.desk.address, self.desk.lock).await?;
                if std::mem::take(&mut self.is_lost) {
                    tracing::info!("the database `{}` can be written to again", self.desk.address.place);
                }
                self.session.insert(made)
            }
        };
        let Desk { address, channel, voice, .. } = &self.desk;
        let told = batch.attempt(session, (channel, voice), &address.place).await?;
        if told.changes {
            self.ring.send_replace(());
        }
        Ok(())
    }
}
