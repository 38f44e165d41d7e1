//! The engine put together.

use std::sync::Arc;

use jiff::Timestamp;
use tessera_contract::Backend;
use ulid::Ulid;

use super::pace::Pace;
use super::quiet::Quiet;
use super::settings::Settings;
use super::site::Site;
use crate::clock::{Clock, after};
use crate::store::{Fence, Holder, Record, Store};
use crate::task::{Event, TaskId};

/// What a tick has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// There is more to do at once.
    More,
    /// Nothing more until somebody rings, or the period is over.
    Done,
}

/// Moves the tasks of a store with the backends there are.
pub struct Engine {
    pub(super) store: Arc<dyn Store>,
    pub(super) sites: Vec<Arc<Site>>,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) holder: Holder,
    /// What tasks have been told whose backend is not configured any more.
    pub(super) absent: Quiet,
    /// Of those who walk down the queue to explain it.
    pub(super) walks: Pace,
}

impl Engine {
    /// Puts an engine together. The first backend is the one for tasks that name none.
    pub fn new(store: Arc<dyn Store>, backends: Vec<Arc<dyn Backend>>, clock: Clock, settings: Settings) -> Arc<Self> {
        let sites = backends.into_iter().map(|backend| Arc::new(Site::new(backend))).collect();
        let holder = Holder(Ulid::generate().to_string().to_ascii_lowercase());
        Arc::new(Self { store, sites, clock, settings, holder, absent: Quiet::default(), walks: Pace::default() })
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

    pub(super) fn site(&self, name: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.name() == name)
    }

    pub(super) fn claim_until(&self, now: Timestamp) -> Timestamp {
        after(now, self.settings.claim_lease())
    }

    /// An event, to be recorded now.
    pub(super) fn event(&self, task: &TaskId, fence: Option<Fence>, event: Event) -> Record {
        Record { task: task.clone(), fence, at: self.clock.now(), event }
    }
}
