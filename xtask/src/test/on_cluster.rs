//! What runs on a real Kubernetes: the suites of its backend, and the chart.

use std::path::Path;

use anyhow::Result;

use super::ledger::Ledger;
use super::steps::{Step, Variables, cargo};
use crate::command::{logged, program};
use crate::house;
use crate::machine::cluster::{Cluster, Installing};
use crate::machine::engine::Engine;
use crate::machine::python::{self, CHART};
use crate::machine::storage;

/// The suites that need it, in whichever package.
pub(super) const SUITES: &[&str] = &["cluster"];

/// The image of the server, with both programs.
const SERVER: &str = "tessera-test/server:1";

/// What gives the cluster further images, for the steps.
const IMPORTER: &str = "TESSERA_TEST_CLUSTER_IMPORT";

/// Deaths of the server over it: one test of a suite whose others ran on Docker.
pub(super) fn deaths() -> Step {
    Step { name: "crash on the cluster".to_owned(), work: Box::new(kill_the_server) }
}

fn kill_the_server(variables: &Variables, log: &Path) -> Result<()> {
    let mut command =
        program(&["cargo", "test", "--workspace", "--test", "crash", "--", "kubernetes::", "--nocapture"]);
    logged(command.env("TESSERA_REQUIRE_CLUSTER", "1").envs(variables.iter().cloned()), log)
}

/// The chart, from `helm lint` to `helm uninstall`.
pub(super) fn chart() -> Step {
    Step { name: "chart".to_owned(), work: Box::new(install_chart) }
}

/// Each of the steps on one cluster, which is down afterwards.
pub(super) fn run(ledger: &mut Ledger, cluster: Installing, steps: Vec<Step>) {
    if ledger.step("build cluster", |_| cluster.join()).is_none() {
        return;
    }
    let started = ledger.step("start cluster", |log| {
        // The images are made in it.
        let docker = Engine::up("docker", "test")?;
        // With the server comes the runtime, which is one of them.
        cargo(&["build", "--workspace", "--bin", "tessera"], log)?;
        let cluster = Cluster::up("test")?;
        cluster.import(&[])?;
        Ok((cluster, docker))
    });
    let Some((cluster, docker)) = started else { return };
    let mut variables = [docker.variables.clone(), cluster.variables.clone()].concat();
    variables.push(("TESSERA_REQUIRE_CLUSTER".to_owned(), "1".to_owned()));
    // Tests wait for pods, not for processors; how many there are at once they bound themselves.
    variables.push(("RUST_TEST_THREADS".to_owned(), "12".to_owned()));
    variables.extend(cluster.importer().map(|importer| (IMPORTER.to_owned(), importer)));
    for step in steps {
        ledger.step(&step.name, |log| (step.work)(&variables, log));
    }
    ledger.step("stop cluster", |_| {
        drop((cluster, docker));
        Ok(())
    });
}

fn install_chart(variables: &Variables, log: &Path) -> Result<()> {
    let mut image = program(&["tests/images/server", "--quick", SERVER]);
    if let Some(runtime) = house::runtime() {
        image.env("TESSERA_RUNTIME_BIN", runtime);
    }
    logged(&mut image, log)?;
    let mut command = program(&["python3", "tests/chart/run", "--image", SERVER, "--gateway", &storage::gateway()?]);
    command.arg("--python").arg(python::ensure(CHART)?.join("bin/python"));
    if let Some((_, importer)) = variables.iter().find(|(name, _)| name == IMPORTER) {
        command.args(["--import", importer]);
    }
    logged(command.envs(variables.iter().cloned()), log)
}
