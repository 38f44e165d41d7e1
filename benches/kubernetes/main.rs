//! Tasks on a real Kubernetes, next to bare Jobs of a client that does nothing else, in the same run.
//!
//! `cargo xtask bench --kubernetes` brings the cluster up and names it: KUBECONFIG, and in TESSERA_TEST_AUDIT_LOG the
//! audit log of its API server, in which calls are counted. The server has a service account of its own in a namespace
//! of its own, so that its calls are known by their user, and may do there what an `admin` may.
//!
//! - [`room`]: the namespace, the account, and the Jobs in it.
//! - [`bare`]: Jobs without a server: the command alone, and in the shape that we give it.
//! - [`ends`]: when which pod and which task has ended, heard from a watch and from the server's events.
//! - [`calls`]: what the API server was asked.
//! - [`tasks`]: the server's side.
//!
//! Pods of one command end a second or so after they could have: a kubelet looks at its containers once a second. So
//! ratios are made of many, and what is ours alone is measured from the moment at which a pod is seen to have ended.

mod bare;
mod calls;
mod ends;
#[path = "../harness/mod.rs"]
mod harness;
mod room;
mod tasks;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use calls::AuditLog;
use harness::figures::{Figures, median, ms, percentile};
use harness::server::Server;
use room::Room;
use tasks::Tasks;

/// What every container of a task and every bare Job runs.
const IMAGE: &str = "docker.io/tessera-test/busybox:1";
const COMMAND: [&str; 1] = ["true"];
/// What our own containers are.
const OURS: &str = "docker.io/tessera-test/runtime:1";
/// How many are measured alone, in turns with a bare Job, and how many of them at a time.
const PAIRS: usize = 30;
const AT_A_TIME: usize = 3;
/// How many come at once.
const BURST: usize = 500;
/// How many wait in a queue that starts none.
const WAITING: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(1800);

#[tokio::main]
async fn main() -> Result<()> {
    // Only the first parts, and fewer of everything: to try the measurement itself.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let burst = words.first().map_or(Ok(BURST), |word| word.parse()).context("not a number of tasks")?;
    let folder = tempfile::tempdir()?;
    let room = Room::make().await?;
    let measured = measure(&room, folder.path(), burst).await;
    room.remove().await?;
    measured?.print();
    Ok(())
}

async fn measure(room: &Room, folder: &Path, burst: usize) -> Result<Figures> {
    let mut figures = Figures::default();
    let audit = AuditLog::find()?;
    let settings = room.settings(folder, "").await?;
    {
        let server = Server::start(folder, &settings)?;
        let tasks = Tasks::follow(&server).await?;
        alone(room, &tasks, &mut figures).await?;
        together(room, &tasks, &audit, burst, &mut figures).await?;
    }
    waiting(room, folder, burst.saturating_mul(WAITING) / BURST, &mut figures).await?;
    Ok(figures)
}

/// A task and a bare Job in turns: what our containers take, and how long an end takes to be known.
async fn alone(room: &Room, tasks: &Tasks, figures: &mut Figures) -> Result<()> {
    // The first of each finds everything cold.
    tasks.ended(&tasks.create(1).await?).await?;
    room.ended(&bare::create(room, 1, &bare::command()).await?).await?;
    let (mut theirs, mut ours, mut differences, mut noticed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS / AT_A_TIME {
        let began = Instant::now();
        let jobs = bare::create(room, AT_A_TIME, &bare::command()).await?;
        let bare: Vec<f64> = room.ended(&jobs).await?.iter().map(|end| ms(end.duration_since(began))).collect();

        let began = Instant::now();
        let created = tasks.create(AT_A_TIME).await?;
        let ends = tasks.ended(&created).await?;
        let pods = room.ended(&created).await?;
        let mut task = Vec::new();
        for (end, pod) in ends.iter().zip(&pods) {
            noticed.push(end.saturating_duration_since(*pod));
            task.push(ms(pod.duration_since(began)));
        }
        differences.push(median(task.clone()) - median(bare.clone()));
        ours.extend(task);
        theirs.extend(bare);
    }
    // The bare ones are nobody's, and stay.
    room.clear().await?;
    figures.note("bare_ms_median", median(theirs));
    figures.note("task_ms_median", median(ours));
    figures.note("containers_overhead_ms_median", median(differences));
    figures.note("finished_to_complete_ms_median", ms(percentile(&mut noticed, 0.50)));
    figures.note("finished_to_complete_ms_p99", ms(percentile(&mut noticed, 0.99)));
    Ok(())
}

/// Many at once: as tasks, as Jobs of the same shape that somebody else makes, and as the command alone.
async fn together(room: &Room, tasks: &Tasks, audit: &AuditLog, burst: usize, figures: &mut Figures) -> Result<()> {
    let sample = tasks.create(1).await?;
    let shape = bare::shape_of(&room.job_of(&sample[0]).await?)?;
    tasks.ended(&sample).await?;
    room.empty().await?;

    let mut rates = Vec::new();
    // The command alone is no aim, only a word on what a pod of three containers costs: fewer are enough.
    for (template, many) in [(&shape, burst), (&bare::command(), burst.div_ceil(5))] {
        let began = Instant::now();
        let jobs = bare::create(room, many, template).await?;
        room.ended(&jobs).await?;
        rates.push(many as f64 / began.elapsed().as_secs_f64());
        room.clear().await?;
    }

    let from = audit.end()?;
    let began = Instant::now();
    let created = tasks.create(burst).await?;
    figures.note("burst_accepted_ms", ms(began.elapsed()));
    let ends = tasks.ended(&created).await?;
    let rate = burst as f64 / began.elapsed().as_secs_f64();
    let pods = room.ended(&created).await?;
    let mut noticed: Vec<Duration> =
        ends.iter().zip(&pods).map(|(end, pod)| end.saturating_duration_since(*pod)).collect();
    // What a job costs ends with its release.
    room.empty().await?;
    let calls = audit.since(from, &room.user())?;
    println!("calls of the server during the burst:\n{calls}");

    figures.note("burst_tasks_per_second", rate);
    figures.note("burst_same_jobs_per_second", rates[0]);
    figures.note("burst_bare_jobs_per_second", rates[1]);
    figures.note("burst_ratio_to_same_jobs", rate / rates[0]);
    figures.note("burst_ratio_to_bare_jobs", rate / rates[1]);
    figures.note("burst_finished_to_complete_ms_median", ms(percentile(&mut noticed, 0.50)));
    figures.note("burst_finished_to_complete_ms_p99", ms(percentile(&mut noticed, 0.99)));
    figures.note("objects_per_task", calls.of("create") as f64 / burst as f64);
    figures.note("calls_per_task", calls.all() as f64 / burst as f64);
    Ok(())
}

/// Many that have been submitted and do not run: a queue that nobody works off keeps them suspended.
async fn waiting(room: &Room, folder: &Path, many: usize, figures: &mut Figures) -> Result<()> {
    let settings = room.settings(folder, "kueue_queue = \"nobody\"\n").await?;
    let server = Server::start(folder, &settings)?;
    let idle = server.resident_mb()?;
    let tasks = Tasks::follow(&server).await?;
    tasks.create(many).await?;
    room.holds(many).await?;
    figures.note("idle_mb", idle);
    figures.note("waiting_mb", server.resident_mb()?);
    drop((tasks, server));

    let (took, bytes) = room.list().await?;
    figures.note("relist_ms", ms(took));
    figures.note("relist_mb", bytes as f64 / 1e6);
    // A server that starts knows nothing: it lists all of it, and looks at every job.
    let server = Server::start(folder, &settings)?;
    let before = server.processor_ms()?;
    let tasks = Tasks::follow(&server).await?;
    tasks.settled(&server).await?;
    figures.note("relist_server_cpu_ms", server.processor_ms()? - before);
    figures.note("relist_server_mb", server.resident_mb()?);
    if room.jobs().await? != many {
        bail!("{} of {many} jobs are left after a restart", room.jobs().await?);
    }
    Ok(())
}
