//! What everything in a simulated world shares: time, chance, what was found broken.

use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};
use tessera::store::memory::Memory;
use tessera::task::TaskId;

use crate::dice::Dice;
use crate::executor::{Actor, Running};
use crate::invariants::{Broken, Invariant};
use crate::story::Story;
use crate::tally::Tally;

/// The world as everybody in it sees it. Cloning it is looking at the same.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Inner>>);

pub(crate) struct Inner {
    pub(crate) now_ms: u64,
    pub(crate) dice: Dice,
    pub(crate) timers: BTreeMap<(u64, u64), Waker>,
    pub(crate) timers_set: u64,
    pub(crate) to_spawn: Vec<(Actor, Running)>,
    pub(crate) story: Story,
    pub(crate) tally: Tally,
    pub(crate) broken: Option<Broken>,
    /// Whether anything goes wrong now.
    pub(crate) faults: bool,
    /// The store as it is reached from each server that is up.
    pub(crate) doors: Vec<Option<Memory>>,
    /// Servers that do not reach the store.
    pub(crate) cut_off: Vec<bool>,
    /// How long an engine waits for a backend's answer.
    pub(crate) patience_ms: u64,
    /// How long a claim lasts.
    pub(crate) lease_ms: u64,
    /// Tasks of which CANCELED was said.
    pub(crate) canceled: HashSet<TaskId>,
    /// Backends that do not answer.
    pub(crate) silent: Vec<bool>,
    /// Of each backend, how many requests were sent to it, and the last of them that has arrived.
    pub(crate) requests: Vec<(u64, u64)>,
    /// See [`crate::world::Kind`].
    pub(crate) slow_store: bool,
}

impl Shared {
    pub(crate) fn new(seed: u64, servers: usize, backends: usize, is_told: bool) -> Self {
        let mut story = Story::default();
        story.is_told = is_told;
        Self(Arc::new(Mutex::new(Inner {
            now_ms: 0,
            dice: Dice::new(seed),
            timers: BTreeMap::new(),
            timers_set: 0,
            to_spawn: Vec::new(),
            story,
            tally: Tally::default(),
            broken: None,
            faults: true,
            doors: vec![None; servers],
            canceled: HashSet::new(),
            patience_ms: 15_000,
            lease_ms: 60_000,
            cut_off: vec![false; servers],
            silent: vec![false; backends],
            requests: vec![(0, 0); backends],
            slow_store: false,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The moment that a clock without fault shows.
    pub(crate) fn now(&self) -> Timestamp {
        moment(self.lock().now_ms)
    }

    /// The same in milliseconds since the world began.
    pub(crate) fn now_ms(&self) -> u64 {
        self.lock().now_ms
    }

    /// Returns when so much time has passed.
    pub(crate) fn sleep(&self, ms: u64) -> Sleep {
        let until = self.lock().now_ms + ms;
        Sleep { shared: self.clone(), until, is_set: false }
    }

    /// Something that goes on by itself.
    pub(crate) fn spawn(&self, actor: Actor, running: impl Future<Output = ()> + Send + 'static) {
        self.lock().to_spawn.push((actor, Box::pin(running)));
    }

    pub(crate) fn tell(&self, who: &str, task: Option<&TaskId>, text: impl FnOnce() -> String) {
        let mut inner = self.lock();
        let now_ms = inner.now_ms;
        inner.story.tell(now_ms, who, task, text);
    }

    /// An invariant does not hold. The first one counts: others may follow from it.
    pub(crate) fn broken(&self, invariant: Invariant, task: Option<&TaskId>, what: impl FnOnce() -> String) {
        let mut inner = self.lock();
        if inner.broken.is_none() {
            inner.broken = Some(Broken { invariant, task: task.cloned(), what: what() });
        }
    }

    /// One of the servers that are up, by chance.
    pub(crate) fn any_door(&self) -> Option<Memory> {
        let mut inner = self.lock();
        let up: Vec<Memory> = inner.doors.iter().flatten().cloned().collect();
        if up.is_empty() { None } else { Some(inner.dice.pick(&up).clone()) }
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.lock().dice.below(bound)
    }

    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        self.lock().dice.between(low, high)
    }
}

/// When the world begins.
const BEGINNING: i64 = 1_893_456_000;

/// A moment of the world.
pub(crate) fn moment(ms: u64) -> Timestamp {
    let beginning = Timestamp::from_second(BEGINNING).unwrap();
    beginning + SignedDuration::from_millis(i64::try_from(ms).unwrap())
}

/// See [`Shared::sleep`].
pub(crate) struct Sleep {
    shared: Shared,
    until: u64,
    is_set: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.shared.clone();
        let mut inner = shared.lock();
        if inner.now_ms >= self.until {
            return Poll::Ready(());
        }
        if !self.is_set {
            inner.timers_set += 1;
            let key = (self.until, inner.timers_set);
            inner.timers.insert(key, context.waker().clone());
            self.is_set = true;
        }
        Poll::Pending
    }
}
