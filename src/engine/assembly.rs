//! The engine put together.

use std::sync::Arc;

use jiff::Timestamp;
use tessera_contract::{Backend, Bell, Handle};

use super::pace::Pace;
use super::quiet::Quiet;
use super::settings::Settings;
use super::site::Site;
use crate::clock::{Clock, after};
use crate::logs::Logs;
use crate::roster::Roster;
use crate::store::{Fence, Record, Recorded, Store, StoreError};
use crate::task::{Event, JobRef, TaskId};

/// What a tick has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// There is more to do at once.
    More,
    /// Nothing more until somebody rings, or the period is over.
    Done,
    /// A long look has found nothing to do. The next one would find the same, so it rests before it heeds a bell.
    InVain,
}

/// Moves the tasks of a store with the backends there are.
pub struct Engine {
    pub(super) store: Arc<dyn Store>,
    pub(super) sites: Vec<Arc<Site>>,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    /// Who else is here.
    pub(super) roster: Arc<Roster>,
    /// What tasks have been told whose backend is not configured any more.
    pub(super) absent: Quiet,
    /// Of those who walk down the queue to explain it.
    pub(super) walks: Pace,
    /// Keeps what jobs print; without it their ends in the history are all there is.
    logs: Option<Arc<Logs>>,
}

impl Engine {
    /// Puts an engine together. The first backend is the one for tasks that name none.
    pub fn new(store: Arc<dyn Store>, backends: Vec<Arc<dyn Backend>>, clock: Clock, settings: Settings) -> Arc<Self> {
        Self::among(Roster::alone(), store, backends, clock, settings, None)
    }

    /// The same as one of several servers, with somebody who keeps what jobs print before they are removed.
    pub fn among(
        roster: Arc<Roster>,
        store: Arc<dyn Store>,
        backends: Vec<Arc<dyn Backend>>,
        clock: Clock,
        settings: Settings,
        logs: Option<Arc<Logs>>,
    ) -> Arc<Self> {
        let sites = backends.into_iter().map(|backend| Arc::new(Site::new(backend))).collect();
        let (absent, walks) = (Quiet::default(), Pace::default());
        Arc::new(Self { store, sites, clock, settings, roster, absent, walks, logs })
    }

    /// A task was created: wakes the dispatchers.
    pub fn wake_dispatch(&self) {
        for site in &self.sites {
            site.bells.dispatch.ring();
        }
    }

    /// A cancel was recorded: wakes those who stop jobs.
    pub fn wake_cancel(&self) {
        for site in &self.sites {
            site.bells.cancel.ring();
        }
    }

    /// The backends, the first being the one for tasks that name none.
    pub fn backends(&self) -> Vec<Arc<dyn Backend>> {
        self.sites.iter().map(|site| site.backend.clone()).collect()
    }

    /// The configured backends that do not do their work now, and since when and why.
    pub fn troubles(&self) -> Vec<(String, Timestamp, String)> {
        let named = |site: &Arc<Site>| Some((site.name().to_owned(), site.trouble()?));
        let down = self.sites.iter().filter_map(named);
        down.map(|(name, down)| (name, down.since, down.reason)).collect()
    }

    /// Records events; whoever follows the tasks hears of it.
    pub(super) async fn record(&self, records: Vec<Record>) -> Result<Vec<Recorded>, StoreError> {
        let tasks: Vec<TaskId> = match &self.logs {
            Some(_) => records.iter().map(|record| record.task.clone()).collect(),
            None => Vec::new(),
        };
        let told = self.store.record(records).await?;
        if let Some(logs) = &self.logs {
            tasks.iter().for_each(|task| logs.changed(task));
        }
        Ok(told)
    }

    /// Whether a job that is over may be removed: what it printed is kept, or cannot be. The bell rings when it is
    /// time to ask again.
    pub(super) fn may_release(&self, site: &Site, task: &TaskId, job: &JobRef, bell: &Bell) -> bool {
        let Some(logs) = &self.logs else { return true };
        logs.may_release(task, job, site.has_told_all(&Handle(job.handle.clone())), bell)
    }

    /// Whether a job waits for what it printed to be kept.
    pub(super) fn waits_for_logs(&self, job: &JobRef) -> bool {
        self.logs.as_ref().is_some_and(|logs| logs.is_waited_for(job))
    }

    pub(super) fn site(&self, name: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.name() == name)
    }

    /// The site that tasks mean by this name.
    pub(super) fn serving(&self, asked: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.serves() == asked)
    }

    pub(super) fn claim_until(&self, now: Timestamp) -> Timestamp {
        after(now, self.settings.claim_lease())
    }

    /// An event, to be recorded now.
    pub(super) fn event(&self, task: &TaskId, fence: Option<Fence>, event: Event) -> Record {
        Record { task: task.clone(), fence, at: self.clock.now(), event }
    }
}
