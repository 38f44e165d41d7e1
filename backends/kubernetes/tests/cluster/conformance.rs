//! The promises of every backend, kept on a cluster: side by side, each under installations of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use tessera_contract::conformance::{Promise, Script, Subject, Wish, promises};
use tessera_contract::rules::jobs::{job_of, shell};
use tessera_contract::{Backend, Handle, Job, JobId, Observation, Stream};
use tessera_kubernetes::Kubernetes;
use tessera_runtime::plan::Executor;

use crate::ground::Ground;
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubernetes_keeps_every_promise() {
    let Some(place) = Place::cluster().await else { return };
    let only = std::env::var("TESSERA_TEST_PROMISES").unwrap_or_default();
    let wanted = promises().into_iter().filter(|promise| promise.name.contains(&only));
    let held: Vec<_> = wanted.map(|promise| (promise, tokio::spawn(hold(place.clone(), promise)))).collect();
    let mut broken = Vec::new();
    for (promise, task) in held {
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => broken.push(format!("- {}: {error:#}", promise.name)),
            Err(error) => broken.push(format!("- {}: {error}", promise.name)),
        }
    }
    assert!(broken.is_empty(), "{} promises are broken:\n{}", broken.len(), broken.join("\n"));
}

async fn hold(place: Place, promise: Promise) -> anyhow::Result<()> {
    let (ours, theirs) = (Ground::new(&place).await, Ground::beside(&place).await);
    let subject = OnCluster { now: Mutex::new(ours.open().await), stranger: theirs.open().await, ours, theirs };
    (promise.hold)(&subject).await
}

struct OnCluster {
    ours: Ground,
    theirs: Ground,
    now: Mutex<Arc<Kubernetes>>,
    stranger: Arc<Kubernetes>,
}

#[async_trait]
impl Subject for OnCluster {
    fn backend(&self) -> Arc<dyn Backend> {
        self.now.lock().unwrap().clone()
    }

    fn stranger(&self) -> Arc<dyn Backend> {
        self.stranger.clone()
    }

    fn job(&self, script: &Script) -> Job {
        let mut steps: Vec<Executor> = script.steps.iter().map(|wishes| self.executor(wishes)).collect();
        if steps.is_empty() {
            steps.push(self.executor(&[]));
        }
        let mut job = job_of(steps);
        if !script.owner.is_empty() {
            job.owner.clone_from(&script.owner);
        }
        if script.stalls_before_start {
            self.ours.outside.stall(&mut job);
        }
        job
    }

    async fn reopen(&self) {
        let next = self.ours.open().await;
        *self.now.lock().unwrap() = next;
    }

    async fn wait(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn patience(&self) -> u32 {
        1_500
    }

    async fn counted(&self, mark: &str) -> usize {
        self.ours.outside.counted(mark) + self.theirs.outside.counted(mark)
    }

    async fn is_running(&self, job: &JobId) -> bool {
        self.pods(job).await.iter().any(|pod| {
            let status = pod.status.clone().unwrap_or_default();
            let all = status.init_container_statuses.into_iter().flatten();
            let all = all.chain(status.container_statuses.into_iter().flatten());
            all.filter_map(|container| container.state).any(|state| state.running.is_some())
        })
    }

    /// Last words of a version that is not known yet, and a server that has not read others before. The kubelet puts
    /// its own back within seconds, so this ends when they have been seen.
    async fn make_unreadable(&self, handle: &Handle) {
        let pods = self.ours.place.api::<Pod>();
        let words = serde_json::json!({ "version": 99 }).to_string();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            for pod in self.pods(&job_in(handle)).await {
                let mut status = pod.status.unwrap();
                let all = status.container_statuses.iter_mut().flatten();
                for container in all.filter(|one| one.name == "stage-out") {
                    let ended = container.state.as_mut().and_then(|state| state.terminated.as_mut()).unwrap();
                    ended.message = Some(words.clone());
                }
                let patch = serde_json::json!({ "status": { "containerStatuses": status.container_statuses } });
                let name = pod.metadata.name.unwrap();
                pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
            }
            self.reopen().await;
            for _ in 0..10 {
                let seen = self.backend().observe(std::slice::from_ref(handle)).await.unwrap();
                if matches!(seen[0], Observation::Unreadable { .. }) {
                    return;
                }
                self.wait().await;
            }
            assert!(Instant::now() < deadline, "the words of {} are read all the same", handle.0);
        }
    }

    async fn lose(&self, handle: &Handle) {
        // Whatever is to happen is the same for each of its objects: they vanish, and no grace is given.
        let mut job = job_of(vec![self.executor(&[])]);
        job.id = job_in(handle);
        self.ours.delete_jobs(&job).await;
        self.ours.delete_pods(&job).await;
    }

    /// A page holds hundreds, which a small node would run for minutes; that pages join is shown without a cluster.
    fn more_than_a_page(&self) -> usize {
        12
    }
}

impl OnCluster {
    async fn pods(&self, job: &JobId) -> Vec<Pod> {
        let labels = format!("tessera.installation={},tessera.job={job}", self.ours.installation.0);
        self.ours.place.api::<Pod>().list(&ListParams::default().labels(&labels)).await.unwrap().items
    }

    /// The wishes as a shell script; texts never stand in it.
    fn executor(&self, wishes: &[Wish]) -> Executor {
        let (mut script, mut arguments, mut env) = (String::new(), Vec::new(), BTreeMap::new());
        for wish in wishes {
            match wish {
                Wish::Count(mark) => writeln!(script, "{}", self.ours.outside.count(mark)).unwrap(),
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
                // A kubelet looks at its containers once a second: what is shorter is never seen to run.
                Wish::RunFor(time) => writeln!(script, "sleep {}", time.as_secs_f64() + 3.0).unwrap(),
                Wish::Hang => writeln!(script, "sleep 100000").unwrap(),
                Wish::End(code) => writeln!(script, "exit {code}").unwrap(),
            }
        }
        shell(&script, &arguments, env)
    }
}

/// The job that a handle is of.
fn job_in(handle: &Handle) -> JobId {
    let (place, _) = handle.0.split_once('#').unwrap();
    JobId::parse(place.split_once('/').unwrap().1).unwrap()
}
