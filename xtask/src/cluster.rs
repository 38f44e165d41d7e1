//! `cargo xtask cluster`: a real Kubernetes to work with, which stays until it is taken down.

use anyhow::Result;

use crate::command::{loud, program};
use crate::house;
use crate::machine::cluster::{self, Cluster};
use crate::machine::engine::Engine;
use crate::machine::{packages, rust};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Start it, or what of it has died, with the images of the suites; the first time ever takes minutes.
    Up,
    /// End it, and forget what was in it.
    Down,
    /// The variables to use it with: `export $(cargo xtask cluster env)`.
    Env,
}

/// Whose it is: not the tests' and not the measurements'.
const OURS: &str = "work";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.verb {
        Verb::Up => up(),
        Verb::Down => Cluster::down(OURS),
        Verb::Env => {
            show(&Cluster::running(OURS)?);
            Ok(())
        }
    }
}

fn up() -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::DOCKER, packages::SUITES, packages::CLUSTER])?;
    cluster::install().join()?;
    if house::runtime().is_none() {
        rust::ensure_musl()?;
        loud(&mut program(&["cargo", "build", "--workspace", "--bin", "tessera"]))?;
    }
    let mut cluster = Cluster::mended(OURS)?;
    let _docker = Engine::up("docker", "cluster")?;
    cluster.import(&[])?;
    cluster.keep();
    show(&cluster);
    Ok(())
}

fn show(cluster: &Cluster) {
    for (name, value) in &cluster.variables {
        println!("{name}={value}");
    }
}
