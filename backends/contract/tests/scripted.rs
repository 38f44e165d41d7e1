//! The scripted fake keeps every promise, in memory and in a folder, and notices a careless caller.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::conformance::{self, Script, Subject, Wish};
use tessera_contract::scripted::{Mischief, Outside, Scripted, Verb};
use tessera_contract::{Backend, BackendError, Handle, InstallationId, Job, JobId, Observation, Stream};
use tessera_runtime::plan::{Executor, Input, Limits, PLAN_VERSION, Plan, Policy, Source, Storage};

/// The fake with hands in its world.
struct Fake {
    installation: InstallationId,
    folder: Option<PathBuf>,
    outside: Mutex<Outside>,
    time: Arc<AtomicI64>,
    made: AtomicU64,
}

impl Fake {
    fn in_memory() -> Self {
        let time = Arc::new(AtomicI64::new(1_000_000));
        let now = time.clone();
        let outside = Outside::in_memory_at(move || Timestamp::from_millisecond(now.load(Ordering::SeqCst)).unwrap());
        Self::over(outside, None, time)
    }

    fn in_folder(folder: PathBuf) -> Self {
        let outside = Outside::in_folder(&folder).unwrap();
        Self::over(outside, Some(folder), Arc::default())
    }

    fn over(outside: Outside, folder: Option<PathBuf>, time: Arc<AtomicI64>) -> Self {
        Self {
            installation: InstallationId("ours".to_owned()),
            folder,
            outside: Mutex::new(outside),
            time,
            made: AtomicU64::new(0),
        }
    }

    fn outside(&self) -> Outside {
        self.outside.lock().unwrap().clone()
    }

    fn job_of(handle: &Handle) -> JobId {
        JobId::parse(handle.0.strip_prefix("scripted:").unwrap()).unwrap()
    }
}

#[async_trait]
impl Subject for Fake {
    fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(Scripted::new(self.outside(), self.installation.clone()).with_page_size(2))
    }

    fn stranger(&self) -> Arc<dyn Backend> {
        Arc::new(Scripted::new(self.outside(), InstallationId("theirs".to_owned())))
    }

    fn job(&self, script: &Script) -> Job {
        let n = self.made.fetch_add(1, Ordering::SeqCst);
        let id = JobId::of_attempt(&format!("task{n}"), 1);
        let mut executors = Vec::new();
        for wishes in &script.steps {
            let mut command = Vec::new();
            let mut env = BTreeMap::new();
            for wish in wishes {
                command.extend(match wish {
                    Wish::Count(mark) => ["count".to_owned(), mark.clone()].to_vec(),
                    Wish::Print(Stream::Stdout, text) => ["print".to_owned(), text.clone()].to_vec(),
                    Wish::Print(Stream::Stderr, text) => ["print-err".to_owned(), text.clone()].to_vec(),
                    Wish::PrintFromEnv(text) => {
                        let name = format!("TEXT_{}", env.len());
                        env.insert(name.clone(), text.clone());
                        ["print-env".to_owned(), name].to_vec()
                    }
                    Wish::RunFor(time) => ["run-ms".to_owned(), time.as_millis().to_string()].to_vec(),
                    Wish::Hang => ["hang".to_owned()].to_vec(),
                    Wish::End(code) => ["exit".to_owned(), code.to_string()].to_vec(),
                });
            }
            executors.push(Executor {
                image: "scripted".to_owned(),
                command,
                workdir: None,
                env,
                stdin: None,
                stdout: None,
                stderr: None,
                ignore_error: false,
            });
        }
        let stall = Input { path: "/stall".to_owned(), source: Source::Url("scripted:stall".to_owned()), kind: None };
        let plan = Plan {
            version: PLAN_VERSION,
            job: id.to_string(),
            inputs: if script.stalls_before_start { vec![stall] } else { vec![] },
            executors,
            outputs: vec![],
            volumes: vec![],
            limits: Limits::default(),
            policy: Policy::default(),
            storage: Storage::default(),
        };
        Job { id, owner: script.owner.clone(), plan, preemptible: false, zones: vec![], parameters: BTreeMap::new() }
    }

    async fn reopen(&self) {
        // In memory the world stays and only the backend is new; from a folder everything is read again.
        if let Some(folder) = &self.folder {
            *self.outside.lock().unwrap() = Outside::in_folder(folder).unwrap();
        }
    }

    async fn wait(&self) {
        if self.folder.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        self.time.fetch_add(20, Ordering::SeqCst);
    }

    fn patience(&self) -> u32 {
        200
    }

    async fn counted(&self, mark: &str) -> usize {
        self.outside().counted(mark).unwrap()
    }

    async fn is_running(&self, job: &JobId) -> bool {
        ["ours", "theirs"]
            .iter()
            .any(|name| self.outside().is_working(&InstallationId((*name).to_owned()), job).unwrap())
    }

    async fn make_unreadable(&self, handle: &Handle) {
        self.outside().make_unreadable(&self.installation, &Self::job_of(handle)).unwrap();
    }

    async fn lose(&self, handle: &Handle) {
        self.outside().lose(&self.installation, &Self::job_of(handle)).unwrap();
    }

    fn more_than_a_page(&self) -> usize {
        5
    }
}

#[tokio::test]
async fn in_memory_it_keeps_every_promise() {
    let fake = Fake::in_memory();
    conformance::all(&fake).await.unwrap();
    assert_eq!(fake.outside().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn in_a_folder_it_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::in_folder(folder.path().to_owned());
    conformance::all(&fake).await.unwrap();
    assert_eq!(fake.outside().violations(), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(folder.path().join("making")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_backend_that_forgets_is_caught_by_the_suite() {
    let fake = Fake::in_memory();
    fake.outside().always(Verb::Cancel, Mischief::Fail(BackendError::Unavailable("no".to_owned())));
    let broken = conformance::all(&fake).await.unwrap_err().to_string();
    assert!(broken.contains("cancelling::a_running_job_is_stopped"), "{broken}");
    assert!(!broken.contains("observing::none_asked"), "{broken}");
}

#[tokio::test]
async fn a_careless_caller_is_refused_and_remembered() {
    let fake = Fake::in_memory();
    let backend = fake.backend();
    let job = fake.job(&Script::one([Wish::Hang]));
    let handle = backend.submit(&job).await.unwrap();
    assert!(matches!(backend.release(&handle).await, Err(BackendError::Rejected(_))));
    assert!(matches!(backend.cancel(&Handle("other:1".to_owned())).await, Err(BackendError::Rejected(_))));
    backend.cancel(&handle).await.unwrap();
    backend.release(&handle).await.unwrap();
    assert!(matches!(backend.submit(&job).await, Err(BackendError::Rejected(_))));
    assert_eq!(fake.outside().violations().len(), 3);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_work_that_is_lost() {
    let fake = Fake::in_memory();
    let lost = BackendError::Unavailable("the answer was lost".to_owned());
    fake.outside().next(Verb::Submit, 1, Mischief::LoseAnswer(lost.clone()));
    let job = fake.job(&Script::one([Wish::Count("lost".to_owned())]));
    assert_eq!(fake.backend().submit(&job).await, Err(lost));
    let handle = fake.backend().submit(&job).await.unwrap();
    assert_eq!(fake.outside().counted("lost").unwrap(), 1);
    let seen = fake.backend().observe(&[handle]).await.unwrap();
    assert!(matches!(seen.as_slice(), [Observation::Ended(_)]));
}

#[tokio::test]
async fn a_held_job_misses_the_time_it_was_held() {
    let fake = Fake::in_memory();
    let backend = fake.backend();
    let job = fake.job(&Script::one([Wish::RunFor(std::time::Duration::from_millis(100))]));
    let handle = backend.submit(&job).await.unwrap();
    let look = async || backend.observe(std::slice::from_ref(&handle)).await.unwrap().remove(0);
    fake.outside().pause(&fake.installation, &job.id).unwrap();
    fake.time.fetch_add(1_000, Ordering::SeqCst);
    assert_eq!(look().await, Observation::Paused);
    fake.outside().resume(&fake.installation, &job.id).unwrap();
    assert!(matches!(look().await, Observation::Working(_)));
    fake.time.fetch_add(100, Ordering::SeqCst);
    assert!(matches!(look().await, Observation::Ended(_)));
}
