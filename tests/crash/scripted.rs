//! Two hundred deaths over the scripted backend, whose jobs go on without the server.

use std::path::Path;
use std::time::Duration;

use crate::database::Database;
use crate::ledger::Ledger;
use crate::load;
use crate::random::Random;
use crate::script::{Scripted, count_lines};
use crate::server::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_faked_or_done_twice() {
    deaths(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_faked_or_done_twice_on_postgresql() {
    let Some(database) = Database::create("crash").await else { return };
    deaths(Some(&database)).await;
    database.remove().await;
}

async fn deaths(database: Option<&Database>) {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("lines");
    std::fs::write(&outside, "").unwrap();
    let jobs = folder.path().join("jobs");
    // What a former run had only claimed is taken again when the claim is over.
    let settings = |database: &Database| {
        format!("[store]\nurl = {:?}\n[engine]\ncall_timeout_ms = 1000\nclaim_lease_ms = 3000\n", database.url())
    };
    let store = database.map(settings).unwrap_or_default();
    let site = Site::new(folder.path(), &format!("{store}[backends.fake]\nkind = \"scripted\"\nfolder = {jobs:?}\n"));
    let words = Scripted { outside: outside.clone() };
    let ledger = Ledger::default();
    let mut random = Random::seeded();

    for round in 0..crate::kills(20, 200) {
        let server = site.start().await;
        let url = server.url().to_owned();
        // A server that joins others takes a moment longer to begin.
        let lifetime = random.between_ms(1, if database.is_some() { 500 } else { 200 });
        let clients = load::run(&url, &words, &ledger, &mut random, round, 40);
        // The load is dropped where it stands: a client whose server died.
        tokio::time::timeout(lifetime, clients).await.ok();
        server.kill();
    }

    let server = site.start().await;
    load::cancel_the_rest(server.url(), &ledger).await;
    let tasks = load::all_ended(server.url(), Duration::from_secs(60)).await;
    let lines = count_lines(&std::fs::read_to_string(&outside).unwrap());
    let known: Vec<&str> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
    ledger.all_are_among(&known);
    for task in &tasks {
        ledger.check(task, &lines);
    }
    assert!(ledger.len() > 20, "the load was too small to mean anything: {} tasks", ledger.len());

    nothing_is_left(&site, database, &jobs).await;
    server.terminate().await;
    println!("{} acknowledged tasks, {} stored", ledger.len(), tasks.len());
}

async fn nothing_is_left(site: &Site, database: Option<&Database>, jobs: &Path) {
    let since = tokio::time::Instant::now();
    loop {
        let mut rows = 0;
        for sql in ["SELECT count(*) FROM leftovers", "SELECT count(*) FROM tasks WHERE stage < 4"] {
            rows += match database {
                Some(database) => database.count(sql).await,
                None => site.count(sql),
            };
        }
        // One folder an installation, and one in it for each job.
        let installations = std::fs::read_dir(jobs.join("jobs")).unwrap().flatten();
        let left: usize = installations.map(|entry| std::fs::read_dir(entry.path()).unwrap().count()).sum();
        if rows == 0 && left == 0 {
            return;
        }
        assert!(
            since.elapsed() < Duration::from_secs(30),
            "{rows} rows and {left} jobs are left behind:\n{}",
            site.last_log_lines()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
