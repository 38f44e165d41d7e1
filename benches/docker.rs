//! A task on Docker, next to the same container made by hand, in the same run.
//!
//! Needs the image of `tests/images/build busybox`. Both ways go through the same API with the same client library
//! and in turn, so that what the machine does besides hits both. What we leave to be taken down after COMPLETE is
//! gone before the other's turn.

mod harness;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{ListContainersOptions, RemoveContainerOptions, WaitContainerOptions};
use futures::TryStreamExt;
use harness::connection::{Connection, request, task};
use harness::figures::{Figures, median, ms};
use harness::server::Server;

const IMAGE: &str = "tessera-test/busybox:1";
const COMMAND: [&str; 1] = ["true"];
/// How many pairs are compared for latency.
const PAIRS: usize = 25;
/// How many are done in a round of throughput, and how many at a time.
const MANY: usize = 24;
const AT_A_TIME: usize = 4;
const ROUNDS: usize = 3;
/// Between two looks at a task: what we wait too long is counted against us.
const GLANCE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let docker = Docker::connect_with_defaults()?.negotiate_version().await?;
    let others = there(&docker).await?;
    let server = Server::start(folder.path(), "[backends.docker]\nkind = \"docker\"\njobs = 4\n")?;
    let mut figures = Figures::default();

    // The first of each finds everything cold.
    by_hand(&docker).await?;
    as_task(server.address).await?;
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let (mut task, mut hand) = (0.0, 0.0);
        // In turn first, for the second may find caches warm.
        for first in [pair % 2 == 0, pair % 2 != 0] {
            let began = Instant::now();
            if first {
                as_task(server.address).await?;
                task = ms(began.elapsed());
                gone(&docker, others).await?;
            } else {
                by_hand(&docker).await?;
                hand = ms(began.elapsed());
            }
        }
        ours.push(task);
        theirs.push(hand);
        ratios.push(task / hand);
    }
    figures.note("task_ms_median", median(ours));
    figures.note("by_hand_ms_median", median(theirs));
    figures.note("latency_ratio_median", median(ratios));

    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let hand = many(async || by_hand(&docker).await).await?;
        let task = many(async || as_task(server.address).await).await?;
        gone(&docker, others).await?;
        ours.push(task);
        theirs.push(hand);
        ratios.push(task / hand);
    }
    figures.note("tasks_per_second_at_4", median(ours));
    figures.note("by_hand_per_second_at_4", median(theirs));
    figures.note("throughput_ratio_at_4", median(ratios));
    figures.print();
    Ok(())
}

/// Create, start, wait, remove.
async fn by_hand(docker: &Docker) -> Result<()> {
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(COMMAND.map(str::to_owned).to_vec()),
        ..ContainerCreateBody::default()
    };
    let id = docker.create_container(None, body).await?.id;
    docker.start_container(&id, None).await?;
    let waited: Vec<_> = docker.wait_container(&id, None::<WaitContainerOptions>).try_collect().await?;
    docker.remove_container(&id, None::<RemoveContainerOptions>).await?;
    if waited.first().is_none_or(|end| end.status_code != 0) {
        bail!("the container by hand did not end well: {waited:?}");
    }
    Ok(())
}

/// Create, and look until it is COMPLETE.
async fn as_task(server: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(server).await?;
    let created = connection.json(&request("POST", "/ga4gh/tes/v1/tasks", &task(IMAGE, &COMMAND))).await?;
    let path = format!("/ga4gh/tes/v1/tasks/{}", created["id"].as_str().unwrap_or_default());
    let look = request("GET", &path, "");
    let began = Instant::now();
    loop {
        let seen = connection.json(&look).await?;
        match seen["state"].as_str().unwrap_or_default() {
            "COMPLETE" => return Ok(()),
            "QUEUED" | "INITIALIZING" | "RUNNING" if began.elapsed() < PATIENCE => {}
            _ => bail!("{}", connection.json(&request("GET", &format!("{path}?view=FULL"), "")).await?),
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// So many a second, [`AT_A_TIME`].
async fn many(one: impl AsyncFn() -> Result<()>) -> Result<f64> {
    let began = Instant::now();
    let worker = async || -> Result<()> {
        for _ in 0..MANY / AT_A_TIME {
            one().await?;
        }
        Ok(())
    };
    futures::future::try_join_all((0..AT_A_TIME).map(|_| worker())).await?;
    Ok(MANY as f64 / began.elapsed().as_secs_f64())
}

/// Containers of Tessera in the engine, whosever they are.
async fn there(docker: &Docker) -> Result<usize> {
    let jobs = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), vec!["tessera.job".to_owned()])])),
        ..ListContainersOptions::default()
    };
    Ok(docker.list_containers(Some(jobs)).await?.len())
}

/// Until no more are left in the engine than others had there before.
async fn gone(docker: &Docker, others: usize) -> Result<()> {
    let began = Instant::now();
    while there(docker).await? > others {
        if began.elapsed() > PATIENCE {
            bail!("containers of ended tasks are still there");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
