//! Several servers without doors on one store: a cluster that all can ask, a machine of each one's own, clocks that a test
//! moves.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{Backend, Capacity, InstallationId};

use super::line::Shared;
use super::stage::Stage;
use crate::clock::Clock;
use crate::engine::{Engine, Settings, absent, cancel, dispatch, observe, sweep};
use crate::roster::{Newcomer, NotJoined, Roster, Terms, at_machine};
use crate::store::sqlite::Sqlite;
use crate::store::{Offer, Store};
use crate::task::{Phase, Task, TaskId, TaskSpec};

/// How long a server's word holds here.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How long a machine is waited for here.
pub(super) const ABSENT: Duration = Duration::from_secs(300);

/// The store and the world.
pub(super) struct House {
    pub(super) store: Arc<Sqlite>,
    /// What the cluster has.
    pub(super) cluster: Outside,
    /// The true time.
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    _folder: TempDir,
}

/// One of the servers.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) engine: Arc<Engine>,
    pub(super) roster: Arc<Roster>,
    pub(super) store: Arc<Shared>,
    pub(super) clock: Clock,
    /// What its machine has.
    pub(super) machine: Outside,
    cores: Option<u64>,
}

impl House {
    pub(super) fn new() -> Self {
        // Narrow, so that there are many points to stop at; and patient for as long as is needed, so that time flies.
        Self::with(Settings {
            calls_at_once: 2,
            observe_batch: 4,
            claims: 4,
            scan: 4,
            call_timeout_ms: 2_000,
            claim_lease_ms: 6_000,
            sweep_period_ms: 5_000,
            ..Settings::default()
        })
    }

    pub(super) fn with(settings: Settings) -> Self {
        let clock = Clock::held("2030-01-01T00:00:00Z".parse().unwrap());
        Self::on(world(&clock), clock, settings)
    }

    /// On the system's clock.
    pub(super) fn in_real_time(settings: Settings) -> Self {
        Self::on(Outside::in_memory(), Clock::system(), settings)
    }

    fn on(cluster: Outside, clock: Clock, settings: Settings) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tasks.db")).unwrap());
        Self { store, cluster, clock, settings, _folder: folder }
    }

    /// A server that begins, on the true time.
    pub(super) async fn server(&self, name: &str) -> Server {
        self.begin(name, name, self.clock.clone(), world(&self.clock), None).await.unwrap()
    }

    /// One whose clock is wrong by so many seconds.
    pub(super) async fn server_that_is_wrong_by(&self, name: &str, seconds: i64) -> Server {
        let clock = Clock::held(self.clock.now() + jiff::SignedDuration::from_secs(seconds));
        self.begin(name, name, clock, world(&self.clock), None).await.unwrap()
    }

    /// One whose machine has so many thousandths of a core.
    pub(super) async fn server_of(&self, name: &str, cores: u64) -> Server {
        self.begin(name, name, self.clock.clone(), world(&self.clock), Some(cores)).await.unwrap()
    }

    /// The same server after its end, on the same machine.
    pub(super) async fn again(&self, former: &Server) -> Server {
        let (clock, machine) = (former.clock.clone(), former.machine.clone());
        self.begin(&former.name, &former.name, clock, machine, former.cores).await.unwrap()
    }

    pub(super) async fn begin(
        &self,
        name: &str,
        seat: &str,
        clock: Clock,
        machine: Outside,
        cores: Option<u64>,
    ) -> Result<Server, NotJoined> {
        let store = Shared::new(self.store.clone());
        let installation = self.store.installation().clone();
        let local = at_machine("docker", name);
        let capacity = Capacity { cpu_milli: cores, ..Capacity::default() };
        let docker = Scripted::new(machine.clone(), local_installation(&installation, name)).local(true).named(&local);
        let backends: Vec<Arc<dyn Backend>> = vec![
            Arc::new(Scripted::new(self.cluster.clone(), installation).with_page_size(3).named("cluster")),
            Arc::new(docker.with_capacity(capacity)),
        ];
        let offer = |name: &str, local, cpu_milli| Offer { name: name.to_owned(), local, cpu_milli, ram_bytes: None };
        let newcomer = Newcomer {
            name: name.to_owned(),
            seat: seat.to_owned(),
            address: Some(format!("http://{name}:8000")),
            backends: vec![offer("cluster", false, None), offer("docker", true, cores)],
        };
        let terms = Terms { lease: LEASE, absent_after: ABSENT };
        let roster = Roster::join(&*store, newcomer, terms, &clock).await?;
        let engine = Engine::among(roster.clone(), store.clone(), backends, clock.clone(), self.settings.clone(), None);
        Ok(Server { name: name.to_owned(), engine, roster, store, clock, machine, cores })
    }

    pub(super) async fn create(&self, spec: TaskSpec) -> TaskId {
        let id = TaskId::new(self.clock.now());
        self.store.create(&Stage::owner(), &id, self.clock.now(), spec).await.unwrap();
        id
    }

    pub(super) async fn cancel(&self, id: &TaskId) {
        self.store.request_cancel(&Stage::owner(), id, self.clock.now(), true).await.unwrap().unwrap();
    }

    pub(super) async fn task(&self, id: &TaskId) -> Task {
        self.store.get(&Stage::owner(), id).await.unwrap().unwrap()
    }

    pub(super) async fn phase(&self, id: &TaskId) -> Phase {
        self.task(id).await.state.phase()
    }

    pub(super) async fn log(&self, id: &TaskId) -> Vec<String> {
        let attempts = self.task(id).await.attempts;
        attempts.into_iter().flat_map(|attempt| attempt.log).map(|line| line.text).collect()
    }

    /// Lets time pass for everybody, in steps, with ticks of these servers between; the others are dead or stopped, and
    /// their clocks go on all the same.
    pub(super) async fn pass(&self, time: Duration, working: &[&Server], wrong: &[&Server]) {
        let step = Duration::from_secs(3);
        let mut left = time;
        while !left.is_zero() {
            let now = step.min(left);
            self.clock.advance(now);
            wrong.iter().for_each(|server| server.clock.advance(now));
            left -= now;
            for server in working {
                server.tick().await;
            }
        }
    }

    /// Ticks until what can happen now has happened.
    pub(super) async fn settle(&self, working: &[&Server]) {
        for _ in 0..4 {
            for server in working {
                server.tick().await;
            }
        }
    }

    /// Lets time pass until a task has ended, or much time is over.
    pub(super) async fn until_ended(&self, id: &TaskId, working: &[&Server]) -> Phase {
        for _ in 0..1_000 {
            for server in working {
                server.tick().await;
            }
            let phase = self.phase(id).await;
            if phase.is_terminal() {
                return phase;
            }
            self.clock.advance(Duration::from_secs(1));
        }
        panic!("the task {id} has not ended: {:?}", self.log(id).await);
    }

    /// Nothing is left outside, nothing careless was done, and no command was started twice.
    pub(super) async fn assert_clean(&self, servers: &[&Server]) {
        let installation = self.store.installation();
        let machines: Vec<(&Outside, InstallationId)> =
            servers.iter().map(|one| (&one.machine, local_installation(installation, &one.name))).collect();
        let worlds: Vec<(&Outside, InstallationId)> =
            machines.into_iter().chain([(&self.cluster, installation.clone())]).collect();
        for _ in 0..200 {
            self.settle(servers).await;
            let left = self.store.leftovers(1_000).await.unwrap();
            if left.is_empty() && worlds.iter().all(|(world, id)| world.jobs(id).unwrap().is_empty()) {
                break;
            }
            self.clock.advance(Duration::from_secs(5));
        }
        assert_eq!(self.store.leftovers(1_000).await.unwrap(), vec![]);
        for (world, id) in worlds {
            assert_eq!(world.jobs(&id).unwrap(), vec![]);
            assert_eq!(world.violations(), Vec::<String>::new());
            for (job, step, starts) in world.all_starts() {
                assert_eq!(starts, 1, "executor {step} of {job} was started {starts} times");
            }
        }
    }
}

impl Server {
    /// Says that it is there, and does every kind of tick once. Where the store is out of reach nothing is done.
    pub(super) async fn tick(&self) {
        self.roster.beat(&*self.store, &self.clock).await;
        self.round().await;
    }

    /// Every kind of tick once.
    pub(super) async fn round(&self) {
        let _ = dispatch::tick(&self.engine).await;
        let _ = cancel::tick(&self.engine).await;
        let _ = observe::tick(&self.engine).await;
        let _ = absent::tick(&self.engine).await;
        let _ = sweep::tick(&self.engine).await;
    }

    /// How often the first executor of an attempt was started on its machine.
    pub(super) fn starts(&self, id: &TaskId, attempt: u32) -> usize {
        let installation = local_installation(self.store.installation(), &self.name);
        self.machine.starts(&installation, &Stage::job(id, attempt), 0)
    }
}

fn local_installation(installation: &InstallationId, name: &str) -> InstallationId {
    InstallationId(format!("{name}-{}", installation.0))
}

/// A world on the true time.
fn world(clock: &Clock) -> Outside {
    let clock = clock.clone();
    Outside::in_memory_at(move || clock.now())
}
