//! A server: an engine on a clock of its own, its ticks side by side. It dies at any await, and another run begins.

use std::sync::Arc;

use jiff::SignedDuration;
use tessera::clock::Clock;
use tessera::engine::{Engine, Settings, absent, cancel, dispatch, observe, sweep};
use tessera::store::memory::Memory;
use tessera_contract::Backend;

use crate::executor::{Actor, Executor};
use crate::network::{Network, Sites};
use crate::shared::{Shared, moment};
use crate::way::plot;

/// A server, whether it runs or not.
pub(crate) struct Server {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) clock: Clock,
    /// How far its clock is from the right one.
    pub(crate) skew_ms: i64,
    pub(crate) is_up: bool,
    pub(crate) is_paused: bool,
    pub(crate) runs: u32,
}

/// What a run of a server is started with.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) shared: Shared,
    pub(crate) store: Memory,
    pub(crate) sites: Sites,
    pub(crate) settings: Settings,
    /// The backends that are configured, in their order.
    pub(crate) configured: Vec<usize>,
}

impl Server {
    pub(crate) fn new(index: usize) -> Self {
        let name = format!("server-{index}");
        Self { index, name, clock: Clock::held(moment(0)), skew_ms: 0, is_up: false, is_paused: false, runs: 0 }
    }

    /// Begins a run.
    pub(crate) fn start(&mut self, executor: &mut Executor, start: &Start) {
        self.runs += 1;
        self.is_up = true;
        self.is_paused = false;
        let shared = &start.shared;
        self.clock = Clock::held(moment(0));
        self.set_clock(shared.now_ms());
        let store = start.store.seen_through(plot(shared, self.index, &self.name));
        shared.lock().doors[self.index] = Some(store.clone());
        let backends = start.configured.iter().map(|site| {
            let site = start.sites.all[*site].clone();
            let server = self.name.clone();
            Arc::new(Network { shared: shared.clone(), sites: start.sites.clone(), site, server }) as Arc<dyn Backend>
        });
        let engine = Engine::new(Arc::new(store), backends.collect(), self.clock.clone(), start.settings.clone());
        for kind in [Kind::Dispatch, Kind::Observe, Kind::Cancel, Kind::Sweep, Kind::Absent] {
            let ticking = ticking(shared.clone(), engine.clone(), kind, self.name.clone());
            executor.spawn(Actor::Server(self.index), Box::pin(ticking));
        }
        shared.tell(&self.name, None, || {
            let configured: Vec<&str> = start.configured.iter().map(|site| start.sites.all[*site].name).collect();
            format!("run {} begins, with {}", self.runs, configured.join(" and "))
        });
    }

    /// Dies: whatever it waited for, it waits for no more.
    pub(crate) fn crash(&mut self, executor: &mut Executor, shared: &Shared) {
        executor.drop_all_of(Actor::Server(self.index));
        self.is_up = false;
        self.is_paused = false;
        shared.lock().doors[self.index] = None;
    }

    /// Its clock goes on with the right one, from where it is.
    pub(crate) fn set_clock(&self, now_ms: u64) {
        self.clock.put(moment(now_ms) + SignedDuration::from_millis(self.skew_ms));
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Dispatch,
    Observe,
    Cancel,
    Sweep,
    Absent,
}

/// One kind of tick, again and again. The engine's loops wait for bells; here chance rings them.
async fn ticking(shared: Shared, engine: Arc<Engine>, kind: Kind, name: String) {
    loop {
        let period = match kind {
            Kind::Dispatch | Kind::Observe | Kind::Cancel => 1_500,
            Kind::Sweep => 6_000,
            Kind::Absent => 30_000,
        };
        shared.sleep(shared.below(period)).await;
        let done = match kind {
            Kind::Dispatch => dispatch::tick(&engine).await,
            Kind::Observe => observe::tick(&engine).await,
            Kind::Cancel => cancel::tick(&engine).await,
            Kind::Sweep => sweep::tick(&engine).await,
            Kind::Absent => absent::tick(&engine).await,
        };
        if let Err(error) = done {
            shared.tell(&name, None, || format!("a tick ({kind:?}) ends: {error}"));
            shared.sleep(1_000).await;
        }
    }
}
