//! A start that cannot succeed: an exit code and a sentence, before a port is bound.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::server::{Server, command};

/// Starts a server that must end by itself; its exit code and its last words.
pub async fn failed(url: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut starting = tokio::process::Command::from(command(folder.path(), url, 0));
    let starting = starting.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(40), starting).await.expect("the start ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert!(!said.contains("s3cret"), "a password is shown: {said}");
    (output.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_addresses() {
    if !crate::is_there() {
        return;
    }
    let cluster = Cluster::new("");
    cluster.say("CREATE ROLE ann LOGIN PASSWORD 's3cret'").await;
    cluster.say("CREATE DATABASE strange").await;
    cluster.say("CREATE DATABASE newer").await;
    let port = cluster.port();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    // Another program's tables.
    let (client, connection) =
        tokio_postgres::connect(&cluster.url(port, "strange"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE songs (title TEXT)").await.unwrap();
    // Ours, of a build to come.
    let folder = tempfile::tempdir().unwrap();
    Server::start(folder.path(), &cluster.url(port, "newer")).await.terminate().await;
    let (newer, connection) =
        tokio_postgres::connect(&cluster.url(port, "newer"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    newer.batch_execute("UPDATE schema SET version = version + 1").await.unwrap();

    let table = [
        (format!("mysql://ann:s3cret@127.0.0.1:{port}/x"), 2, "store.url"),
        (format!("postgresql://ann:s3cret@127.0.0.1:{nobody}/postgres"), 1, "cannot reach the database"),
        (format!("postgresql://nobody:s3cret@127.0.0.1:{port}/postgres"), 1, "refuses the user"),
        (format!("postgresql://postgres:s3cret@127.0.0.1:{port}/missing"), 1, "does not exist"),
        (cluster.url(port, "strange"), 1, "another program"),
        (cluster.url(port, "newer"), 1, "newer build"),
    ];
    for (url, code, sentence) in table {
        let (ended, said) = failed(&url).await;
        assert!(ended == code && said.contains(sentence), "{url}: exit code {ended}, not {code}: {said}");
    }
    // Untouched.
    let tables = client.query("SELECT FROM pg_tables WHERE schemaname = 'public'", &[]).await.unwrap();
    assert_eq!(tables.len(), 1);

    // From now on passwords are asked for.
    let rules = "host all ann 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    std::fs::write(cluster.data().join("pg_hba.conf"), rules).unwrap();
    cluster.say("SELECT pg_reload_conf()").await;
    let (ended, said) = failed(&format!("postgresql://ann:s3cret2@127.0.0.1:{port}/postgres")).await;
    assert!(ended == 1 && said.contains("check the user and the password"), "exit code {ended}: {said}");
}
