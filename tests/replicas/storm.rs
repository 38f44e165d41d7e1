//! Rounds of faults under a mixed load, and what must be true in the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clients::{self, World};
use crate::database::Database;
use crate::follower::Told;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::script::{Scripted, count_lines};
use crate::site::{Ground, Replica};
use crate::{lister, load};

/// How many rounds: `TESSERA_CRASH_ROUNDS`, or as many as CI has time for where the suite is required.
fn rounds() -> usize {
    let usual = if std::env::var_os("TESSERA_REQUIRE_POSTGRES").is_some() { 20 } else { 10 };
    std::env::var("TESSERA_CRASH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_lose_nothing_and_do_nothing_twice() {
    let Some(database) = Database::create("storm").await else { return };
    let folder = Ground::new();
    let (outside, jobs) = (folder.path().join("lines"), folder.path().join("jobs"));
    std::fs::write(&outside, "").unwrap();
    // One that all of them reach, and one of each machine's own.
    let backends = format!(
        "default_backend = \"fake\"\n[backends.fake]\nkind = \"scripted\"\nfolder = {jobs:?}\n\
         [backends.machine]\nkind = \"scripted\"\nlocal = true\n"
    );
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(Replica::start(folder.path(), name, &database, &backends).await);
    }
    let mut random = Random::seeded();
    let (end, over) = watch::channel(false);
    let (end_telling, telling_ends) = watch::channel(false);
    let world = World {
        urls: Arc::new(replicas.iter().map(Replica::url).collect()),
        ledger: Ledger::default(),
        words: Arc::new(Scripted { outside: outside.clone() }),
        ends: Arc::default(),
        over,
    };
    let told = Told::default();
    let creating: Vec<_> = (0..6).map(|n| tokio::spawn(clients::create(world.clone(), random.fork(), n))).collect();
    let looking = tokio::spawn(clients::look(world.clone(), random.fork()));
    let listing = tokio::spawn(lister::list(world.clone(), random.fork()));
    let beginning = format!("{}-0", database.text("SELECT installation FROM store").await);
    let following = tokio::spawn(told.clone().follow(world.clone(), beginning, random.fork(), telling_ends));

    let began = Instant::now();
    for _ in 0..rounds() {
        round(&mut replicas, &mut random).await;
        let alive = creating.iter().chain([&following]).all(|client| !client.is_finished());
        assert!(alive && !looking.is_finished() && !listing.is_finished(), "a client has found something wrong");
    }
    let took = began.elapsed();
    end.send_replace(true);
    for client in creating {
        client.await.unwrap();
    }
    let (looks, lists) = (looking.await.unwrap(), listing.await.unwrap());
    for replica in &replicas {
        replica.is_ready().await;
    }

    let url = replicas[0].url();
    load::cancel_the_rest(&url, &world.ledger).await;
    let tasks = load::all_ended(&url, Duration::from_secs(120)).await;
    let ids: Vec<&str> = tasks.iter().map(|task| task["id"].as_str().unwrap()).collect();
    world.ledger.all_are_among(&ids);
    let lines = count_lines(&std::fs::read_to_string(&outside).unwrap());
    for task in &tasks {
        world.ledger.check(task, &lines);
        world.saw(task);
    }
    for (line, count) in &lines {
        assert_eq!(*count, 1, "{line} stands outside {count} times");
    }
    the_same_everywhere(&replicas, &tasks).await;
    let mut places = vec![jobs];
    places.extend(replicas.iter().map(|replica| replica.site.data.join("scripted/machine")));
    for place in &places {
        nothing_was_submitted_twice(place);
    }
    told.has_heard_all(&tasks).await;
    end_telling.send_replace(true);
    following.await.unwrap();
    nothing_is_left(&database, &places, &replicas).await;
    println!(
        "{} rounds in {:.0} s: {} acknowledged tasks, {} stored, {} looks, {} lists",
        rounds(),
        took.as_secs_f64(),
        world.ledger.len(),
        tasks.len(),
        looks,
        lists
    );
    assert!(world.ledger.len() > 20, "the load was too small to mean anything: {} tasks", world.ledger.len());
    assert!(looks > 20 && lists > 0, "too little was seen to mean anything: {looks} looks, {lists} lists");
    for replica in replicas {
        replica.terminate().await;
    }
    database.remove().await;
}

/// One is killed, one stopped, one cut off, all in the same moment or nearly.
async fn round(replicas: &mut [Replica], random: &mut Random) {
    for at in (1..replicas.len()).rev() {
        replicas.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap());
    }
    let [killed, stopped, cut] = replicas else { panic!("three servers") };
    let pauses = [random.between_ms(0, 150), random.between_ms(0, 150), random.between_ms(0, 150)];
    let (mut sleeping, mut cutting) = (random.fork(), random.fork());
    tokio::join!(
        async {
            sleep(pauses[0]).await;
            killed.die().await;
        },
        async {
            sleep(pauses[1]).await;
            stopped.sleeps(&mut sleeping).await;
        },
        async {
            sleep(pauses[2]).await;
            cut.is_cut_off(&mut cutting).await;
        },
    );
}

async fn the_same_everywhere(replicas: &[Replica], tasks: &[Value]) {
    let client = load::client();
    for replica in replicas {
        let others = load::all(&client, &replica.url(), "FULL").await;
        assert!(others == tasks, "{} shows other tasks", replica.name);
    }
}

/// Counted where jobs are made.
fn nothing_was_submitted_twice(jobs: &Path) {
    let submitted: BTreeMap<String, usize> = count_lines(&std::fs::read_to_string(jobs.join("submitted")).unwrap());
    let twice: Vec<_> = submitted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "submitted more than once: {twice:?}");
}

async fn nothing_is_left(database: &Database, places: &[PathBuf], replicas: &[Replica]) {
    let since = Instant::now();
    loop {
        let rows = database.count("SELECT count(*) FROM leftovers").await
            + database.count("SELECT count(*) FROM tasks WHERE stage < 4").await;
        let installations = places.iter().flat_map(|jobs| std::fs::read_dir(jobs.join("jobs")).unwrap().flatten());
        let left: usize = installations.map(|entry| std::fs::read_dir(entry.path()).unwrap().count()).sum();
        if rows == 0 && left == 0 {
            return;
        }
        let logs = || replicas.iter().map(|one| one.site.last_log_lines()).collect::<Vec<_>>().join("\n---\n");
        assert!(since.elapsed() < Duration::from_secs(30), "{rows} rows and {left} jobs are left behind:\n{}", logs());
        sleep(Duration::from_millis(50)).await;
    }
}
