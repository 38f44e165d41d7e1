//! The server as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server.
pub struct Server {
    child: Child,
    url: String,
}

/// Where a server keeps its data, and how it is told to run.
pub struct Site {
    pub data: PathBuf,
    pub config: PathBuf,
    pub log: PathBuf,
    /// The build that is started.
    pub program: PathBuf,
    port: u16,
}

impl Site {
    /// A site in a folder, with a configuration text.
    pub fn new(folder: &Path, config: &str) -> Self {
        Self::with(folder, |_| config.to_owned())
    }

    /// The same, for a text that knows where the server will answer.
    pub fn with(folder: &Path, config: impl FnOnce(&str) -> String) -> Self {
        // A fixed port, so that clients of the former server find the next one.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_tessera"));
        let file = folder.join("tessera.toml");
        let site = Self { data: folder.join("data"), config: file, log: folder.join("server.log"), program, port };
        std::fs::write(&site.config, config(&site.url())).unwrap();
        site
    }

    /// Where its server answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts a server and returns once it answers.
    pub async fn start(&self) -> Server {
        let log = std::fs::File::options().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(&self.program)
            .arg("serve")
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--data")
            .arg(&self.data)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Server { child, url: self.url() };
        let since = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended at its start with {status}:\n{}", self.last_log_lines());
            }
            assert!(
                since.elapsed() < Duration::from_secs(20),
                "the server does not answer:\n{}",
                self.last_log_lines()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server
    }

    /// The end of what servers here have logged.
    pub fn last_log_lines(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Its database, read beside the server.
    pub fn count(&self, sql: &str) -> i64 {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = rusqlite::Connection::open_with_flags(self.data.join("tessera.db"), flags).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Server {
    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself; its exit code. For the suite of several servers.
    #[allow(dead_code)]
    pub fn ends(mut self) -> Option<i32> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(since.elapsed() < Duration::from_secs(20), "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGSTOP, SIGCONT or another one that it outlives.
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGTERM; it must end by itself, and well.
    pub async fn terminate(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "SIGTERM ended the server with {status}");
                return;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "SIGTERM does not end the server");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test must not leave a server behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
