//! What is done, in which order: what fails fast first, what takes long in the background.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Result, anyhow, bail};

use super::ledger::Ledger;
use super::{deny, on_cluster, on_postgres, suites};
use crate::command::{logged, program};
use crate::house::{self, Scratch};
use crate::machine::engine::{self, Engine};
use crate::machine::others::{self, Compiling};
use crate::machine::python::{
    self, CHART, Environment, PULSAR, PY_TES_MIDDLE, PY_TES_NEW, PY_TES_OLD, PYDANTIC_TES, SCHEMATHESIS, WORKFLOWS,
};
use crate::machine::storage::Installing;
use crate::machine::{cluster, packages, rust, storage};
use crate::server::Server;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only steps whose name holds one of these words.
    only: Vec<String>,
}

/// The suites that run against the storages of `tests/engines/storage`; `storages` runs on Docker, too.
const ON_STORAGES: &[&str] = &["storage", "storages"];

/// The clients that are compiled, or not Python's.
const OTHERS: &str = "other clients";

/// The libraries of the client matrix.
const LIBRARIES: &[Environment] = &[PY_TES_NEW, PY_TES_MIDDLE, PY_TES_OLD, PYDANTIC_TES];

/// Where the engines are, for whoever uses them.
pub(super) type Variables = Vec<(String, String)>;

/// Something that runs while the engines do.
pub(super) struct Step {
    pub(super) name: String,
    pub(super) work: Work,
}

pub(super) type Work = Box<dyn FnOnce(&Variables, &Path) -> Result<()>>;

/// All of it. Nothing is skipped: what cannot run has failed.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut ledger = Ledger::new()?;
    let wanted = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|word| name.contains(word));

    ledger
        .step("install", |_| {
            let engines = [packages::DOCKER, packages::SUITES, packages::CLUSTER, packages::POSTGRES];
            packages::ensure(&[&[packages::BUILD, packages::PYTHON], engines.as_slice()].concat())?;
            rust::ensure_musl()
        })
        .ok_or_else(|| anyhow!("the tests need what could not be installed"))?;
    let (on_storages, suites): (Vec<_>, Vec<_>) =
        suites::all()?.into_iter().partition(|suite| ON_STORAGES.contains(&suite.name.as_str()));
    let (on_cluster, suites): (Vec<_>, Vec<_>) =
        suites.into_iter().partition(|suite| on_cluster::SUITES.contains(&suite.name.as_str()));
    let on_cluster = on_cluster.into_iter().map(suite).chain([on_cluster::deaths(), on_cluster::chart()]);
    let on_cluster: Vec<Step> = on_cluster.filter(|step| wanted(&step.name)).collect();
    let (on_postgres, suites): (Vec<_>, Vec<_>) =
        suites.into_iter().partition(|suite| on_postgres::SUITES.contains(&suite.name.as_str()));
    let on_postgres = std::iter::once(on_postgres::store())
        .chain(on_postgres.into_iter().map(on_postgres::on_postgres))
        .chain([on_postgres::deaths(), on_postgres::schemathesis()]);
    let on_postgres: Vec<Step> = on_postgres.filter(|step| wanted(&step.name)).collect();
    let on_storages: Vec<Step> = on_storages.into_iter().map(suite).filter(|step| wanted(&step.name)).collect();
    // Compiled for minutes on a fresh machine: begun first, behind everything else, and waited for last.
    let cluster = (!on_cluster.is_empty()).then(cluster::install);
    let storages = (!on_storages.is_empty()).then(storage::install);
    let others = wanted(OTHERS).then(others::compile);
    // The package index is far away and the compiler is busy for minutes: both at once.
    let mut clients = Some(thread::spawn(|| -> Result<()> {
        for environment in LIBRARIES.iter().chain([&SCHEMATHESIS, &PULSAR, &CHART]).chain(WORKFLOWS) {
            python::ensure(*environment)?;
        }
        Ok(())
    }));

    if wanted("format") {
        format(&mut ledger);
    }
    if wanted("build") || arguments.only.is_empty() {
        ledger.step("build", |log| cargo(&["test", "--workspace", "--all-targets", "--no-run"], log));
    }
    if wanted("unit tests") {
        ledger.step("unit tests", |log| cargo(&["test", "--workspace", "--lib", "--bins"], log));
        ledger.step("unit tests in docs", |log| cargo(&["test", "--workspace", "--doc"], log));
    }
    if wanted("lints") {
        lints(&mut ledger);
    }
    if wanted("dependencies") {
        ledger.step("dependencies", |log| deny::check(log));
    }

    if !on_postgres.is_empty() {
        on_postgres::run(&mut ledger, on_postgres);
    }
    let mut on_engines: Vec<Step> = suites.into_iter().map(suite).collect();
    on_engines.push(Step { name: "clients".to_owned(), work: Box::new(client_matrix) });
    on_engines.push(Step { name: "workflows".to_owned(), work: Box::new(workflows) });
    on_engines.push(Step { name: "schemathesis".to_owned(), work: Box::new(schemathesis) });
    on_engines.retain(|step| wanted(&step.name));
    if !on_engines.is_empty() {
        let engines = ledger.step("start engines", start);
        if let Some(clients) = clients.take() {
            install_clients(&mut ledger, clients);
        }
        if let Some(engines) = engines {
            let variables: Variables = engines.iter().flat_map(|engine| engine.variables.clone()).collect();
            for step in on_engines {
                ledger.step(&step.name, |log| (step.work)(&variables, log));
            }
            ledger.step("stop engines", |_| {
                drop(engines);
                Ok(())
            });
        }
    }
    if let Some(others) = others {
        if let Some(clients) = clients.take() {
            install_clients(&mut ledger, clients);
        }
        run_others(&mut ledger, others);
    }
    if let Some(storages) = storages {
        run_on_storages(&mut ledger, storages, on_storages);
    }
    if let Some(cluster) = cluster {
        if let Some(clients) = clients.take() {
            install_clients(&mut ledger, clients);
        }
        on_cluster::run(&mut ledger, cluster, on_cluster);
    }
    ledger.close()
}

/// Before anything looks for an environment: two would make it at once.
fn install_clients(ledger: &mut Ledger, clients: thread::JoinHandle<Result<()>>) {
    ledger.step("install clients", |_| clients.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked"))));
}

fn run_others(ledger: &mut Ledger, compiling: Compiling) {
    let Some(programs) = ledger.step("compile other clients", |_| compiling.join()) else { return };
    ledger.step(OTHERS, |log| {
        cargo(&["build", "--workspace", "--bin", "tessera"], log)?;
        let docker = Engine::up("docker", "test")?;
        engine::images(&["busybox", "bash", "pulsar"])?;
        let mut command = program(&["python3", "tests/clients/others/run", "--server"]);
        command.arg(server()).arg("--rust").arg(&programs.rust).arg("--sprocket").arg(&programs.sprocket);
        command.arg("--pulsar").arg(python::ensure(PULSAR)?.join("bin/python"));
        logged(command.envs(docker.variables.iter().cloned()), log)
    });
}

fn run_on_storages(ledger: &mut Ledger, storages: Installing, steps: Vec<Step>) {
    if ledger.step("install storages", |_| storages.join()).is_none() {
        return;
    }
    let started = ledger.step("start storages", |_| {
        let docker = Engine::up("docker", "test")?;
        engine::images(&["busybox"])?;
        Ok((Engine::up("storage", "test")?, docker))
    });
    let Some((rig, docker)) = started else { return };
    let mut variables = [rig.variables.clone(), docker.variables.clone()].concat();
    variables.push(("TESSERA_REQUIRE_STORAGES".to_owned(), "1".to_owned()));
    for step in steps {
        ledger.step(&step.name, |log| (step.work)(&variables, log));
    }
    ledger.step("stop storages", |_| {
        drop((rig, docker));
        Ok(())
    });
}

/// What is quick and needs no service.
pub(crate) fn ci() -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::PYTHON])?;
    rust::ensure_musl()?;
    let mut ledger = Ledger::new()?;
    format(&mut ledger);
    lints(&mut ledger);
    ledger.step("dependencies", |log| deny::check(log));
    ledger.step("tests", |log| cargo(&["test", "--workspace"], log));
    ledger.close()
}

fn format(ledger: &mut Ledger) {
    ledger.step("format", |log| cargo(&["fmt", "--all", "--check"], log));
}

fn lints(ledger: &mut Ledger) {
    ledger.step("lints", |log| cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"], log));
    ledger.step("documentation", |log| {
        let mut command = program(&["cargo", "doc", "--workspace", "--no-deps", "--document-private-items"]);
        logged(command.env("RUSTDOCFLAGS", "--deny warnings"), log)
    });
}

/// Docker, Podman and a registry, with the test images in both.
fn start(_log: &PathBuf) -> Result<Vec<Engine>> {
    let docker = Engine::up("docker", "test")?;
    engine::images(&[])?;
    let podman = Engine::up("podman", "test")?;
    engine::images_in_podman(&podman)?;
    let registry = Engine::up("registry", "test")?;
    Ok(vec![registry, podman, docker])
}

/// Steps of the simulation: a plain `cargo test` runs fewer.
const SIMULATED: &str = "1000000";

/// One test program. With the variable set it fails where it would otherwise skip for want of an engine.
pub(super) fn suite(suite: suites::Suite) -> Step {
    let name = format!("{} {}", suite.package, suite.name);
    let work = move |variables: &Variables, log: &Path| {
        // The whole workspace is named, so that features stay those of the build, and nothing is compiled twice.
        let mut command = program(&["cargo", "test", "--workspace", "--test", &suite.name]);
        command.env("TESSERA_REQUIRE_ENGINES", "1").envs(variables.iter().cloned());
        // Not for the server's own suites: naming a runtime would build the server once more.
        if suite.name == "simulation" {
            command.args(["--", "--nocapture"]).env("TESSERA_SIMULATION_STEPS", SIMULATED);
        }
        if suite.package != "tessera"
            && let Some(runtime) = house::runtime()
        {
            command.env("TESSERA_RUNTIME_BIN", runtime);
        }
        logged(&mut command, log)
    };
    Step { name, work: Box::new(work) }
}

fn schemathesis(_variables: &Variables, log: &Path) -> Result<()> {
    ask_whatever_is_allowed("", None, log)
}

/// Asks a server with these settings beside. On the scripted backend: there are thousands of tasks, and what they would
/// run was made up.
pub(super) fn ask_whatever_is_allowed(settings: &str, examples: Option<u32>, log: &Path) -> Result<()> {
    cargo(&["build", "--workspace", "--bin", "tessera"], log)?;
    let venv = python::ensure(SCHEMATHESIS)?;
    let scratch = Scratch::new("schemathesis")?;
    let settings = format!("{settings}[backends.made-up]\nkind = \"scripted\"\n");
    let server = Server::start(&server(), scratch.path(), &settings)?;
    let mut command = program(&["tests/schemathesis/run", &format!("http://{}", server.address)]);
    command.envs(examples.map(|examples| ("EXAMPLES", examples.to_string())));
    let done = logged(command.env("SCHEMATHESIS_VENV", venv), log);
    // A panic is a failure even where the client saw none.
    let said = std::fs::read_to_string(&server.log)?;
    if done.is_err() || said.contains("panicked at") {
        std::fs::copy(&server.log, log.with_extension("server.log"))?;
        done?;
        bail!("the server panicked; see {}", log.with_extension("server.log").display());
    }
    Ok(())
}

fn client_matrix(variables: &Variables, log: &Path) -> Result<()> {
    cargo(&["build", "--workspace", "--bin", "tessera"], log)?;
    let mut command = program(&["python3", "tests/clients/run", "--server"]);
    command.arg(server());
    name_pythons(&mut command, LIBRARIES)?;
    logged(command.envs(variables.iter().cloned()), log)
}

/// Workflow engines, each with the image that its jobs need.
fn workflows(variables: &Variables, log: &Path) -> Result<()> {
    cargo(&["build", "--workspace", "--bin", "tessera"], log)?;
    engine::images(&["debian"])?;
    let mut command = program(&["python3", "tests/clients/workflows/run", "--server"]);
    command.arg(server());
    name_pythons(&mut command, WORKFLOWS)?;
    logged(command.envs(variables.iter().cloned()), log)
}

fn name_pythons(command: &mut Command, environments: &[Environment]) -> Result<()> {
    for environment in environments {
        let python = python::ensure(*environment)?.join("bin/python");
        command.arg("--python").arg(format!("{}={}", environment.name, python.display()));
    }
    Ok(())
}

/// The debug server: what the suites of the workspace run, too.
fn server() -> PathBuf {
    house::target().join("debug/tessera")
}

pub(super) fn cargo(words: &[&str], log: &Path) -> Result<()> {
    logged(program(&["cargo"]).args(words), log)
}
