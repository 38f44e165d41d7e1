//! What only the cluster's own folder and log show: a kubelet that dies, and what was made of each attempt.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use tessera_contract::rules::jobs::job;
use tessera_contract::{Backend, Observation};
use tessera_runtime::report::Outcome;

use crate::ground::{Ground, cluster};
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubelet_that_dies_and_comes_back_loses_no_job() {
    let Some(folder) = std::env::var_os("TESSERA_TEST_CLUSTER").map(PathBuf::from) else {
        eprintln!("cannot run: TESSERA_TEST_CLUSTER names no cluster of tests/cluster/run");
        return;
    };
    let Some(place) = Place::cluster().await else { return };
    let ground = Ground::alone(&place).await;
    let backend = ground.open().await;
    let (begun, ended) = (format!("begun-{}", ground.installation.0), format!("ended-{}", ground.installation.0));
    let script = format!("{}; sleep 8; {}", ground.outside.count(&begun), ground.outside.count(&ended));
    let job = job(&[&script, "exit 3"]);
    let handle = backend.submit(&job).await.unwrap();
    ground.outside.until_counted(&begun).await;
    // Told by the kubelet, which looks once a second.
    ground.started(&*backend, &handle).await;
    let dead = Dead::kubelet_of(&folder);
    // The job goes on without it.
    ground.outside.until_counted(&ended).await;
    let seen = backend.observe(std::slice::from_ref(&handle)).await.unwrap();
    assert!(matches!(seen[0], Observation::Working(_)), "{seen:?}");
    drop(dead);
    let report = ground.over(&*backend, &handle).await.report();
    assert_eq!(report.outcome, Outcome::ExecutorFailed { step: 1 }, "{report:#?}");
    assert_eq!((ground.outside.counted(&begun), ground.outside.counted(&ended)), (1, 1));
    ground.put_away(&*backend, &job, &handle).await;
}

/// A kubelet that was killed; it is back when this is dropped, for other tests wait for it.
struct Dead<'a>(&'a Path);

impl<'a> Dead<'a> {
    fn kubelet_of(folder: &'a Path) -> Self {
        kill_kubelet(folder);
        Self(folder)
    }
}

impl Drop for Dead<'_> {
    fn drop(&mut self) {
        mend(self.0);
    }
}

fn kill_kubelet(folder: &Path) {
    let text = std::fs::read_to_string(folder.join("pids/kubelet")).unwrap();
    let pid = text.split_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn mend(folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cluster/run");
    let up = std::env::var_os("TESSERA_TEST_CLUSTER_UP").map(PathBuf::from);
    let mut command = match up {
        Some(up) => std::process::Command::new(up),
        None => {
            let mut command = std::process::Command::new(script);
            command.arg("up");
            command
        }
    };
    let done = command.arg(folder).output().unwrap();
    // Dropped after a failure, it must not fail once more.
    let failed = !done.status.success();
    assert!(!failed || std::thread::panicking(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_hand_over_at_once_is_made_once() {
    let ground = cluster!();
    let servers = [ground.open().await, ground.open().await];
    let jobs: Vec<_> = (0..6).map(|_| job(&["true"])).collect();
    let submits = jobs.iter().flat_map(|job| servers.iter().map(move |server| server.submit(job)));
    let handles = futures::future::join_all(submits).await;
    for (job, handles) in jobs.iter().zip(handles.chunks(servers.len())) {
        let handle = handles[0].as_ref().unwrap();
        assert!(handles.iter().all(|other| other.as_ref().ok() == Some(handle)), "{handles:?}");
        assert_eq!(ground.over(&*servers[1], handle).await.report().outcome, Outcome::Complete);
        ground.put_away(&*servers[0], job, handle).await;
    }
    let Some(log) = std::env::var_os("TESSERA_TEST_AUDIT_LOG") else {
        eprintln!("cannot run: TESSERA_TEST_AUDIT_LOG names no log of an API server");
        return;
    };
    let made = made(Path::new(&log), &ground.place.namespace.name);
    for job in &jobs {
        for kind in ["jobs", "secrets", "pods"] {
            let times = made.iter().filter(|(resource, of)| resource == kind && of.contains(job.id.as_str())).count();
            assert_eq!(times, 1, "{kind} of {}", job.id);
        }
    }
}

/// What was made in a namespace, by the audit log: of which kind, and how it is called. A pod has no name yet when it is
/// asked for, but what its name is made of, and the label of its job.
fn made(log: &Path, namespace: &str) -> Vec<(String, String)> {
    let mut made = Vec::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let object = &event["objectRef"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let done = event["stage"] == "ResponseComplete" && event["responseStatus"]["code"] == 201;
        if done
            && event["verb"] == "create"
            && text(&object["namespace"]) == namespace
            && object["subresource"].is_null()
        {
            let asked = &event["requestObject"]["metadata"];
            let names = [&object["name"], &asked["generateName"], &asked["labels"]["tessera.job"]].map(text);
            made.push((text(&object["resource"]), names.join(" ")));
        }
    }
    made
}
