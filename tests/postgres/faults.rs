//! What a database does to those who use it.

use std::time::{Duration, Instant};

use crate::cluster::{self, Cluster};
use crate::load::Load;
use crate::proxy::Proxy;
use crate::server::Server;

/// Tasks that are acknowledged before a fault, and after it.
const SOME: usize = 20;

/// How long it may take after a fault until all tasks have ended. A claim that had to run out takes a minute.
const RECOVERED: Duration = Duration::from_secs(40);

/// A server under load on a database.
struct Story {
    cluster: Cluster,
    server: Server,
    load: Load,
    folder: tempfile::TempDir,
}

impl Story {
    async fn begin(cluster: Cluster, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), &cluster.url(port, "postgres")).await;
        let mut load = Load::start(&server.url, folder.path());
        load.more(SOME).await;
        Self { cluster, server, load, folder }
    }

    /// The fault is over: all goes on, and nothing was lost.
    async fn end(mut self, what: &str) {
        let since = Instant::now();
        self.server.until_ready(true).await;
        self.load.more(SOME).await;
        let moving = since.elapsed();
        let (acknowledged, refused) = self.load.check().await;
        self.server.lives();
        self.server.last_log_lines();
        self.server.terminate().await;
        let all = since.elapsed();
        println!(
            "{what}: {acknowledged} tasks acknowledged, {refused} requests refused; taken again after {moving:?}, all \
             ended after {all:?}"
        );
        assert!(all < RECOVERED, "{what}: everything moves only after {all:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_restarted() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    let port = cluster.port();
    let mut story = Story::begin(cluster, port).await;
    for how in ["fast", "immediate"] {
        story.cluster.stop(how);
        let why = story.server.until_ready(false).await;
        assert!(why.contains("database"), "{why}");
        story.load.refused().await;
        story.cluster.start();
        story.server.until_ready(true).await;
        story.load.more(SOME).await;
    }
    // So short that nobody need notice.
    story.cluster.stop("immediate");
    story.cluster.start();
    story.end("restarted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_server_is_killed() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    let port = cluster.port();
    let mut story = Story::begin(cluster, port).await;
    for _ in 0..3 {
        // Those who ask wait, for somebody must answer; what was taken is under way.
        let paused = story.load.pause().await;
        let url = story.cluster.url(port, "postgres");
        story.server.kill_and_start(story.folder.path(), &url).await;
        drop(paused);
        story.load.more(SOME).await;
    }
    story.end("server killed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_backends_are_ended() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    let port = cluster.port();
    let mut story = Story::begin(cluster, port).await;
    let client = story.cluster.connect().await;
    for _ in 0..10 {
        let ended = client
            .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tessera'", &[])
            .await
            .unwrap();
        assert!(!ended.is_empty());
        story.load.more(3).await;
    }
    story.end("backends ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_take_all_connections() {
    if !crate::is_there() {
        return;
    }
    // The user of the test is one of those for whom some are kept free; the others' user is, too.
    let cluster = Cluster::new("superuser_reserved_connections = 0");
    let port = cluster.port();
    let mut story = Story::begin(cluster, port).await;
    let client = story.cluster.connect().await;
    let mut others = Vec::new();
    let why = loop {
        let url = story.cluster.url(story.cluster.port(), "postgres");
        while let Ok((other, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            others.push(other);
        }
        // A server keeps what it has: its places are taken when it loses them.
        client
            .query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tessera'", &[])
            .await
            .unwrap();
        while let Ok((other, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
            tokio::spawn(connection);
            others.push(other);
        }
        let (is_ready, why) = story.server.readiness().await;
        if !is_ready && why.contains("no connection left") {
            break why;
        }
        story.server.lives();
    };
    assert!(why.contains("max_connections"), "{why}");
    story.load.refused().await;
    drop(others);
    story.end("out of connections").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_slow() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    let proxy = Proxy::new(cluster.port()).await;
    let mut story = Story::begin(cluster, proxy.port()).await;
    // Slow enough to be felt, and everything is done.
    proxy.delay(Duration::from_millis(50));
    story.load.more(SOME).await;
    story.server.until_ready(true).await;
    // Slower than any request waits.
    proxy.delay(Duration::from_secs(30));
    story.server.until_ready(false).await;
    story.load.refused().await;
    proxy.heal();
    story.end("slow").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_network_is_cut() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    let proxy = Proxy::new(cluster.port()).await;
    let mut story = Story::begin(cluster, proxy.port()).await;
    for _ in 0..2 {
        proxy.cut();
        story.server.until_ready(false).await;
        story.load.refused().await;
        proxy.heal();
        story.server.until_ready(true).await;
        story.load.more(SOME).await;
    }
    story.end("network cut").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_read_only() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    let port = cluster.port();
    let mut story = Story::begin(cluster, port).await;
    story.cluster.say("ALTER SYSTEM SET default_transaction_read_only = on").await;
    story.cluster.say("SELECT pg_reload_conf()").await;
    let why = story.server.until_ready(false).await;
    assert!(why.contains("read-only"), "{why}");
    story.load.refused().await;
    story.cluster.say("ALTER SYSTEM RESET default_transaction_read_only").await;
    story.cluster.say("SELECT pg_reload_conf()").await;
    story.end("read-only").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_disk_is_full() {
    if !crate::is_there() {
        return;
    }
    if !cluster::is_root() {
        println!("skipped: mounting a small disk takes root");
        return;
    }
    let cluster = Cluster::on_a_small_disk("");
    let port = cluster.port();
    let mut story = Story::begin(cluster, port).await;
    cluster::fill(&story.cluster.filler());
    story.load.refused().await;
    story.server.until_ready(false).await;
    std::fs::remove_file(story.cluster.filler()).unwrap();
    // Without room for its log it gives up.
    if !story.cluster.runs() {
        story.cluster.start();
    }
    story.end("disk full").await;
}
