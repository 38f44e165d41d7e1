//! Another build takes over while tasks run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::docker::{self, Containers, Outside};
use crate::ledger::{Acknowledged, Ledger};
use crate::load::{self, Words};
use crate::random::Random;
use crate::server::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_under_running_tasks_loses_nothing() {
    if std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none() {
        println!("not run: it needs a Docker engine (cargo xtask test starts one and sets TESSERA_REQUIRE_ENGINES)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut site = Site::new(folder.path(), docker::CONFIG);
    let outside = Outside::default();
    let words = Containers { port: outside.listen("127.0.0.1") };
    let ledger = Ledger::default();
    let mut random = Random::seeded();

    let old = site.start().await;
    let runtime = laid_out(&site.data);
    for number in 0..4 {
        create(old.url(), &words, &ledger, &format!("old{number}")).await;
    }
    load::until_some_run(old.url()).await;
    // One attempt loses its node with the old server: the new build goes on with it.
    docker::kill_a_node(&site.data.join("work"), &mut random);
    old.terminate().await;

    site.program = another_build(&site.program, &runtime, folder.path());
    let new = site.start().await;
    assert_ne!(laid_out_all(&site.data), [runtime], "the other build has a runtime of its own");
    create(new.url(), &words, &ledger, "new").await;
    let tasks = load::all_ended(new.url(), Duration::from_secs(120)).await;
    assert_eq!(tasks.len(), ledger.len());
    for task in &tasks {
        ledger.check(task, &outside.lines());
    }
    docker::nothing_is_left(&site, &site.data.join("work")).await;
    new.terminate().await;
}

async fn create(url: &str, words: &dyn Words, ledger: &Ledger, tag: &str) {
    let executors = json!([words.slow_line(&format!("{tag}-0")), words.slow_line(&format!("{tag}-1"))]);
    let body = json!({ "executors": executors, "resources": words.resources() });
    let id = load::create(url, &body).await;
    let task = Acknowledged { tag: tag.to_owned(), ends: "COMPLETE", lines: 2, cancel_sent: false, cancelled: false };
    ledger.acknowledge(&id, task);
}

fn laid_out_all(data: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(data.join("runtime")).unwrap().flatten();
    folders.map(|entry| entry.path().join("tessera-runtime")).collect()
}

fn laid_out(data: &Path) -> PathBuf {
    laid_out_all(data).pop().unwrap()
}

/// The same server with another runtime inside: one byte of padding in the runtime's header differs, and with it
/// the hash under which it is laid out.
fn another_build(server: &Path, runtime: &Path, folder: &Path) -> PathBuf {
    let mut program = std::fs::read(server).unwrap();
    let carried = std::fs::read(runtime).unwrap();
    let hash = runtime.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let mut other = carried.clone();
    other[15] ^= 1;
    let other_hash = {
        use sha2::{Digest, Sha256};
        Sha256::digest(&other).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    assert!(replace(&mut program, &carried, &other) == 1, "the server carries its runtime once");
    assert!(replace(&mut program, hash.as_bytes(), other_hash.as_bytes()) >= 1, "and knows its hash");
    let path = folder.join("tessera-next");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Replaces every occurrence by something of the same length; answers how many there were.
fn replace(text: &mut [u8], what: &[u8], by: &[u8]) -> usize {
    assert_eq!(what.len(), by.len());
    let mut found = 0;
    let mut at = 0;
    while at + what.len() <= text.len() {
        // The first bytes decide nearly always; the rest is compared only where they agree.
        if text[at..at + 8] == what[..8] && &text[at..at + what.len()] == what {
            text[at..at + what.len()].copy_from_slice(by);
            found += 1;
            at += what.len();
        } else {
            at += 1;
        }
    }
    found
}
