//! One seed's world: servers, callers, backends, a store, and what goes wrong; polled step by step.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tessera::engine::Settings;
use tessera::roster::{Terms, at_machine};
use tessera::store::memory::{Flaw, Memory, Semantics};
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{Capacity, InstallationId};

use crate::caller::{Caller, Promise};
use crate::executor::{Actor, Executor};
use crate::network::{Lie, Site, Sites};
use crate::server::{Server, Start};
use crate::several::Shared;
use crate::watch::Watch;

/// Which world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) semantics: Semantics,
    /// A promise of the store that is broken on purpose.
    pub(crate) flaw: Option<Flaw>,
    /// A promise of the backends, or of the way to them, that is broken on purpose.
    pub(crate) lie: Option<Lie>,
    /// Of what is written, and of last looks before a hand-over, every third is late, often by more than a claim lasts.
    pub(crate) slow_store: bool,
}

/// What will happen at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Later {
    Restart(usize),
    Resume(usize),
    Reach(usize),
    Answer(usize),
}

/// All of it.
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) executor: Executor,
    pub(crate) servers: Vec<Server>,
    pub(crate) start: Start,
    pub(crate) promises: Arc<Mutex<Vec<Promise>>>,
    pub(crate) later: Vec<(u64, Later)>,
    watch: Watch,
}

impl World {
    pub(crate) fn new(kind: Kind, seed: u64, is_told: bool) -> Self {
        let shared = Shared::new(seed, 3, 5, is_told);
        shared.lock().slow_store = kind.slow_store;
        let installation = InstallationId("simulated0000000".to_owned());
        let store = Memory::new(kind.semantics, installation.clone());
        if let Some(flaw) = kind.flaw {
            store.breaks(flaw);
        }
        let count = match kind.semantics {
            Semantics::Alone => 1,
            Semantics::Shared => usize::try_from(shared.between(1, 3)).unwrap(),
        };
        let machines = if kind.semantics == Semantics::Shared { count } else { 0 };
        let names = ["alpha", "beta"].map(|name| (name.to_owned(), None)).into_iter();
        let machines = (0..machines).map(|server| (at_machine("docker", &format!("server-{server}")), Some(server)));
        let all = names.chain(machines).enumerate();
        let all = all.map(|(index, (name, machine))| site(&shared, &installation, kind, index, name, machine));
        let sites = Sites { all: Arc::new(all.collect()) };
        let settings = settings(&shared);
        let patience_ms = shared.lock().patience_ms;
        let lease = Duration::from_millis(patience_ms * shared.between(1, 4));
        let terms = Terms { lease, absent_after: 4 * lease };
        let start = Start { shared: shared.clone(), store, sites, settings, configured: vec![0, 1], terms };
        let mut world = Self {
            executor: Executor::default(),
            servers: (0..count).map(Server::new).collect(),
            start,
            promises: Arc::default(),
            later: Vec::new(),
            watch: Watch::default(),
            shared,
        };
        for server in 0..count {
            world.start(server);
        }
        for number in 0..world.shared.between(4, 16) {
            let caller = Caller { shared: world.shared.clone(), number, promises: world.promises.clone() };
            world.executor.spawn(Actor::Caller, Box::pin(caller.run()));
        }
        world
    }

    /// Begins a run of a server.
    pub(crate) fn start(&mut self, server: usize) {
        self.servers[server].start(&mut self.executor, &self.start);
    }

    /// Polls one future, by chance; when none can go on, time passes until one can. Whether anything was left to do.
    pub(crate) fn step(&mut self) -> bool {
        let servers = &self.servers;
        let is_paused = |actor| matches!(actor, Actor::Server(index) if servers[index].is_paused);
        let shared = self.shared.clone();
        let taken = self.executor.take(|ready| shared.lock().dice.index(ready), is_paused);
        let Some(taken) = taken else {
            let Some(next) = self.next_moment() else { return false };
            self.pass_until(next);
            return true;
        };
        self.poll(taken);
        if self.shared.lock().dice.one_in(10) {
            let to = self.shared.now_ms() + self.shared.below(100);
            self.pass_until(to);
        }
        true
    }

    fn next_moment(&self) -> Option<u64> {
        let timer = self.shared.lock().timers.first_key_value().map(|((at, _), _)| *at);
        let later = self.later.iter().map(|(at, _)| *at).min();
        [timer, later].into_iter().flatten().min()
    }

    /// Lets time pass. What is on its way to a backend arrives in its time, whoever else has something to do.
    pub(crate) fn pass_until(&mut self, to: u64) {
        loop {
            while let Some(place) = self.executor.take_of_network() {
                self.poll(place);
            }
            match self.next_moment().filter(|next| *next <= to) {
                Some(next) => self.set_time(next),
                None => return self.set_time(to),
            }
        }
    }

    fn set_time(&mut self, to: u64) {
        let mut due = Vec::new();
        {
            let mut inner = self.shared.lock();
            inner.now_ms = inner.now_ms.max(to);
            while let Some(timer) = inner.timers.first_entry().filter(|timer| timer.key().0 <= to) {
                due.push(timer.remove());
            }
        }
        for waker in due {
            waker.wake();
        }
        for server in self.servers.iter().filter(|server| server.is_up) {
            server.set_clock(to);
        }
        let now: Vec<Later> = self.later.iter().filter(|(at, _)| *at <= to).map(|(_, later)| *later).collect();
        self.later.retain(|(at, _)| *at > to);
        for later in now {
            self.happens(later);
        }
    }

    fn poll(&mut self, place: usize) {
        let actor = self.executor.poll(place);
        let spawned = {
            let mut inner = self.shared.lock();
            inner.tally.steps += 1;
            std::mem::take(&mut inner.to_spawn)
        };
        for (actor, running) in spawned {
            self.executor.spawn(actor, running);
        }
        let name = match actor {
            Some(Actor::Server(index)) => self.servers[index].name.as_str(),
            Some(Actor::Network) => "network",
            Some(Actor::Caller) | None => "a caller",
        };
        self.watch.look(&self.shared, &self.start.sites, &self.start.store.ground(), name);
    }
}

fn site(
    shared: &Shared,
    installation: &InstallationId,
    kind: Kind,
    index: usize,
    name: String,
    machine_of: Option<usize>,
) -> Site {
    let installation = match machine_of {
        Some(server) => InstallationId(format!("server-{server}-{}", installation.0)),
        None => installation.clone(),
    };
    let jobs = *shared.lock().dice.pick(&[None, Some(1), Some(3)]);
    let capacity = Capacity { jobs, cpu_milli: Some(4_000), ram_bytes: None };
    let world = || {
        let clock = shared.clone();
        let outside = Outside::in_memory_at(move || clock.now());
        let scripted = Scripted::new(outside, installation.clone()).named(&name).local(machine_of.is_some());
        scripted.with_capacity(capacity).with_page_size(2)
    };
    let (scripted, twin) = (world(), (kind.lie == Some(Lie::ForgetsItsJobs)).then(world));
    Site { index, name, installation, machine_of, scripted, twin, lie: kind.lie, stopped: Arc::default() }
}

/// Small pages, so that few tasks are many.
fn settings(shared: &Shared) -> Settings {
    let mut inner = shared.lock();
    let dice = &mut inner.dice;
    let patience_ms = *dice.pick(&[2_000, 5_000, 15_000]);
    let lease_ms = patience_ms * dice.between(3, 5);
    let settings = Settings {
        call_timeout_ms: patience_ms,
        claim_lease_ms: lease_ms,
        scan: *dice.pick(&[1, 2, 512]),
        claims: *dice.pick(&[1, 2, 256]),
        calls_at_once: *dice.pick(&[1, 2, 64]),
        observe_batch: *dice.pick(&[1, 2, 512]),
        retry_after_start: dice.one_in(2),
        ..Settings::default()
    };
    inner.patience_ms = patience_ms;
    inner.lease_ms = lease_ms;
    settings
}
