//! Deaths of the server over a real cluster: no Job is made twice, no task is lost, nothing is left in the namespace.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::docker::Outside;
use crate::ledger::Ledger;
use crate::load::{self, Words};
use crate::random::Random;
use crate::server::Site;

/// Executors in pods.
struct Pods {
    /// Where they reach this machine.
    outside: String,
}

impl Pods {
    fn shell(script: String) -> Value {
        json!({ "image": "tessera-test/busybox:1", "command": ["sh", "-c", script] })
    }
}

impl Words for Pods {
    fn line(&self, line: &str) -> Value {
        Self::shell(format!("wget -q -O /dev/null http://{}/{line}", self.outside))
    }

    fn slow_line(&self, line: &str) -> Value {
        Self::shell(format!("wget -q -O /dev/null http://{}/{line}; sleep 0.4", self.outside))
    }

    fn exit(&self, code: i32) -> Value {
        Self::shell(format!("exit {code}"))
    }

    fn hang(&self) -> Value {
        Self::shell("sleep 600".to_owned())
    }

    fn resources(&self) -> Value {
        json!({ "cpu_cores": 0.05 })
    }
}

/// A namespace of one test, gone with it.
struct Namespace {
    name: String,
}

impl Namespace {
    fn create() -> Self {
        let name = format!("crash-{}", std::process::id());
        kubectl(&["create", "namespace", &name]);
        Self { name }
    }

    /// What of ours is left in it.
    fn left(&self) -> Vec<String> {
        let told = kubectl(&["-n", &self.name, "get", "jobs,pods,secrets", "-l", "tessera.installation", "-o", "name"]);
        told.lines().map(str::to_owned).collect()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Not waited for: what is left in it goes with it.
        let delete = ["delete", "namespace", &self.name, "--wait=false"];
        Command::new("kubectl").args(delete).output().ok();
    }
}

fn kubectl(words: &[&str]) -> String {
    let said = Command::new("kubectl").args(words).output().unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "kubectl {} failed: {errors}", words.join(" "));
    String::from_utf8(said.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_outlive_the_server_and_nothing_runs_twice() {
    let Some(host) = std::env::var("TESSERA_TEST_CLUSTER_HOST").ok().filter(|host| !host.is_empty()) else {
        assert!(std::env::var_os("TESSERA_REQUIRE_CLUSTER").is_none(), "TESSERA_TEST_CLUSTER_HOST names no address");
        println!("not run: it needs a cluster (cargo xtask test starts one and sets TESSERA_TEST_CLUSTER_HOST)");
        return;
    };
    let namespace = Namespace::create();
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[backends.kubernetes]\nkind = \"kubernetes\"\nnamespace = {:?}\nimage = \"tessera-test/runtime:1\"\njobs = 12\n",
        namespace.name
    );
    let site = Site::new(folder.path(), &config);
    let outside = Outside::default();
    let words = Pods { outside: format!("{host}:{}", outside.listen(&host)) };
    let ledger = Ledger::default();
    let mut random = Random::seeded();

    for round in 0..crate::kills(6, 25) {
        let server = site.start().await;
        let url = server.url().to_owned();
        // Some die before the watch has told them anything, some between any two calls of a job.
        let lifetime = random.between_ms(50, 2_500);
        let clients = async {
            load::run(&url, &words, &ledger, &mut random, round, 2).await;
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(lifetime, clients).await.ok();
        if round % 5 == 4 { server.terminate().await } else { server.kill() }
    }

    let server = site.start().await;
    load::cancel_the_rest(server.url(), &ledger).await;
    let tasks = load::all_ended(server.url(), Duration::from_secs(240)).await;
    let lines = outside.lines();
    let known: Vec<&str> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
    ledger.all_are_among(&known);
    for task in &tasks {
        ledger.check(task, &lines);
    }
    assert!(ledger.len() > 8, "the load was too small to mean anything: {} tasks", ledger.len());
    nothing_is_left(&site, &namespace).await;
    no_job_was_made_twice(&namespace);
    server.terminate().await;
    println!("{} acknowledged tasks, {} stored", ledger.len(), tasks.len());
}

async fn nothing_is_left(site: &Site, namespace: &Namespace) {
    let since = tokio::time::Instant::now();
    loop {
        let rows =
            site.count("SELECT count(*) FROM leftovers") + site.count("SELECT count(*) FROM tasks WHERE stage < 4");
        let left = namespace.left();
        if rows == 0 && left.is_empty() {
            return;
        }
        let log = || site.last_log_lines();
        assert!(since.elapsed() < Duration::from_secs(60), "left behind: {rows} rows, {left:?}\n{}", log());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Counted by the API server itself, where its audit log is at hand.
fn no_job_was_made_twice(namespace: &Namespace) {
    let Some(log) = std::env::var_os("TESSERA_TEST_AUDIT_LOG").map(PathBuf::from) else { return };
    let mut made = std::collections::BTreeMap::<String, usize>::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let object = &event["objectRef"];
        let created = event["verb"] == "create" && event["stage"] == "ResponseComplete";
        let ours = object["namespace"] == namespace.name.as_str() && object["resource"] == "jobs";
        if created && ours && event["responseStatus"]["code"] == 201 {
            *made.entry(object["name"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    assert!(!made.is_empty(), "the audit log tells of no Job in {}", namespace.name);
    let twice: Vec<_> = made.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "made more than once: {twice:?}");
}
