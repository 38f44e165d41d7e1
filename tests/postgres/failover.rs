//! A primary that goes, and a standby that takes its place; and who is believed to be the database.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::cluster::Cluster;
use crate::load::Load;
use crate::server::Server;
use crate::starting::failed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_takes_its_place() {
    if !crate::is_there() {
        return;
    }
    // What was acknowledged is on both.
    let primary = Cluster::new("synchronous_standby_names = '*'\nsynchronous_commit = local");
    let standby = primary.standby();
    primary.say("ALTER SYSTEM SET synchronous_commit = remote_apply").await;
    primary.say("SELECT pg_reload_conf()").await;
    let (code, said) = failed(&standby.url(standby.port(), "postgres")).await;
    assert!(code == 1 && said.contains("standby") && said.contains("primary"), "exit code {code}: {said}");

    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgresql://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port());
    let mut server = Server::start(folder.path(), &url).await;
    let mut load = Load::start(&server.url, folder.path());
    load.more(20).await;
    primary.stop("immediate");
    load.refused().await;
    standby.say("ALTER SYSTEM RESET synchronous_standby_names").await;
    standby.say("ALTER SYSTEM RESET synchronous_commit").await;
    standby.promote();
    standby.say("SELECT pg_reload_conf()").await;
    let since = std::time::Instant::now();
    server.until_ready(true).await;
    load.more(20).await;
    let moved = since.elapsed();
    let (acknowledged, refused) = load.check().await;
    server.lives();
    server.last_log_lines();
    server.terminate().await;
    println!(
        "failed over: {acknowledged} tasks acknowledged, {refused} requests refused; moving again after {moved:?}"
    );
}

/// Runs openssl.
fn openssl(folder: &Path, words: &[&str]) {
    let mut command = Command::new("openssl");
    let status = command.args(words).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.unwrap().success(), "openssl {words:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_it_is_is_asked_of_its_certificate() {
    if !crate::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path();
    for name in ["ours", "others"] {
        let (key, file, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
        openssl(
            made,
            &[
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", &subject, "-keyout", &key,
                "-out", &file,
            ],
        );
    }
    openssl(made, &["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=db", "-keyout", "db.key", "-out", "db.csr"]);
    std::fs::write(made.join("names"), "subjectAltName = DNS:localhost\n").unwrap();
    openssl(
        made,
        &[
            "x509",
            "-req",
            "-in",
            "db.csr",
            "-CA",
            "ours.pem",
            "-CAkey",
            "ours.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "db.pem",
        ],
    );
    let cluster = Cluster::new("");
    cluster.put("server.crt", &made.join("db.pem"));
    cluster.put("server.key", &made.join("db.key"));
    cluster.say("ALTER SYSTEM SET ssl = on").await;
    std::fs::write(
        cluster.data().join("pg_hba.conf"),
        "hostssl all all 127.0.0.1/32 trust\nhost all all ::1/128 reject\n",
    )
    .unwrap();
    cluster.say("SELECT pg_reload_conf()").await;
    let url = |host: &str, query: &str| format!("postgresql://postgres@{host}:{}/postgres?{query}", cluster.port());
    let root = |name: &str| format!("sslrootcert={}", made.join(name).display());
    let both = |mode: &str, name: &str| format!("sslmode={mode}&{}", root(name));
    for (host, query) in [("127.0.0.1", "sslmode=require".to_owned()), ("localhost", both("verify-full", "ours.pem"))] {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path(), &url(host, &query)).await;
        server.terminate().await;
    }
    for (host, query, sentence) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), "pg_hba.conf"),
        // Not the name in the certificate; not an authority that is believed.
        ("127.0.0.1", both("verify-full", "ours.pem"), "TLS"),
        ("localhost", both("verify-full", "others.pem"), "TLS"),
        ("localhost", "sslmode=verify-full".to_owned(), "TLS"),
    ] {
        let (code, said) = failed(&url(host, &query)).await;
        assert!(code == 1 && said.contains(sentence), "{host} {query}: exit code {code}: {said}");
    }
}
