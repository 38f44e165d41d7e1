//! A backend, and what is remembered of it: how it is, where the last look ended, what was asked already.
//!
//! Nothing here decides about a task; a server that has forgotten all of it only asks once more.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tessera_contract::{Backend, BackendError, Bell, Handle, Profile};
use tracing::{info, warn};

use super::quiet::Quiet;
use super::retry::backoff;
use super::settings::Settings;
use super::unsaid::Unsaid;
use crate::clock::{Clock, after};
use crate::roster::base;
use crate::task::TaskId;

/// A backend with its memory.
pub struct Site {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// Bells that wake its loops.
    pub bells: Bells,
    /// What waiting tasks have been told.
    pub waiting: Quiet,
    /// What tasks with a job have been told.
    pub outside: Quiet,
    memory: Mutex<Memory>,
}

/// One bell a kind of tick.
#[derive(Debug, Default)]
pub struct Bells {
    /// There may be something to hand over.
    pub dispatch: Bell,
    /// There may be something to see.
    pub observe: Bell,
    /// There may be something to stop.
    pub cancel: Bell,
    /// There may be something to remove.
    pub sweep: Bell,
}

#[derive(Debug, Default)]
struct Memory {
    down: Option<Down>,
    queue_from: Option<TaskId>,
    queue_rounds: u32,
    observe_from: Option<TaskId>,
    inventory_from: Option<String>,
    inventory_due: Option<Timestamp>,
    asked_to_stop: HashMap<TaskId, Timestamp>,
    stuck: HashMap<Handle, Stuck>,
    told_all: HashSet<Handle>,
    unsaid: Unsaid,
}

/// Jobs remembered to have told all that they printed. Of one that is forgotten the store is asked.
const TOLD_ALL: usize = 100_000;

/// A backend that does not do its work.
#[derive(Debug, Clone)]
pub struct Down {
    /// Since when.
    pub since: Timestamp,
    /// Its last words.
    pub reason: String,
    /// What it does not do.
    pub lack: Lack,
    failures: u32,
    probe_at: Timestamp,
}

impl Down {
    /// When it is tried again.
    pub fn next_try(&self) -> Timestamp {
        self.probe_at
    }
}

/// What a backend does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// It does not answer.
    Answers,
    /// It answers, and takes no jobs.
    Takes,
}

/// A job whose leavings could not be removed.
#[derive(Debug, Clone, Copy)]
pub struct Stuck {
    /// Since when.
    pub since: Timestamp,
    tries: u32,
    next: Timestamp,
}

/// How a backend is.
#[derive(Debug, Clone)]
pub enum Health {
    /// It does its work, as far as is known.
    Up,
    /// It does not, and it is not time to try again.
    Down(Down),
    /// It did not, and it is time to try again, carefully.
    Probe(Down),
}

impl Site {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        Self {
            backend,
            bells: Bells::default(),
            waiting: Quiet::default(),
            outside: Quiet::default(),
            memory: Mutex::default(),
        }
    }

    /// Its facts.
    pub fn profile(&self) -> &Profile {
        self.backend.profile()
    }

    /// Its name: what tasks are claimed for, and where their jobs are.
    pub fn name(&self) -> &str {
        &self.backend.profile().name
    }

    /// The name under which tasks ask for it: the same, but where several servers have one on their own machines.
    pub fn serves(&self) -> &str {
        base(self.name())
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One call to the backend, bounded in time: no answer is the same as not being available.
    pub async fn call<T>(
        &self,
        clock: &Clock,
        settings: &Settings,
        what: &str,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        clock.within(settings.call_timeout(), call).await.unwrap_or_else(|| {
            let (name, timeout) = (self.name(), settings.call_timeout());
            Err(BackendError::Unavailable(format!("backend `{name}` did not answer to `{what}` within {timeout:?}")))
        })
    }

    /// How the backend is.
    pub fn health(&self, now: Timestamp) -> Health {
        match self.trouble() {
            None => Health::Up,
            Some(down) if now >= down.probe_at => Health::Probe(down),
            Some(down) => Health::Down(down),
        }
    }

    /// Since when and why it does not do its work, if so.
    pub fn trouble(&self) -> Option<Down> {
        self.lock().down.clone()
    }

    /// It does not answer, and it is not time to ask again.
    pub fn is_silent(&self, now: Timestamp) -> bool {
        matches!(self.health(now), Health::Down(Down { lack: Lack::Answers, .. }))
    }

    /// It has answered.
    pub fn answers(&self) {
        self.over(|down| down.lack == Lack::Answers);
    }

    /// It has taken a job.
    pub fn takes_jobs(&self) {
        self.over(|_| true);
    }

    /// Whoever waited for a trouble to end is woken.
    fn over(&self, is_over: impl Fn(&Down) -> bool) {
        let mut memory = self.lock();
        if !memory.down.as_ref().is_some_and(is_over) {
            return;
        }
        if let Some(down) = memory.down.take() {
            info!(backend = self.name(), since = %down.since, "the backend does its work again");
        }
        self.bells.dispatch.ring();
        self.bells.cancel.ring();
        self.bells.sweep.ring();
    }

    /// It does not do its work. It is left alone for a while, longer each time.
    pub fn is_down(&self, now: Timestamp, lack: Lack, reason: &str, settings: &Settings) {
        let mut memory = self.lock();
        let (since, failures) = memory.down.as_ref().map_or((now, 0), |down| (down.since, down.failures + 1));
        if failures == 0 {
            warn!(backend = self.name(), reason, "the backend does not do its work");
        }
        let wait = backoff(settings.backoff_first_ms, settings.probe_most_ms, failures, self.name());
        let probe_at = after(now, wait);
        memory.down = Some(Down { since, reason: reason.to_owned(), lack, failures, probe_at });
    }

    /// Something happened there: a backend that did not answer is worth another try.
    pub fn nudge(&self, now: Timestamp) {
        if let Some(down) = &mut self.lock().down {
            down.probe_at = now;
            self.bells.dispatch.ring();
        }
    }

    /// Where the look down the queue goes on, and how many looks in a row found nothing to take.
    pub(super) fn queue_from(&self) -> (Option<TaskId>, u32) {
        let memory = self.lock();
        (memory.queue_from.clone(), memory.queue_rounds)
    }

    pub(super) fn set_queue_from(&self, from: Option<TaskId>, rounds: u32) {
        let mut memory = self.lock();
        memory.queue_from = from;
        memory.queue_rounds = rounds;
    }

    /// What the store has not heard.
    pub(super) fn with_unsaid<T>(&self, act: impl FnOnce(&mut Unsaid) -> T) -> T {
        act(&mut self.lock().unsaid)
    }

    pub(super) fn observe_from(&self) -> Option<TaskId> {
        self.lock().observe_from.clone()
    }

    pub(super) fn set_observe_from(&self, from: Option<TaskId>) {
        self.lock().observe_from = from;
    }

    pub(super) fn inventory_from(&self) -> Option<String> {
        self.lock().inventory_from.clone()
    }

    /// Where the walk through the inventory goes on; at its end the next one is due after a while.
    pub(super) fn set_inventory_from(&self, from: Option<String>, next_walk: Timestamp) {
        let mut memory = self.lock();
        if from.is_none() {
            memory.inventory_due = Some(next_walk);
        }
        memory.inventory_from = from;
    }

    pub(super) fn inventory_is_due(&self, now: Timestamp) -> bool {
        let memory = self.lock();
        memory.inventory_from.is_some() || memory.inventory_due.is_none_or(|due| now >= due)
    }

    /// Whether a stop is to be asked for now: not when it was a moment ago.
    pub(super) fn may_ask_to_stop(&self, task: &TaskId, now: Timestamp) -> bool {
        self.lock().asked_to_stop.get(task).is_none_or(|again| now >= *again)
    }

    pub(super) fn asked_to_stop(&self, task: &TaskId, again: Timestamp) {
        self.lock().asked_to_stop.insert(task.clone(), again);
    }

    /// Keeps in mind only the stops of tasks that are still being stopped.
    pub(super) fn keep_stops(&self, still: impl Fn(&TaskId) -> bool) {
        self.lock().asked_to_stop.retain(|task, _| still(task));
    }

    /// The report of a job holds all that its executors printed.
    pub(super) fn tells_all(&self, handle: &Handle) {
        let told = &mut self.lock().told_all;
        if told.len() >= TOLD_ALL {
            told.clear();
        }
        told.insert(handle.clone());
    }

    pub(super) fn has_told_all(&self, handle: &Handle) -> bool {
        self.lock().told_all.contains(handle)
    }

    /// A job is removed: nothing of it is to be remembered.
    pub(super) fn is_removed(&self, handle: &Handle) {
        self.lock().told_all.remove(handle);
    }

    /// A job whose leavings could not be removed, if that was tried.
    pub(super) fn stuck(&self, handle: &Handle) -> Option<Stuck> {
        self.lock().stuck.get(handle).copied()
    }

    pub(super) fn is_stuck(&self, handle: &Handle, now: Timestamp, settings: &Settings) {
        let mut memory = self.lock();
        let (since, tries) = memory.stuck.get(handle).map_or((now, 0), |stuck| (stuck.since, stuck.tries + 1));
        let wait: Duration = backoff(settings.backoff_first_ms, settings.backoff_most_ms, tries, &handle.0);
        memory.stuck.insert(handle.clone(), Stuck { since, tries, next: after(now, wait) });
    }

    pub(super) fn is_not_stuck(&self, handle: &Handle) {
        self.lock().stuck.remove(handle);
    }
}

impl Stuck {
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next
    }
}
