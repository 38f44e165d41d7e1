//! The commands of the people who work here; `cargo xtask --help` lists them.
//!
//! - `demo`, `test`, `ci`, `bench`, `soak`, `cluster`, `postgres`, `openapi`, `contract`, `mutations`: one file or folder each, named like the command.
//! - `machine/`: what this machine needs for them; installed, started, and stopped again.
//! - `command.rs`: running programs. `house.rs`: where things lie. `server.rs`: a Tessera of our own.
//!   `http.rs`: a dozen lines of HTTP to talk to it.

mod bench;
mod cluster;
mod command;
mod contract;
mod demo;
mod house;
mod http;
mod machine;
mod mutations;
mod openapi;
mod postgres;
mod server;
mod soak;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The commands of the people who work here.")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing, build, and run a real task on local Docker, to look at.
    Demo(demo::Arguments),
    /// All the tests, engines included: installs and starts what they need, stops it afterwards.
    Test(test::Arguments),
    /// What to run before a commit: format, lints, documentation, dependencies, tests that need no service.
    Ci,
    /// The measurements, each as a ratio against a baseline of the same run; a table, and target/bench.json.
    Bench(bench::Arguments),
    /// A mixed load for some minutes: every task must end as it should, and nothing may grow.
    Soak(soak::Arguments),
    /// A real Kubernetes of one node to work with.
    Cluster(cluster::Arguments),
    /// A PostgreSQL to work with.
    Postgres(postgres::Arguments),
    /// Write the documents in openapi/ again, from the code.
    Openapi,
    /// Write docs/contract.md again: each rule of the TES contract and the tests that show it.
    Contract,
    /// Take the code of rules out, and see that their tests fail.
    Mutations(mutations::Arguments),
}

fn main() -> ExitCode {
    if let Some(cargo) = test::deny::real_cargo() {
        return test::deny::stand_in(&cargo);
    }
    let done = command::stop_on_signals().and_then(|()| match Arguments::parse().verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Test(arguments) => test::run(&arguments),
        Verb::Ci => test::ci(),
        Verb::Bench(arguments) => bench::run(&arguments),
        Verb::Soak(arguments) => soak::run(&arguments),
        Verb::Cluster(arguments) => cluster::run(&arguments),
        Verb::Postgres(arguments) => postgres::run(&arguments),
        Verb::Openapi => openapi::run(),
        Verb::Contract => contract::run(),
        Verb::Mutations(arguments) => mutations::run(&arguments),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
