//! One call of a verb.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tessera_contract::InstallationId;
use tokio::sync::watch;

use super::flaw::Flaw;
use super::ground::Ground;
use super::mischief::{Mischief, Plot, Verb};
use crate::store::{Calls, StoreError};

/// Which kind of store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Semantics {
    /// One server has it for itself, as SQLite: nothing ever conflicts.
    Alone,
    /// Several servers may work on it at once, as on PostgreSQL.
    Shared,
}

/// One server's way to a store in memory.
#[derive(Clone)]
pub struct Memory {
    pub(super) inner: Arc<Inner>,
    plot: Option<Arc<Plot>>,
}

pub(super) struct Inner {
    pub(super) semantics: Semantics,
    pub(super) installation: InstallationId,
    ground: Mutex<Ground>,
    pub(super) bell: watch::Sender<()>,
    pub(super) calls: watch::Sender<Calls>,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("semantics", &self.inner.semantics).finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty store.
    pub fn new(semantics: Semantics, installation: InstallationId) -> Self {
        let (bell, calls) = (watch::Sender::new(()), watch::Sender::new(Calls::default()));
        let inner = Inner { semantics, installation, ground: Mutex::default(), bell, calls };
        Self { inner: Arc::new(inner), plot: None }
    }

    /// Another way to the same store, on which calls go wrong as this plot says.
    pub fn seen_through(&self, plot: Arc<Plot>) -> Self {
        Self { inner: self.inner.clone(), plot: Some(plot) }
    }

    /// From now on this promise is broken.
    pub fn breaks(&self, flaw: Flaw) {
        self.ground().flaw = Some(flaw);
    }

    /// What is stored, for those who watch. No verb acts as long as it is looked at.
    pub fn ground(&self) -> MutexGuard<'_, Ground> {
        self.inner.ground.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call, with whatever goes wrong with it, and a place to be dropped on either side of what it does.
    pub(super) async fn call<T>(
        &self,
        verb: Verb,
        act: impl FnOnce(&mut Ground) -> T,
        conflict: impl FnOnce() -> Option<T>,
    ) -> Result<T, StoreError> {
        tokio::task::yield_now().await;
        let mischief = self.plot.as_ref().and_then(|plot| plot(verb));
        let lost = || Err(StoreError::Unavailable(format!("the store is out of reach for {verb:?}")));
        let answer = match mischief {
            None => Ok(self.act(act)),
            Some(Mischief::Fail) => lost(),
            Some(Mischief::LoseAnswer) => {
                self.act(act);
                lost()
            }
            Some(Mischief::Delay(gate)) => {
                gate.pass().await;
                Ok(self.act(act))
            }
            Some(Mischief::DelayAnswer(gate)) => {
                let answer = self.act(act);
                gate.pass().await;
                Ok(answer)
            }
            Some(Mischief::Conflict) => match conflict().filter(|_| self.inner.semantics == Semantics::Shared) {
                Some(answer) => Ok(answer),
                None => Ok(self.act(act)),
            },
        };
        tokio::task::yield_now().await;
        answer
    }

    /// Acts, and rings when that wrote changes.
    fn act<T>(&self, act: impl FnOnce(&mut Ground) -> T) -> T {
        let mut ground = self.ground();
        let before = ground.last_change;
        let answer = act(&mut ground);
        let rings = ground.last_change != before;
        drop(ground);
        if rings {
            self.inner.bell.send_replace(());
        }
        answer
    }
}
