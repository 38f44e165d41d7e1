//! One of the three: its folder, its way to the database, its process.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::database::Database;
use crate::proxy::{Network, Proxy};
use crate::random::Random;
use crate::server::{Server, Site};

/// How long a server's word that it is there holds: short, so that a round is.
pub const LEASE_MS: u64 = 500;

/// How long a claim of a task holds.
pub const CLAIM_MS: u64 = 1_500;

/// The folder of a test, with the logs of its servers. What a failed test leaves is there to be looked at.
pub struct Ground(TempDir);

impl Ground {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("left to be looked at: {}", self.path().display());
            self.0.disable_cleanup(true);
        }
    }
}

/// A server among others.
pub struct Replica {
    pub name: String,
    pub site: Site,
    proxy: Proxy,
    server: Option<Server>,
}

impl Replica {
    /// Starts one, with these backends.
    pub async fn start(folder: &Path, name: &str, database: &Database, backends: &str) -> Self {
        let mut placed = Self::placed(&folder.join(name), name, database, backends).await;
        placed.start_again().await;
        placed
    }

    /// One that does not run yet, in a folder of its own.
    pub async fn placed(folder: &Path, name: &str, database: &Database, backends: &str) -> Self {
        std::fs::create_dir(folder).unwrap();
        let proxy = Proxy::to(database.address()).await;
        let store = database.through(proxy.port);
        let site = Site::with(folder, |url| {
            format!(
                "[server]\nrequest_timeout_ms = 5000\n\
                 [store]\nurl = {store:?}\n\
                 [replica]\nname = {name:?}\naddress = {url:?}\nlease_ms = {LEASE_MS}\n\
                 [engine]\ncall_timeout_ms = 500\nclaim_lease_ms = {CLAIM_MS}\npoll_period_ms = 100\nsweep_period_ms = 500\ncancel_again_ms = 500\n\
                 backoff_first_ms = 50\n{backends}"
            )
        });
        Self { name: name.to_owned(), site, proxy, server: None }
    }

    /// Starts it where it must not: waits until it has ended by itself, and answers its exit code.
    pub async fn refuses_to_start(&self) -> Option<i32> {
        let server = self.site.start().await;
        tokio::task::spawn_blocking(|| server.ends()).await.unwrap()
    }

    pub fn url(&self) -> String {
        self.site.url()
    }

    /// SIGKILL, and a new process at once.
    pub async fn die(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// A new process in the place of one that was killed.
    pub async fn start_again(&mut self) {
        self.server = Some(self.site.start().await);
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Stopped for longer than its lease, now and then for longer than its claims, and continued.
    pub async fn sleeps(&self, random: &mut Random) {
        let server = self.server.as_ref().unwrap();
        let long = if random.below(6) == 0 { CLAIM_MS } else { LEASE_MS };
        server.signal(Signal::STOP);
        sleep(random.between_ms(long + 50, long + 200)).await;
        server.signal(Signal::CONT);
    }

    /// Cut off from the database for a while.
    pub async fn is_cut_off(&self, random: &mut Random) {
        self.proxy.becomes(if random.below(2) == 0 { Network::Dark } else { Network::Broken });
        sleep(random.between_ms(100, LEASE_MS + 200)).await;
        self.proxy.becomes(Network::Whole);
    }

    /// Waits until it says that it is ready.
    pub async fn is_ready(&self) {
        let (client, since) = (crate::load::client(), Instant::now());
        loop {
            let answer = client.get(format!("{}/readyz", self.url())).send().await;
            let said = match answer {
                Ok(answer) if answer.status() == 200 => return,
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(error) => error.to_string(),
            };
            let log = || self.site.last_log_lines();
            assert!(since.elapsed() < Duration::from_secs(30), "{} is not ready: {said}\n{}", self.name, log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn terminate(mut self) {
        self.server.take().unwrap().terminate().await;
    }
}
