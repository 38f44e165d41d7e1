//! A server: an engine on a clock of its own, its ticks side by side. It dies at any await, and another run begins.

use std::sync::Arc;

use jiff::SignedDuration;
use tessera::clock::Clock;
use tessera::engine::{Engine, Settings, absent, cancel, dispatch, observe, sweep};
use tessera::roster::{Newcomer, Roster, Terms, base};
use tessera::store::memory::Memory;
use tessera::store::{Offer, Store};
use tessera_contract::Backend;

use crate::executor::{Actor, Executor};
use crate::network::{Network, Site, Sites};
use crate::several::{Shared, moment};
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
    /// Its machine does not come back.
    pub(crate) is_lost: bool,
    pub(crate) runs: u32,
    /// The backends that its run was started with, those of its machine aside.
    pub(crate) configured: Vec<usize>,
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
    pub(crate) terms: Terms,
}

impl Server {
    pub(crate) fn new(index: usize) -> Self {
        let name = format!("server-{index}");
        Self {
            index,
            name,
            clock: Clock::held(moment(0)),
            skew_ms: 0,
            is_up: false,
            is_paused: false,
            is_lost: false,
            runs: 0,
            configured: Vec::new(),
        }
    }

    /// Begins a run.
    pub(crate) fn start(&mut self, executor: &mut Executor, start: &Start) {
        self.runs += 1;
        self.configured.clone_from(&start.configured);
        self.is_up = true;
        self.is_paused = false;
        let shared = &start.shared;
        self.clock = Clock::held(moment(0));
        self.set_clock(shared.now_ms());
        let store = start.store.seen_through(plot(shared, start.store.is_shared(), self.index, &self.name));
        shared.lock().doors[self.index] = Some(store.clone());
        let own_machine = |site: &&Site| site.machine_of == Some(self.index);
        let configured = start.configured.iter().map(|site| &start.sites.all[*site]);
        let configured: Vec<&Site> = configured.chain(start.sites.all.iter().filter(own_machine)).collect();
        let backends: Vec<Arc<dyn Backend>> = configured
            .iter()
            .map(|site| {
                let (site, server) = ((*site).clone(), self.name.clone());
                let network = Network { shared: shared.clone(), sites: start.sites.clone(), site, server };
                Arc::new(network) as Arc<dyn Backend>
            })
            .collect();
        shared.tell(&self.name, None, || {
            let names: Vec<&str> = configured.iter().map(|site| site.name.as_str()).collect();
            format!("run {} begins, with {}", self.runs, names.join(" and "))
        });
        let run = Run {
            index: self.index,
            name: self.name.clone(),
            store: Arc::new(store),
            backends,
            clock: self.clock.clone(),
            start: start.clone(),
        };
        executor.spawn(Actor::Server(self.index), Box::pin(run.begin()));
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

/// One run.
struct Run {
    index: usize,
    name: String,
    store: Arc<Memory>,
    backends: Vec<Arc<dyn Backend>>,
    clock: Clock,
    start: Start,
}

impl Run {
    /// Joins the others where there are several, and then ticks.
    async fn begin(self) {
        let shared = self.start.shared.clone();
        let roster = if self.store.is_shared() { self.join().await } else { Roster::alone() };
        let settings = self.start.settings.clone();
        let engine =
            Engine::among(roster.clone(), self.store.clone(), self.backends, self.clock.clone(), settings, None);
        for kind in [Kind::Dispatch, Kind::Observe, Kind::Cancel, Kind::Sweep, Kind::Absent] {
            let ticking = ticking(shared.clone(), engine.clone(), kind);
            shared.spawn(Actor::Server(self.index), ticking);
        }
        let third = u64::try_from(self.start.terms.lease.as_millis()).unwrap() / 3;
        while !roster.is_alone() {
            let taken = roster.beat(&*self.store, &self.clock).await;
            shared.sleep(if taken { third } else { third.min(1_000) }).await;
        }
    }

    async fn join(&self) -> Arc<Roster> {
        let backends = self.backends.iter().map(|backend| {
            let profile = backend.profile();
            let (cpu_milli, ram_bytes) = (profile.capacity.cpu_milli, profile.capacity.ram_bytes);
            Offer { name: base(&profile.name).to_owned(), local: profile.local, cpu_milli, ram_bytes }
        });
        let (name, seat) = (self.name.clone(), format!("seat of {}", self.name));
        let newcomer = Newcomer { name, seat, address: None, backends: backends.collect() };
        loop {
            match Roster::join(&*self.store, newcomer.clone(), self.start.terms, &self.clock).await {
                Ok(roster) => return roster,
                Err(error) => self.start.shared.tell(&self.name, None, || format!("has not joined: {error}")),
            }
            self.start.shared.sleep(1_000).await;
        }
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
async fn ticking(shared: Shared, engine: Arc<Engine>, kind: Kind) {
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
        if done.is_err() {
            shared.sleep(1_000).await;
        }
    }
}
