//! The server as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take to become true.
const PATIENCE: Duration = Duration::from_secs(45);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    port: u16,
    client: reqwest::Client,
    pub url: String,
}

/// How it is told to run: its data below a folder, its tasks' lines in `lines` there.
pub fn command(folder: &Path, url: &str, port: u16) -> Command {
    let config = folder.join("tessera.toml");
    let jobs = folder.join("jobs");
    let text = format!(
        "[store]\nurl = {url:?}\n[backends.fake]\nkind = \"scripted\"\nfolder = {jobs:?}\n\
         [server]\nrequest_timeout_ms = 5000\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tessera"));
    command.arg("serve").args(["--listen", &format!("127.0.0.1:{port}")]);
    command.arg("--data").arg(folder.join("data")).arg("--config").arg(config).stdin(Stdio::null());
    command
}

fn spawn(folder: &Path, url: &str, port: u16, log: &Path) -> Child {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    command(folder, url, port).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap()
}

impl Server {
    /// Starts one and returns when it is ready.
    pub async fn start(folder: &Path, url: &str) -> Self {
        // Nothing here speaks TLS, yet the client wants to know how.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = folder.join("server.log");
        let child = spawn(folder, url, port, &log);
        let mut server = Self { child, log, port, client, url: format!("http://127.0.0.1:{port}") };
        server.until_ready(true).await;
        server
    }

    /// SIGKILL, and the same server again; returns when it is ready.
    pub async fn kill_and_start(&mut self, folder: &Path, url: &str) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(folder, url, self.port, &self.log);
        self.until_ready(true).await;
    }

    /// What `/readyz` says: whether all is well, and why the store is not.
    pub async fn readiness(&self) -> (bool, String) {
        let Ok(answer) = self.client.get(format!("{}/readyz", self.url)).send().await else {
            return (false, "no answer".to_owned());
        };
        let is_ready = answer.status() == 200;
        let body: Value = answer.json().await.unwrap();
        let parts = body["parts"].as_array().unwrap();
        let store = parts.iter().find(|part| part["name"] == "store").unwrap();
        assert!(is_ready || parts.iter().any(|part| part["ready"] == false), "{body}");
        (is_ready, store["reason"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until `/readyz` says so; answers why the store is not ready.
    pub async fn until_ready(&mut self, wanted: bool) -> String {
        let since = Instant::now();
        loop {
            let (is_ready, why) = self.readiness().await;
            if is_ready == wanted {
                return why;
            }
            self.lives();
            assert!(since.elapsed() < PATIENCE, "ready is not {wanted} but for `{why}`:\n{}", self.last_log_lines());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// It is the process that was started.
    pub fn lives(&mut self) {
        let status = self.child.try_wait().unwrap();
        assert!(status.is_none(), "the server ended with {status:?}:\n{}", self.last_log_lines());
    }

    /// SIGTERM; it must end by itself, and well.
    pub async fn terminate(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "SIGTERM ended the server with {status}:\n{}", self.last_log_lines());
                return;
            }
            assert!(since.elapsed() < PATIENCE, "SIGTERM does not end the server:\n{}", self.last_log_lines());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The end of what it has logged.
    pub fn last_log_lines(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        assert!(!log.contains("panicked at"), "{log}");
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test must not leave a server behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
