//! Thirty deaths and ten orderly ends of the server, and deaths of its nodes, over the real Docker engine.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::ledger::Ledger;
use crate::load::{self, Words};
use crate::random::Random;
use crate::script::count_lines;
use crate::server::Site;

pub const CONFIG: &str = r#"
[backends.docker]
kind = "docker"
allow_host_network = true
jobs = 6
cpu_cores = 8
"#;

/// Counts what executors say: each asks for a path, and the path is the line.
#[derive(Clone, Default)]
pub struct Outside(Arc<Mutex<String>>);

impl Outside {
    /// Listens on an address that executors reach: loopback where they have the host's network.
    pub fn listen(&self, host: &str) -> u16 {
        let listener = std::net::TcpListener::bind((host, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let lines = self.0.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut request = String::new();
                if BufReader::new(&stream).read_line(&mut request).is_err() {
                    continue;
                }
                if let Some(line) = request.split_whitespace().nth(1) {
                    lines.lock().unwrap().push_str(&format!("{}\n", line.trim_start_matches('/')));
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
            }
        });
        port
    }

    /// How often each line was said.
    pub fn lines(&self) -> std::collections::BTreeMap<String, usize> {
        count_lines(&self.0.lock().unwrap())
    }
}

pub struct Containers {
    pub port: u16,
}

impl Containers {
    fn shell(&self, script: String) -> Value {
        json!({ "image": "tessera-test/busybox:1", "command": ["sh", "-c", script] })
    }
}

impl Words for Containers {
    fn line(&self, line: &str) -> Value {
        self.shell(format!("wget -q -O /dev/null http://127.0.0.1:{}/{line}", self.port))
    }

    fn slow_line(&self, line: &str) -> Value {
        self.shell(format!("wget -q -O /dev/null http://127.0.0.1:{}/{line}; sleep 0.4", self.port))
    }

    fn exit(&self, code: i32) -> Value {
        self.shell(format!("exit {code}"))
    }

    fn hang(&self) -> Value {
        self.shell("sleep 600".to_owned())
    }

    fn resources(&self) -> Value {
        json!({ "cpu_cores": 0.5, "backend_parameters": { "network": "host" } })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_outlive_the_server_and_nothing_runs_twice() {
    if std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none() {
        println!("not run: it needs a Docker engine (cargo xtask test starts one and sets TESSERA_REQUIRE_ENGINES)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path(), CONFIG);
    let outside = Outside::default();
    let words = Containers { port: outside.listen("127.0.0.1") };
    let ledger = Ledger::default();
    let mut random = Random::seeded();
    let work = site.data.join("work");

    for round in 0..crate::kills(12, 40) {
        let server = site.start().await;
        let url = server.url().to_owned();
        let lifetime = random.between_ms(50, 1_500);
        let clients = async {
            load::run(&url, &words, &ledger, &mut random, round, 3).await;
            std::future::pending::<()>().await;
        };
        tokio::time::timeout(lifetime, clients).await.ok();
        if random.below(2) == 0 {
            kill_a_node(&work, &mut random);
        }
        // Every fourth death is an orderly one.
        if round % 4 == 3 { server.terminate().await } else { server.kill() }
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
    assert!(ledger.len() > 20, "the load was too small to mean anything: {} tasks", ledger.len());
    nothing_is_left(&site, &work).await;
    server.terminate().await;
    println!("{} acknowledged tasks, {} stored", ledger.len(), tasks.len());
}

/// Kills one of the node processes that work below a folder, if there is one.
pub fn kill_a_node(work: &Path, random: &mut Random) {
    let nodes = nodes_below(work);
    if nodes.is_empty() {
        return;
    }
    let unlucky = nodes[random.below(nodes.len() as u64) as usize];
    let pid = rustix::process::Pid::from_raw(unlucky).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
}

fn nodes_below(work: &Path) -> Vec<i32> {
    let mut nodes = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        if command.contains(" node ") && command.contains(&*work.to_string_lossy()) {
            nodes.push(pid);
        }
    }
    nodes
}

pub async fn nothing_is_left(site: &Site, work: &Path) {
    let installation = {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(site.data.join("tessera.db"), flags).unwrap();
        database.query_row("SELECT installation FROM store", [], |row| row.get::<_, String>(0)).unwrap()
    };
    let since = tokio::time::Instant::now();
    loop {
        let rows =
            site.count("SELECT count(*) FROM leftovers") + site.count("SELECT count(*) FROM tasks WHERE stage < 4");
        let folders: Vec<String> = std::fs::read_dir(work.join("docker"))
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let filter = format!("label=tessera.installation={installation}");
        let containers = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
        assert!(containers.status.success());
        let containers = String::from_utf8(containers.stdout).unwrap().lines().count();
        let nodes = nodes_below(work);
        if rows == 0 && folders.is_empty() && containers == 0 && nodes.is_empty() {
            return;
        }
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "left behind: {rows} rows, {containers} containers, nodes {nodes:?}, folders {folders:?}\n{}",
            site.last_log_lines()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
