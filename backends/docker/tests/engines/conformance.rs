//! The promises of every backend, kept on Docker and on Podman.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tessera_contract::conformance::{self, Script, Subject, Wish};
use tessera_contract::{Backend, Handle, Job, JobId, Stream};
use tessera_docker::Docker;
use tessera_runtime::node::container;
use tessera_runtime::plan::{Executor, Input, Source};
use tessera_runtime::storage::settings::Rule;

use crate::ground::{Ground, Place, SHARED, job_of, shell};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn docker_keeps_every_promise() {
    if let Some(place) = Place::docker().await {
        hold(&place).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podman_keeps_every_promise() {
    if let Some(place) = Place::podman().await {
        hold(&place).await;
    }
}

async fn hold(place: &Place) {
    let (ours, theirs) = (Ground::new(place), Ground::new(place));
    let subject = OnEngine {
        now: Mutex::new(ours.open().await),
        stranger: theirs.open().await,
        silent: TcpListener::bind("127.0.0.1:0").unwrap(),
        ours,
        theirs,
    };
    if let Err(broken) = conformance::all(&subject).await {
        panic!("{broken:#}");
    }
    // What was released is taken down behind the suite's back, in moments.
    subject.ours.empty().await;
    subject.theirs.empty().await;
}

struct OnEngine {
    ours: Ground,
    theirs: Ground,
    now: Mutex<Arc<Docker>>,
    stranger: Arc<Docker>,
    /// Takes connections and never answers: an input that does not come.
    silent: TcpListener,
}

#[async_trait]
impl Subject for OnEngine {
    fn backend(&self) -> Arc<dyn Backend> {
        self.now.lock().unwrap().clone()
    }

    fn stranger(&self) -> Arc<dyn Backend> {
        self.stranger.clone()
    }

    fn job(&self, script: &Script) -> Job {
        let mut steps: Vec<Executor> = script.steps.iter().map(|wishes| executor(wishes)).collect();
        if steps.is_empty() {
            steps.push(executor(&[]));
        }
        let mut job = job_of(steps);
        if !script.owner.is_empty() {
            job.owner.clone_from(&script.owner);
        }
        if script.stalls_before_start {
            let source = format!("http://{}/", self.silent.local_addr().unwrap());
            job.plan.inputs.push(Input {
                path: "/never/comes".to_owned(),
                source: Source::Url(format!("{source}never")),
                kind: None,
            });
            // Addresses of this machine are closed to tasks, unless a rule opens them.
            job.plan.storage.rules.push(Rule { prefix: source, internal: true, ..Rule::default() });
        }
        job
    }

    async fn reopen(&self) {
        let next = self.ours.open().await;
        *self.now.lock().unwrap() = next;
    }

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn patience(&self) -> u32 {
        1_200
    }

    async fn counted(&self, mark: &str) -> usize {
        let mut counted = 0;
        for ground in [&self.ours, &self.theirs] {
            for entry in std::fs::read_dir(ground.work()).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                counted += ground.lines(&Handle(name), mark);
            }
        }
        counted
    }

    async fn is_running(&self, job: &JobId) -> bool {
        let engine = self.ours.place.engine();
        let found = engine.list(&[(container::JOB, job.as_str())]).await.unwrap();
        found.iter().any(|one| one.state.is_some_and(|state| state.to_string() == "running"))
    }

    async fn make_unreadable(&self, handle: &Handle) {
        std::fs::write(self.ours.attempt(handle).file("report.json"), "{").unwrap();
    }

    async fn lose(&self, handle: &Handle) {
        let attempt = self.ours.attempt(handle);
        crate::crash::kill_node(&attempt);
        let engine = self.ours.place.engine();
        for found in engine.list(&[(container::JOB, &handle.0)]).await.unwrap() {
            engine.remove(&found.id.unwrap()).await.unwrap();
        }
        std::fs::remove_dir_all(attempt.dir()).unwrap();
    }

    fn more_than_a_page(&self) -> usize {
        33
    }
}

/// The wishes as a shell script; texts never stand in it.
fn executor(wishes: &[Wish]) -> Executor {
    let (mut script, mut arguments, mut env) = (String::new(), Vec::new(), BTreeMap::new());
    for wish in wishes {
        match wish {
            Wish::Count(mark) => writeln!(script, "echo x >> {SHARED}/{mark}").unwrap(),
            Wish::Print(stream, text) => {
                arguments.push(text.clone());
                let to = match stream {
                    Stream::Stdout => "",
                    Stream::Stderr => " >&2",
                };
                writeln!(script, "printf '%s\\n' \"${{{}}}\"{to}", arguments.len()).unwrap();
            }
            Wish::PrintFromEnv(text) => {
                let name = format!("TEXT_{}", env.len());
                writeln!(script, "printf '%s\\n' \"${name}\"").unwrap();
                env.insert(name, text.clone());
            }
            Wish::RunFor(time) => writeln!(script, "sleep {}", time.as_secs_f64()).unwrap(),
            Wish::Hang => writeln!(script, "sleep 100000").unwrap(),
            Wish::End(code) => writeln!(script, "exit {code}").unwrap(),
        }
    }
    shell(&script, &arguments, env)
}
