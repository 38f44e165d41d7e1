//! Nodes that are killed: at every moment the next one goes on, and no command is started twice.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tessera_contract::{Backend, Handle};
use tessera_docker::Docker;
use tessera_runtime::node::attempt::{self, Attempt};
use tessera_runtime::node::container;
use tessera_runtime::plan::{Input, Output, Source};
use tessera_runtime::report::Outcome;

use crate::ground::{Ground, Place, job};

/// Jobs whose nodes are killed, in each suite.
const ROUNDS: usize = 30;
/// Jobs at a time.
const AT_ONCE: usize = 3;
/// Kills of one job's nodes.
const KILLS: u64 = 4;

/// Kills the node of an attempt, as a crash would: no warning.
pub(crate) fn kill_node(attempt: &Attempt) -> bool {
    let Ok(text) = std::fs::read_to_string(attempt.file(attempt::LOCK)) else {
        return false;
    };
    let Some(pid) = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok()
}

fn chance(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

/// Kills the job's nodes at moments of chance, each time after the next one has begun.
async fn strike(ground: &Ground, handle: &Handle, kills: u64) -> u64 {
    let attempt = ground.attempt(handle);
    let mut struck = 0;
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(chance(450))).await;
        if attempt.has(attempt::REPORT).unwrap_or(true) {
            break;
        }
        struck += u64::from(kill_node(&attempt));
    }
    struck
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_at_any_moment_start_each_command_once() {
    let Some(place) = Place::docker().await else { return };
    run(&place, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_while_being_stopped_still_stop() {
    let Some(place) = Place::docker().await else { return };
    run(&place, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn podmans_nodes_killed_at_any_moment_start_each_command_once() {
    let Some(place) = Place::podman().await else { return };
    run(&place, false).await;
}

async fn run(place: &Place, cancel: bool) {
    let mut ground = Ground::new(place);
    ground.config.node_restarts = 1_000;
    let ground = std::sync::Arc::new(ground);
    let backend = ground.open().await;
    let mut struck = 0;
    for _ in 0..ROUNDS / AT_ONCE {
        let lanes: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (ground, backend) = (ground.clone(), backend.clone());
                tokio::spawn(async move {
                    if cancel { stopped(&ground, &backend).await } else { ended(&ground, &backend).await }
                })
            })
            .collect();
        for lane in lanes {
            struck += lane.await.unwrap();
        }
    }
    eprintln!("{struck} nodes were killed");
    assert!(struck > 0, "no node was killed, so nothing was shown");
    ground.empty().await;
}

/// Three executors count their starts; whatever is killed, each counts one, and the output arrives.
async fn ended(ground: &Ground, backend: &Docker) -> u64 {
    let mut job = job(&[
        "cat /in/file >> /shared/first; sleep 0.1",
        "echo x >> /shared/second; exit 7",
        "echo x >> /shared/third; sleep 0.1; cp /shared/first /out/file",
    ]);
    job.plan.executors[1].ignore_error = true;
    job.plan.inputs.push(Input { path: "/in/file".into(), source: Source::Content("x\n".into()), kind: None });
    let out = ground.folder.path().join(format!("out-{}", job.id));
    let url = format!("file://{}", out.display());
    job.plan.outputs.push(Output { path: "/out/file".into(), url, path_prefix: None, kind: None });
    job.plan.storage.file_roots.push(ground.folder.path().display().to_string());
    let handle = backend.submit(&job).await.unwrap();
    let (struck, report) = tokio::join!(strike(ground, &handle, KILLS), ground.ended(backend, &handle));
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps.iter().map(|step| step.exit_code).collect::<Vec<_>>(), [0, 7, 0]);
    for name in ["first", "second", "third"] {
        assert_eq!(ground.lines(&handle, name), 1, "{name} of {} after {struck} kills", handle.0);
    }
    assert_eq!(std::fs::read_to_string(out).unwrap(), "x\n");
    backend.release(&handle).await.unwrap();
    ground.gone(&handle).await;
    struck
}

/// A job is stopped at a moment of chance while its nodes are killed: it stops, and what had not started never does.
async fn stopped(ground: &Ground, backend: &Docker) -> u64 {
    let job = job(&["echo x >> /shared/first; sleep 1000", "echo x >> /shared/second"]);
    let handle = backend.submit(&job).await.unwrap();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(chance(600))).await;
        backend.cancel(&handle).await.unwrap();
    };
    let (struck, (), report) = tokio::join!(strike(ground, &handle, KILLS), cancel, ground.ended(backend, &handle));
    assert_eq!(report.outcome, Outcome::Canceled, "{report:#?}");
    let labels = [(container::JOB, handle.0.as_str())];
    let left = ground.place.engine().list(&labels).await.unwrap();
    assert!(left.is_empty(), "cancelled means that nothing is left: {left:?}");
    assert!(ground.lines(&handle, "first") <= 1);
    assert_eq!(ground.lines(&handle, "second"), 0);
    backend.release(&handle).await.unwrap();
    ground.gone(&handle).await;
    struck
}
