//! `cargo xtask demo`: one real task, from an empty machine to an output file, to look at.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::command::{loud, program, said, shown, until};
use crate::house::{self, Scratch};
use crate::machine::engine::{self, Engine};
use crate::machine::{packages, rust};
use crate::server::Server;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave the server (and the Docker engine, if it was started here) running, and the files where they are.
    #[arg(long)]
    keep: bool,
}

/// How a task ends.
const ENDS: [&str; 5] = ["COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED"];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    say("1/6  What this machine needs");
    packages::ensure(&[packages::BUILD, packages::DOCKER])?;
    rust::ensure_musl()?;
    let mut docker = Engine::up("docker", "demo")?;
    println!(
        "  {}",
        said(&mut program(&["docker", "version", "--format", "Docker engine {{.Server.Version}}"]))?.trim()
    );

    // The debug server: half a minute instead of minutes, and the runtime inside it is optimised all the same.
    say("2/6  Building the server and the static tool runtime it carries");
    loud(&mut program(&["cargo", "build", "--workspace", "--bin", "tessera"]))?;

    say("3/6  An image FROM scratch, with one static program of ours and nothing else");
    print!("  tessera-test/{}", engine::images(&["demo"])?);

    say("4/6  Starting the server");
    let scratch = Scratch::new("demo")?;
    let mut server = Server::start(&house::target().join("debug/tessera"), scratch.path(), "")?;
    println!("  {}", server.shown);

    say("5/6  A task: one input file, two executors over a shared volume, one output file");
    let files = scratch.path().join("files");
    fs::write(files.join("poem.txt"), "a task goes in\na container runs\nnothing is lost\n")?;
    let task = create(server.address, &files)?;
    let ended = watch(server.address, &task)?;

    say("6/6  What came of it");
    let output = fs::read_to_string(files.join("counted.txt")).unwrap_or_default();
    println!("  {}:\n{}", files.join("counted.txt").display(), indented(&output));
    println!("  the task, in full:\n{}", indented(&serde_json::to_string_pretty(&ended)?));
    if ended["state"] != "COMPLETE" || output.lines().count() != 4 {
        bail!("the demo's task did not do what it should; the server said:\n{}", fs::read_to_string(&server.log)?);
    }

    if arguments.keep {
        println!("\nStill running: http://{} (pid {}); its pages are at /docs.", server.address, server.pid());
        println!("Its files: {}", scratch.path().display());
        println!("To end it: kill {}", server.pid());
        if docker.is_ours() {
            println!("To end the Docker engine as well: {}", docker.how_to_stop());
        }
        server.keep();
        docker.keep();
        std::mem::forget(scratch);
    } else {
        drop(server);
        drop(docker);
        println!("\nDone. Nothing was left running; `cargo xtask demo --keep` leaves the server there to play with.");
    }
    Ok(())
}

/// Submits the task the way anybody would, with curl, and shows both sides.
fn create(server: SocketAddr, files: &Path) -> Result<String> {
    let url = |name: &str| format!("file://{}/{name}", files.display());
    let image = "tessera-test/demo:1";
    let task = json!({
        "name": "demo",
        "inputs": [{"url": url("poem.txt"), "path": "/in/poem.txt"}],
        "outputs": [{"url": url("counted.txt"), "path": "/work/counted.txt"}],
        "volumes": ["/work"],
        "executors": [
            {"image": image, "command": ["/tool", "copy", "/in/poem.txt", "/work/poem.txt"]},
            {"image": image, "command": ["/tool", "count", "/work/poem.txt", "/work/counted.txt"]},
        ],
    });
    let pretty = serde_json::to_string_pretty(&task)?;
    println!("{}", indented(&format!("curl -X POST http://{server}/ga4gh/tes/v1/tasks -d @task.json")));
    println!("{}", indented(&pretty));
    let answer = curl(&[
        "-X",
        "POST",
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &pretty,
        &format!("http://{server}/ga4gh/tes/v1/tasks"),
    ])?;
    println!("  -> {answer}");
    Ok(answer["id"].as_str().context("the answer holds no id")?.to_owned())
}

/// Polls until the task has ended and prints each state once.
fn watch(server: SocketAddr, task: &str) -> Result<Value> {
    let one = format!("http://{server}/ga4gh/tes/v1/tasks/{task}");
    println!("{}", indented(&format!("curl {one}")));
    let mut seen = BTreeSet::new();
    until("the demo's task to end", Duration::from_secs(120), || {
        let now = curl(&[&one])?;
        let state = now["state"].as_str().unwrap_or_default().to_owned();
        if seen.insert(state.clone()) {
            println!("  -> {now}");
        }
        if !ENDS.contains(&state.as_str()) {
            return Ok(None);
        }
        curl(&[&format!("{one}?view=FULL")]).map(Some)
    })
}

fn curl(words: &[&str]) -> Result<Value> {
    let mut command = program(&["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "20"]);
    let answer = said(command.args(words))?;
    serde_json::from_str(&answer).with_context(|| format!("`{}` was answered by no JSON: {answer}", shown(&command)))
}

fn say(headline: &str) {
    println!("\n{headline}");
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
