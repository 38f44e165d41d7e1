//! `cargo xtask bench`: how fast it is, as ratios against a baseline of the same run.
//!
//! A measurement is a program of the top package's `benches/` (built for release, with all its dependencies) and a
//! file here that says what is measured and what we aim at:
//!
//! - `docker.rs`: a task on Docker, against the same container made by hand.
//! - `creates.rs`: durable creates over HTTP, against a bare handler and the disk.
//! - `gets.rs`, `pages.rs`: tasks by their ids, and page by page.
//! - `allocations.rs`: what a request allocates.
//! - `filters.rs`: every filter, up to a million tasks.
//! - `memory.rs`: what tasks hold of memory and of the disk.
//! - `noop.rs`: tasks through store and engine alone, on the scripted backend.
//! - `queue.rs`: what it costs to explain a queue.
//! - `retention.rs`: what it costs others when old tasks are removed.
//! - `cancel.rs`: from `:cancel` to SIGTERM, and to CANCELED.
//! - `footprint.rs`: start-up and memory.
//! - `listeners.rs`: an event at a thousand listeners.
//! - `verbs.rs`: the store's verbs.
//! - `logs.rs`: following a log: how far behind, and what a thousand followers cost.
//! - `kubernetes.rs`: tasks on a real Kubernetes, against bare Jobs.
//! - `storage.rs`: staging in and out of S3, against s5cmd and rclone.
//!
//! Those that ask a store can be had with each: `cargo xtask bench --store postgres`.
//!
//! The program prints one line of JSON, `{"figures": {NAME: VALUE, …}}`, whatever else it says. `figures.rs` holds
//! them against the aims.

mod allocations;
mod cancel;
mod creates;
mod docker;
mod figures;
mod filters;
mod footprint;
mod gets;
mod kubernetes;
mod listeners;
mod logs;
mod memory;
mod noop;
mod pages;
mod queue;
mod retention;
mod storage;
mod verbs;

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::command::{loud, program, stopped};
use crate::house;
use crate::machine::cluster::{self as clusters, Cluster};
use crate::machine::engine::{self, Engine};
use crate::machine::postgres::Postgres;
use crate::machine::{packages, rust, storage as storages};
use figures::{Aim, Measured, Measurement, Needs};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these; all of them when none is named.
    names: Vec<String>,
    /// Only what runs on Kubernetes.
    #[arg(long, conflicts_with = "names")]
    kubernetes: bool,
    /// Where tasks are stored; on PostgreSQL, only what asks a store. One is started, unless `TESSERA_TEST_POSTGRES`
    /// names one.
    #[arg(long, value_enum, default_value = "sqlite", conflicts_with = "kubernetes")]
    store: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// What we aim at; nothing when it is not measured there.
    fn aims(self, measurement: &Measurement) -> Option<&'static [Aim]> {
        match self {
            Self::Sqlite => Some(measurement.aims),
            Self::Postgres => measurement.on_postgres,
        }
    }
}

const ALL: &[&Measurement] = &[
    &docker::MEASUREMENT,
    &creates::MEASUREMENT,
    &gets::MEASUREMENT,
    &pages::MEASUREMENT,
    &allocations::MEASUREMENT,
    &filters::MEASUREMENT,
    &memory::MEASUREMENT,
    &noop::MEASUREMENT,
    &queue::MEASUREMENT,
    &retention::MEASUREMENT,
    &cancel::MEASUREMENT,
    &footprint::MEASUREMENT,
    &listeners::MEASUREMENT,
    &verbs::MEASUREMENT,
    &storage::MEASUREMENT,
    &logs::MEASUREMENT,
    &kubernetes::MEASUREMENT,
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for name in &arguments.names {
        if !ALL.iter().any(|one| one.name == name) {
            let names: Vec<&str> = ALL.iter().map(|one| one.name).collect();
            bail!("nothing is called `{name}`; there are {}", names.join(", "));
        }
    }
    let wanted = |one: &Measurement| match arguments.kubernetes {
        true => one.needs == Needs::Cluster,
        false if arguments.store.aims(one).is_none() => false,
        false => arguments.names.is_empty() || arguments.names.iter().any(|name| name == one.name),
    };
    let chosen: Vec<&Measurement> = ALL.iter().copied().filter(|one| wanted(one)).collect();
    if chosen.is_empty() {
        bail!("nothing of that is measured on PostgreSQL");
    }

    let needed = |needs: Needs| chosen.iter().any(|one| one.needs == needs);
    let with_docker = needed(Needs::Docker) || needed(Needs::Cluster);
    packages::ensure(match (with_docker, needed(Needs::Cluster)) {
        (_, true) => &[packages::BUILD, packages::DOCKER, packages::SUITES, packages::CLUSTER],
        (true, false) => &[packages::BUILD, packages::DOCKER, packages::SUITES],
        (false, false) => &[packages::BUILD],
    })?;
    rust::ensure_musl()?;
    let _docker = if with_docker {
        let docker = Engine::up("docker", "bench")?;
        engine::images(&["busybox"])?;
        Some(docker)
    } else {
        None
    };
    let (mut variables, mut rig) = (Vec::new(), None);
    if needed(Needs::Storages) {
        // Nothing is measured while something else is built.
        storages::install().join()?;
        variables = storages::contenders()?;
        let up = Engine::up("storage", "bench")?;
        variables.extend(up.variables.clone());
        rig = Some(up);
    }

    let mut postgres = None;
    if arguments.store == Kind::Postgres {
        packages::ensure(&[packages::POSTGRES])?;
        let up = Postgres::up("bench")?;
        variables.extend(up.variables.clone());
        postgres = Some(up);
    }
    let cluster = if needed(Needs::Cluster) { Some(start_cluster()?) } else { None };
    variables.extend(cluster.iter().flat_map(|cluster| cluster.variables.clone()));

    let mut measured = Vec::new();
    for measurement in chosen {
        if stopped() {
            bail!("stopped");
        }
        println!("{}: {}", measurement.name, measurement.what);
        measured.push(measure(measurement, arguments.store, &variables)?);
    }
    drop((rig, cluster, postgres));
    let file = match arguments.store {
        Kind::Sqlite => "bench.json",
        Kind::Postgres => "bench-postgres.json",
    };
    figures::report(&measured, &house::target().join(file))
}

/// With the images, one of which holds the runtime that building the server for release has made.
fn start_cluster() -> Result<Cluster> {
    clusters::install().join()?;
    loud(&mut program(&["cargo", "build", "--quiet", "--release", "--package", "tessera", "--bin", "tessera"]))?;
    let cluster = Cluster::up("bench")?;
    cluster.import(&[])?;
    Ok(cluster)
}

fn measure(measurement: &'static Measurement, store: Kind, variables: &[(String, String)]) -> Result<Measured> {
    let mut command = program(&["cargo", "bench", "--quiet", "--package", "tessera", "--bench", measurement.bench]);
    if store == Kind::Postgres {
        command.args(["--", "--store", "postgres"]);
    }
    command.envs(variables.iter().cloned()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    for line in said.lines().filter(|line| !line.starts_with(figures::MARK)) {
        println!("  {line}");
    }
    if !output.status.success() {
        bail!("`cargo bench --bench {}` failed ({})", measurement.bench, output.status);
    }
    figures::read(measurement, store.aims(measurement).unwrap_or_default(), &said)
}
