//! How long a job of `true` takes through this backend, next to create, start, wait and remove of the same image.
//!
//! ```text
//! cargo run -p tessera-docker --example latency [ROUNDS]
//! ```
//! Both kinds take turns, so that a busy machine is busy for both. `TESSERA_RUNTIME_BIN` names the runtime.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bollard::models::ContainerCreateBody;
use tessera_contract::{Backend, Bell, InstallationId, Job, JobId, Observation};
use tessera_docker::Docker;
use tessera_docker::config::DockerConfig;
use tessera_runtime::node::engine::Engine;
use tessera_runtime::node::settings::EngineSettings;
use tessera_runtime::plan::{Executor, PLAN_VERSION, Plan};

const IMAGE: &str = "tessera-test/busybox:1";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rounds: u32 = std::env::args().nth(1).map_or(Ok(20), |text| text.parse())?;
    let runtime = std::env::var("TESSERA_RUNTIME_BIN").context("TESSERA_RUNTIME_BIN names the runtime")?;
    let folder = std::env::temp_dir().join(format!("tessera-latency-{}", std::process::id()));
    let config = DockerConfig::default();
    let engine = Engine::at(EngineSettings { host: config.engine_host(), api: None });
    let bell = Bell::default();
    let installation = InstallationId(format!("latency{}", std::process::id()));
    let backend = Docker::open("docker", config, installation, folder.clone(), runtime.into(), bell.clone()).await?;

    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        raw.push(through_the_engine(&engine, &format!("tessera-latency-{round}")).await?);
        ours.push(through_the_backend(&backend, &bell, round).await?);
    }
    println!(
        "one at a time: raw {:?}, ours {:?}, ratio {:.3}",
        median(&mut raw),
        median(&mut ours),
        ratio(&raw, &ours)
    );

    for turn in 0..2 {
        let began = Instant::now();
        let lanes = (0..4).map(|lane| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for round in 0..rounds / 2 {
                    through_the_engine(&engine, &format!("tessera-latency-{lane}-{round}")).await?;
                }
                anyhow::Ok(())
            })
        });
        for lane in lanes.collect::<Vec<_>>() {
            lane.await??;
        }
        let raw = began.elapsed();
        let began = Instant::now();
        four_at_a_time(&backend, &bell, 1_000 * (turn + 1), rounds / 2 * 4).await?;
        let ours = began.elapsed();
        let per_second = |time: Duration| f64::from(rounds / 2 * 4) / time.as_secs_f64();
        println!(
            "four at a time: raw {:.2}/s, ours {:.2}/s, ratio {:.3}",
            per_second(raw),
            per_second(ours),
            per_second(ours) / per_second(raw)
        );
    }
    while std::fs::read_dir(&folder)?.count() > 1 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

async fn through_the_engine(engine: &Engine, name: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let body = ContainerCreateBody {
        image: Some(IMAGE.to_owned()),
        cmd: Some(vec!["true".to_owned()]),
        ..ContainerCreateBody::default()
    };
    engine.create(name, body).await?;
    engine.start(name).await?;
    engine.ended(name).await?;
    engine.remove(name).await?;
    Ok(began.elapsed())
}

async fn through_the_backend(backend: &Docker, bell: &Bell, round: u32) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let handle = backend.submit(&job(round)).await?;
    loop {
        if let [Observation::Ended(_)] = backend.observe(std::slice::from_ref(&handle)).await?.as_slice() {
            break;
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), bell.rung()).await;
    }
    let took = began.elapsed();
    backend.release(&handle).await?;
    Ok(took)
}

/// As an engine does it: one loop that observes all and fills what has become free.
async fn four_at_a_time(backend: &Arc<Docker>, bell: &Bell, first: u32, jobs: u32) -> anyhow::Result<()> {
    let (mut next, mut running) = (0, Vec::new());
    while next < jobs || !running.is_empty() {
        while next < jobs && running.len() < 4 {
            running.push(backend.submit(&job(first + next)).await?);
            next += 1;
        }
        let seen = backend.observe(&running).await?;
        let before = running.len();
        let mut over = seen.iter().map(|seen| matches!(seen, Observation::Ended(_)));
        let ended: Vec<_> = running.iter().filter(|_| over.next() == Some(true)).cloned().collect();
        running.retain(|handle| !ended.contains(handle));
        for handle in &ended {
            backend.release(handle).await?;
        }
        if running.len() == before {
            let _ = tokio::time::timeout(Duration::from_secs(1), bell.rung()).await;
        }
    }
    Ok(())
}

fn job(number: u32) -> Job {
    let id = JobId::of_attempt(&format!("latency{number}"), 1);
    Job {
        plan: Plan {
            version: PLAN_VERSION,
            job: id.to_string(),
            inputs: Vec::new(),
            executors: vec![Executor {
                image: IMAGE.to_owned(),
                command: vec!["true".to_owned()],
                workdir: None,
                env: BTreeMap::new(),
                stdin: None,
                stdout: None,
                stderr: None,
                ignore_error: false,
            }],
            outputs: Vec::new(),
            volumes: Vec::new(),
            limits: Default::default(),
            policy: Default::default(),
            storage: Default::default(),
        },
        id,
        owner: "latency".to_owned(),
        preemptible: false,
        zones: Vec::new(),
        parameters: BTreeMap::new(),
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ratio(raw: &[Duration], ours: &[Duration]) -> f64 {
    ours[ours.len() / 2].as_secs_f64() / raw[raw.len() / 2].as_secs_f64()
}
