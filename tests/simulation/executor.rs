//! Polls futures one at a time. Who is next is the caller's choice: there is no thread, no runtime and no clock here.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Whose a future is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// A server's: dies and is paused with it.
    Server(usize),
    /// The network's, and what stands behind it: goes on whatever becomes of servers.
    Network,
    /// Somebody's who talks to the servers.
    Caller,
}

/// Something that is polled until it is done.
pub(crate) type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All futures that run.
#[derive(Default)]
pub(crate) struct Executor {
    slots: Vec<Option<Slot>>,
    ready: Arc<Mutex<Vec<usize>>>,
    /// Ready futures of servers that are paused.
    parked: Vec<usize>,
}

struct Slot {
    actor: Actor,
    running: Running,
    flag: Arc<Flag>,
    waker: Waker,
}

struct Flag {
    slot: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap().push(self.slot);
        }
    }
}

impl Executor {
    /// Takes up a future; it is ready at once.
    pub(crate) fn spawn(&mut self, actor: Actor, running: Running) {
        // A place is never given anew: a late wake-up of who had it would be taken for one of who has it.
        let slot = self.slots.len();
        let flag = Arc::new(Flag { slot, queued: AtomicBool::new(false), ready: self.ready.clone() });
        let waker = Waker::from(flag.clone());
        waker.wake_by_ref();
        self.slots.push(Some(Slot { actor, running, flag, waker }));
    }

    /// Drops everything that is an actor's, wherever it waits.
    pub(crate) fn drop_all_of(&mut self, actor: Actor) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|slot| slot.actor == actor) {
                *slot = None;
            }
        }
    }

    /// One ready future, taken out of those that are: the one that `choose` names among so many.
    pub(crate) fn take(
        &mut self,
        mut choose: impl FnMut(usize) -> usize,
        is_paused: impl Fn(Actor) -> bool,
    ) -> Option<usize> {
        loop {
            let mut ready = self.ready.lock().unwrap();
            if ready.is_empty() {
                return None;
            }
            // Who woke them in which order is not for chance to know: some wake in an order of their own.
            ready.sort_unstable();
            let place = choose(ready.len());
            let slot = ready.swap_remove(place);
            drop(ready);
            match &self.slots[slot] {
                None => {}
                Some(taken) if is_paused(taken.actor) => self.parked.push(slot),
                Some(_) => return Some(slot),
            }
        }
    }

    /// A ready future of the network, taken out of those that are.
    pub(crate) fn take_of_network(&mut self) -> Option<usize> {
        let mut ready = self.ready.lock().unwrap();
        let is_of_network = |slot: &usize| {
            let slot: Option<&Slot> = self.slots[*slot].as_ref();
            slot.is_some_and(|slot| slot.actor == Actor::Network)
        };
        ready.sort_unstable();
        let place = ready.iter().position(is_of_network)?;
        Some(ready.swap_remove(place))
    }

    /// Those that were passed over because they were paused are ready again.
    pub(crate) fn unpark(&mut self) {
        self.ready.lock().unwrap().append(&mut self.parked);
    }

    /// Polls a future that was taken.
    pub(crate) fn poll(&mut self, place: usize) -> Option<Actor> {
        let slot = self.slots[place].as_mut()?;
        slot.flag.queued.store(false, Ordering::Relaxed);
        let actor = slot.actor;
        let mut context = Context::from_waker(&slot.waker);
        if let Poll::Ready(()) = slot.running.as_mut().poll(&mut context) {
            self.slots[place] = None;
        }
        Some(actor)
    }
}
