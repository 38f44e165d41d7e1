//! `cargo xtask soak`: a mixed load on Docker for some minutes. Every task must end as it should, nothing may grow. Or, with
//! `--kind simulation`, the simulation on seeds that nobody has tried.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::command::{loud, program, stopped, until};
use crate::house::{self, Scratch};
use crate::http;
use crate::machine::engine::{self, Engine};
use crate::machine::{packages, rust};
use crate::server::Server;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long the load lasts.
    #[arg(long)]
    minutes: u64,
    /// What is soaked.
    #[arg(long, value_enum, default_value_t = Kind::Docker)]
    kind: Kind,
    /// How many callers there are at once.
    #[arg(long, default_value_t = 4)]
    clients: u64,
}

/// What is soaked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A server on Docker.
    Docker,
    /// The simulation, on seeds chosen by chance.
    Simulation,
}

/// No task of this load takes longer without being lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the server is weighed.
const WEIGHING: Duration = Duration::from_secs(10);
/// What the server's memory may grow by between the first and the last third.
const GROWTH_MB: f64 = 20.0;

/// What the callers found.
#[derive(Default)]
struct Found {
    tasks: AtomicU64,
    by_state: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.kind {
        Kind::Docker => on_docker(arguments),
        Kind::Simulation => simulation(arguments.minutes),
    }
}

/// Ends with the story of the first seed that fails.
fn simulation(minutes: u64) -> Result<()> {
    packages::ensure(&[packages::BUILD])?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let words = ["cargo", "test", "-p", "tessera", "--test", "simulation", "seeds::seeds", "--", "--nocapture"];
    let mut command = program(&words);
    command.env("TESSERA_SIMULATION_FROM", (now.as_secs() * 1_000).to_string());
    loud(command.env("TESSERA_SIMULATION_MINUTES", minutes.to_string()))
}

fn on_docker(arguments: &Arguments) -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::DOCKER])?;
    rust::ensure_musl()?;
    let _docker = Engine::up("docker", "soak")?;
    engine::images(&["demo"])?;
    loud(&mut program(&["cargo", "build", "--release", "--workspace", "--bin", "tessera"]))?;
    let scratch = Scratch::new("soak")?;
    let server = Server::start(&house::target().join("release/tessera"), scratch.path(), "")?;
    println!("{} min of load on http://{}", arguments.minutes, server.address);

    let found = Found::default();
    let over = AtomicBool::new(false);
    let mut weights = Vec::new();
    thread::scope(|scope| -> Result<()> {
        for client in 0..arguments.clients {
            let (found, over, address) = (&found, &over, server.address);
            scope.spawn(move || {
                for round in 0.. {
                    if over.load(Ordering::Relaxed) || stopped() {
                        return;
                    }
                    if let Err(error) = one(address, client * 7 + round, found) {
                        found.wrong.lock().unwrap_or_else(|it| it.into_inner()).push(format!("{error:#}"));
                    }
                }
            });
        }
        let weighed = weigh(&server, scratch.path(), arguments.minutes, &found, &mut weights);
        over.store(true, Ordering::Relaxed);
        weighed
    })?;

    // A folder a backend, in it a folder an attempt.
    let work = scratch.path().join("data/work/docker");
    let left = until("the work folder to be empty", PATIENCE, || Ok((attempts(&work) == 0).then_some(()))).err();
    println!("{:?}", found.by_state.lock().unwrap_or_else(|it| it.into_inner()));
    let mut wrong = found.wrong.into_inner().unwrap_or_else(|it| it.into_inner());
    wrong.extend(left.map(|error| format!("{error:#}")));
    wrong.extend(grown(&weights));
    for sentence in wrong.iter().take(20) {
        println!("WRONG: {sentence}");
    }
    if !wrong.is_empty() {
        bail!("{} things went wrong; the server's log ends:\n{}", wrong.len(), end_of(&server.log));
    }
    println!("all {} tasks ended as they should", found.tasks.load(Ordering::Relaxed));
    Ok(())
}

/// Looks at the server's memory and files until the time is over.
fn weigh(server: &Server, scratch: &Path, minutes: u64, found: &Found, weights: &mut Vec<f64>) -> Result<()> {
    let began = Instant::now();
    let mut next = began + WEIGHING;
    while began.elapsed() < Duration::from_secs(minutes * 60) && !stopped() {
        thread::sleep(crate::command::GLANCE);
        if Instant::now() < next {
            continue;
        }
        next += WEIGHING;
        let memory = resident_mb(server.pid()).context("the server is gone")?;
        weights.push(memory);
        println!(
            "{:>5} s  {:>7} tasks  {memory:>6.1} MB  {:>4} files open  {:>3} attempts on disk",
            began.elapsed().as_secs(),
            found.tasks.load(Ordering::Relaxed),
            count(Path::new(&format!("/proc/{}/fd", server.pid()))),
            attempts(&scratch.join("data/work/docker")),
        );
    }
    Ok(())
}

/// One task of the mix, to its end.
fn one(server: SocketAddr, kind: u64, found: &Found) -> Result<()> {
    let image = "tessera-test/demo:1";
    let step = |words: &[&str]| json!({"image": image, "command": words});
    let (executors, wanted) = match kind % 6 {
        0 | 1 => (json!([step(&["/tool", "echo", "hello"])]), "COMPLETE"),
        2 => (json!([step(&["/tool", "copy", "/in/a", "/v/a"]), step(&["/tool", "cat", "/v/a"])]), "COMPLETE"),
        3 => (json!([step(&["/tool", "exit", "3"]), step(&["/tool", "echo", "never"])]), "EXECUTOR_ERROR"),
        4 => {
            let mut ignored = step(&["/tool", "exit", "3"]);
            ignored["ignore_error"] = json!(true);
            (json!([ignored, step(&["/tool", "echo", "still"])]), "COMPLETE")
        }
        _ => (json!([step(&["/tool", "sleep", "600"])]), "CANCELED"),
    };
    let task = json!({"name": format!("soak-{kind}"), "executors": executors, "volumes": ["/v"],
        "inputs": [{"path": "/in/a", "content": "some text\n"}]});
    let created = http::json(server, "POST", "/ga4gh/tes/v1/tasks", Some(&task))?;
    let path = format!("/ga4gh/tes/v1/tasks/{}", created["id"].as_str().context("no id")?);
    let state = |view: &Value| view["state"].as_str().unwrap_or_default().to_owned();
    if wanted == "CANCELED" {
        // Sometimes while it waits, sometimes while it starts, mostly while it runs.
        let until_then = Instant::now() + Duration::from_millis(kind * 37 % 900);
        until("the moment to cancel", PATIENCE, || Ok((Instant::now() >= until_then).then_some(())))?;
        http::json(server, "POST", &format!("{path}:cancel"), None)?;
    }
    let ended = until(&format!("{path} to end"), PATIENCE, || {
        let view = http::json(server, "GET", &path, None)?;
        let ended = ["COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"].contains(&state(&view).as_str());
        Ok(ended.then_some(view))
    })?;
    found.tasks.fetch_add(1, Ordering::Relaxed);
    *found.by_state.lock().unwrap_or_else(|it| it.into_inner()).entry(state(&ended)).or_default() += 1;
    if state(&ended) != wanted {
        let full = http::json(server, "GET", &format!("{path}?view=FULL"), None)?;
        bail!("{wanted} was expected of {full}");
    }
    Ok(())
}

/// A sentence, when memory went up from the first third to the last.
fn grown(weights: &[f64]) -> Option<String> {
    let third = weights.len() / 3;
    if third == 0 {
        return None;
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&weights[..third]), mean(&weights[weights.len() - third..]));
    (last > first + GROWTH_MB).then(|| format!("memory grew from {first:.1} MB to {last:.1} MB"))
}

/// The resident memory of a process.
fn resident_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map(Iterator::count).unwrap_or(0)
}

/// A folder an attempt; what else the adapter keeps there are files.
fn attempts(work: &Path) -> usize {
    fs::read_dir(work).map(|all| all.flatten().filter(|entry| entry.path().is_dir()).count()).unwrap_or(0)
}

fn end_of(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
