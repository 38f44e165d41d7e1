//! Nodes that are killed in each phase of an attempt whose files come from and go to S3: the next one goes on, the
//! command runs once, and whoever looks at the output sees nothing or all of it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tessera_contract::Backend;
use tessera_runtime::node::attempt::{self, Attempt};
use tessera_runtime::report::Outcome;

use crate::proxy::{Fault, Rule};
use crate::scene::{LARGE, Scene, files, input, output};

/// Kills a node, and looks at the output at that moment.
struct Killer {
    attempt: Attempt,
    output: PathBuf,
    killed: AtomicU32,
    /// Sizes of the output as it was seen; 0 for none.
    seen: Mutex<Vec<u64>>,
}

impl Killer {
    fn strike(&self) {
        let Ok(text) = fs::read_to_string(self.attempt.file(attempt::LOCK)) else { return };
        let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else { return };
        if rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok() {
            self.killed.fetch_add(1, Ordering::SeqCst);
        }
        self.seen.lock().unwrap().push(self.output.metadata().map_or(0, |about| about.len()));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before the first byte of the input, and in the middle of it.
    Fetching,
    /// The inputs lie in the tree.
    Staged,
    Running,
    /// In the middle of the parts.
    Delivering,
    /// The server completes the object, and nobody hears of it.
    Completing,
}

async fn killed(phase: Phase) {
    let Some(scene) = Scene::new().await else { return };
    let content: Vec<u8> = (0..LARGE).map(|at| (at / 997) as u8).collect();
    scene.holds("in", &content).await;
    let mut job = scene.job(&["echo x >> /shared/started; sleep 0.5; cat /in/file /shared/started > /out/file"]);
    job.plan.inputs = vec![input("/in/file", &scene.url("in"))];
    job.plan.outputs = vec![output("/out/file", &scene.url("out"))];
    let backend = scene.ground.open().await;
    let killer = Arc::new(Killer {
        attempt: scene.ground.attempt(&tessera_contract::Handle(job.id.to_string())),
        output: scene.behind("out"),
        killed: AtomicU32::default(),
        seen: Mutex::default(),
    });
    let strikes = |method: &str, path: &str, after: u64| {
        let killer = Arc::clone(&killer);
        Rule::new(Fault::First(Arc::new(move || killer.strike()))).method(method).path(path).after(after).times(1)
    };
    match phase {
        Phase::Fetching => scene.proxy.rules([strikes("GET", "/in", 0), strikes("GET", "/in", 2)]),
        Phase::Delivering => scene.proxy.rules([strikes("PUT", "partNumber=2", 0), strikes("PUT", "partNumber=3", 1)]),
        Phase::Completing => scene.proxy.rules([strikes("POST", "uploadId", 0)]),
        Phase::Staged | Phase::Running => {}
    }
    let handle = backend.submit(&job).await.unwrap();
    let waits = async {
        let due = || match phase {
            Phase::Staged => killer.attempt.has(attempt::STAGED).unwrap_or(false),
            Phase::Running => scene.ground.lines(&handle, "started") > 0,
            Phase::Fetching | Phase::Delivering | Phase::Completing => true,
        };
        while !due() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if matches!(phase, Phase::Staged | Phase::Running) {
            killer.strike();
        }
    };
    let ((), report) = tokio::join!(waits, scene.ground.ended(&backend, &handle));
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert!(killer.killed.load(Ordering::SeqCst) > 0, "no node was killed, so nothing was shown");
    let whole = [&content[..], b"x\n"].concat();
    let seen = killer.seen.lock().unwrap().clone();
    assert!(seen.iter().all(|size| *size == 0 || *size == whole.len() as u64), "half an object was seen: {seen:?}");
    assert!(fs::read(scene.behind("out")).unwrap() == whole, "the output is complete, and the command ran once");
    let told: Vec<_> = report.outputs.iter().map(|file| (file.url.clone(), file.size_bytes)).collect();
    assert_eq!(told, [(scene.url("out"), whole.len() as u64)]);
    let left = files(&scene.ground.folder.path().join("cache/new"));
    assert!(left.is_empty(), "what a killed node was fetching is removed: {left:?}");
    backend.release(&handle).await.unwrap();
    scene.ground.gone(&handle).await;
    scene.ground.empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_fetching() {
    killed(Phase::Fetching).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_fetching_and_the_command() {
    killed(Phase::Staged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_command_runs() {
    killed(Phase::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_delivering() {
    killed(Phase::Delivering).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_object_is_complete_and_the_report_is_not_written() {
    killed(Phase::Completing).await;
}
