//! A server without doors: a real store, a scripted world, a clock that is held.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{Backend, InstallationId, JobId};

use crate::clock::Clock;
use crate::engine::{Engine, Settings, absent, cancel, dispatch, observe, sweep};
use crate::store::sqlite::Sqlite;
use crate::store::{Recorded, Store};
use crate::task::spec::{Executor, Input, Resources};
use crate::task::{Owner, Phase, Task, TaskId, TaskSpec};

pub(super) struct Stage {
    pub(super) store: Arc<Sqlite>,
    pub(super) outside: Outside,
    pub(super) clock: Clock,
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Settings,
    backends: Vec<Arc<dyn Backend>>,
    _folder: TempDir,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(Settings::default(), |scripted| vec![scripted])
    }

    /// With other settings, and backends made of one that speaks for the world.
    pub(super) fn with(settings: Settings, backends: impl FnOnce(Scripted) -> Vec<Scripted>) -> Self {
        // Memory is fast to flush; what is tested here is not the disk.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tasks.db")).unwrap());
        let clock = Clock::held("2030-01-01T00:00:00Z".parse().unwrap());
        let outside = Outside::in_memory_at({
            let clock = clock.clone();
            move || clock.now()
        });
        let scripted = Scripted::new(outside.clone(), store.installation().clone()).with_page_size(3);
        let backends: Vec<Arc<dyn Backend>> =
            backends(scripted).into_iter().map(|one| Arc::new(one) as Arc<dyn Backend>).collect();
        let engine = Engine::new(store.clone(), backends.clone(), clock.clone(), settings.clone());
        Self { store, outside, clock, engine, settings, backends, _folder: folder }
    }

    /// The server dies, and another begins.
    pub(super) fn restart(&mut self) {
        self.restart_with(self.backends.clone());
    }

    /// The server dies, and another begins with these backends.
    pub(super) fn restart_with(&mut self, backends: Vec<Arc<dyn Backend>>) {
        self.engine = Engine::new(self.store.clone(), backends, self.clock.clone(), self.settings.clone());
    }

    pub(super) fn backends(&self) -> Vec<Arc<dyn Backend>> {
        self.backends.clone()
    }

    pub(super) fn installation(&self) -> &InstallationId {
        self.store.installation()
    }

    pub(super) fn owner() -> Owner {
        Owner::anonymous()
    }

    pub(super) async fn create(&self, spec: TaskSpec) -> TaskId {
        let id = TaskId::new(self.clock.now());
        self.store.create(&Self::owner(), &id, self.clock.now(), spec).await.unwrap();
        id
    }

    pub(super) async fn cancel(&self, id: &TaskId) -> Recorded {
        self.store.request_cancel(&Self::owner(), id, self.clock.now(), true).await.unwrap().unwrap()
    }

    pub(super) async fn task(&self, id: &TaskId) -> Task {
        self.store.get(&Self::owner(), id).await.unwrap().unwrap()
    }

    pub(super) async fn phase(&self, id: &TaskId) -> Phase {
        self.task(id).await.state.phase()
    }

    /// The whole log of a task, attempt after attempt.
    pub(super) async fn log(&self, id: &TaskId) -> Vec<String> {
        let attempts = self.task(id).await.attempts;
        attempts.into_iter().flat_map(|attempt| attempt.log).map(|line| line.text).collect()
    }

    /// The last line of the last attempt that has one.
    pub(super) async fn last_line(&self, id: &TaskId) -> String {
        self.log(id).await.pop().unwrap_or_default()
    }

    /// Every kind of tick once.
    pub(super) async fn tick(&self) {
        dispatch::tick(&self.engine).await.unwrap();
        cancel::tick(&self.engine).await.unwrap();
        observe::tick(&self.engine).await.unwrap();
        absent::tick(&self.engine).await.unwrap();
        sweep::tick(&self.engine).await.unwrap();
    }

    /// Ticks until what can happen now has happened.
    pub(super) async fn settle(&self) {
        for _ in 0..4 {
            self.tick().await;
        }
    }

    /// Lets time pass, in steps, with ticks between.
    pub(super) async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(500);
        let mut left = time;
        while !left.is_zero() {
            let now = step.min(left);
            self.clock.advance(now);
            left -= now;
            self.tick().await;
        }
    }

    /// Lets time pass until a task has ended, or much time is over.
    pub(super) async fn until_ended(&self, id: &TaskId) -> Phase {
        for _ in 0..1_000 {
            self.settle().await;
            let phase = self.phase(id).await;
            if phase.is_terminal() {
                return phase;
            }
            self.clock.advance(Duration::from_secs(1));
        }
        panic!("the task {id} has not ended: {:?}", self.log(id).await);
    }

    /// Nothing is left outside, and nothing careless was done.
    pub(super) async fn assert_clean(&self) {
        for _ in 0..200 {
            self.settle().await;
            let left = self.store.leftovers(1_000).await.unwrap();
            if left.is_empty() && self.jobs().is_empty() {
                break;
            }
            self.clock.advance(Duration::from_secs(10));
        }
        assert_eq!(self.store.leftovers(1_000).await.unwrap(), vec![]);
        assert_eq!(self.jobs(), vec![]);
        assert_eq!(self.outside.violations(), Vec::<String>::new());
        for (job, step, starts) in self.outside.all_starts() {
            assert_eq!(starts, 1, "executor {step} of {job} was started {starts} times");
        }
    }

    /// The jobs that are outside.
    pub(super) fn jobs(&self) -> Vec<JobId> {
        self.outside.jobs(self.store.installation()).unwrap()
    }

    /// The job of an attempt.
    pub(super) fn job(id: &TaskId, attempt: u32) -> JobId {
        JobId::of_attempt(id.as_str(), attempt)
    }

    /// How often the first executor of an attempt was started.
    pub(super) fn starts(&self, id: &TaskId, attempt: u32) -> usize {
        self.outside.starts(self.store.installation(), &Self::job(id, attempt), 0)
    }
}

/// A task of one executor that does as these words say.
pub(super) fn doing(words: &[&str]) -> TaskSpec {
    let executor = Executor {
        image: "scripted".to_owned(),
        command: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Executor::default()
    };
    TaskSpec { executors: vec![executor], ..TaskSpec::default() }
}

/// The same, after an input that does as its URL says.
pub(super) fn staging(url: &str, words: &[&str]) -> TaskSpec {
    let input = Input { path: "/in".to_owned(), url: Some(url.to_owned()), ..Input::default() };
    TaskSpec { inputs: vec![input], ..doing(words) }
}

/// The same, asking for cores.
pub(super) fn needing(cpu_cores: f64, words: &[&str]) -> TaskSpec {
    let resources = Resources { cpu_cores: Some(cpu_cores), ..Resources::default() };
    TaskSpec { resources: Some(resources), ..doing(words) }
}

/// The same, with a backend parameter.
pub(super) fn with_parameter(key: &str, value: &str, words: &[&str]) -> TaskSpec {
    let parameters = [(key.to_owned(), value.to_owned())].into();
    let resources = Resources { backend_parameters: Some(parameters), ..Resources::default() };
    TaskSpec { resources: Some(resources), ..doing(words) }
}
