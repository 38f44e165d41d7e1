//! `cargo xtask postgres`: a PostgreSQL to work with, which stays until it is taken down.

use anyhow::Result;

use crate::machine::packages;
use crate::machine::postgres::Postgres;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Start an empty one.
    Up,
    /// End it, and forget what was in it.
    Down,
    /// The variables to use it with: `export $(cargo xtask postgres env)`.
    Env,
}

/// Whose it is: not the tests'.
const OURS: &str = "work";

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    match arguments.verb {
        Verb::Up => {
            packages::ensure(&[packages::POSTGRES])?;
            let mut postgres = Postgres::up(OURS)?;
            postgres.keep();
            show(&postgres);
            Ok(())
        }
        Verb::Down => Postgres::down(OURS),
        Verb::Env => {
            show(&Postgres::running(OURS)?);
            Ok(())
        }
    }
}

fn show(postgres: &Postgres) {
    for (name, value) in &postgres.variables {
        println!("{name}={value}");
    }
}
