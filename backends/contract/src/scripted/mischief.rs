//! How calls go wrong.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::BackendError;

/// A method of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// [`crate::Backend::submit`]
    Submit,
    /// [`crate::Backend::observe`]
    Observe,
    /// [`crate::Backend::cancel`]
    Cancel,
    /// [`crate::Backend::release`]
    Release,
    /// [`crate::Backend::logs`]
    Logs,
    /// [`crate::Backend::inventory`]
    Inventory,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Submit, Self::Observe, Self::Cancel, Self::Release, Self::Logs, Self::Inventory];
}

/// What happens to one call.
#[derive(Debug, Clone)]
pub enum Mischief {
    /// Nothing is done, and this is the answer.
    Fail(BackendError),
    /// It is done, and the answer is lost on the way: this is the answer.
    LoseAnswer(BackendError),
    /// It is done twice, as by a client that tries again by itself.
    Twice,
    /// Nothing is done before the gate opens.
    Delay(Gate),
    /// It is done, and the answer comes when the gate opens.
    DelayAnswer(Gate),
}

/// Holds calls up until it is opened. A gate that is never opened is a call that hangs.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everybody through from now on.
    pub fn open(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits until it is open.
    pub async fn pass(&self) {
        // The semaphore is never closed; were it, the gate would be open.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// What will go wrong.
#[derive(Debug, Default)]
pub(super) struct Plot(Mutex<Schemes>);

#[derive(Debug, Default)]
struct Schemes {
    next: HashMap<Verb, VecDeque<Mischief>>,
    always: HashMap<Verb, Mischief>,
    calls: HashMap<Verb, u64>,
}

impl Plot {
    fn with<T>(&self, act: impl FnOnce(&mut Schemes) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What happens to this call.
    pub(super) fn take(&self, verb: Verb) -> Option<Mischief> {
        self.with(|schemes| {
            *schemes.calls.entry(verb).or_default() += 1;
            let next = schemes.next.get_mut(&verb).and_then(VecDeque::pop_front);
            next.or_else(|| schemes.always.get(&verb).cloned())
        })
    }

    pub(super) fn next(&self, verb: Verb, calls: usize, mischief: &Mischief) {
        self.with(|schemes| {
            schemes.next.entry(verb).or_default().extend(std::iter::repeat_n(mischief.clone(), calls));
        });
    }

    pub(super) fn always(&self, verb: Verb, mischief: Option<Mischief>) {
        self.with(|schemes| match mischief {
            Some(mischief) => drop(schemes.always.insert(verb, mischief)),
            None => {
                schemes.always.remove(&verb);
                schemes.next.remove(&verb);
            }
        });
    }

    pub(super) fn calls(&self, verb: Verb) -> u64 {
        self.with(|schemes| schemes.calls.get(&verb).copied().unwrap_or_default())
    }
}
