//! What runs on a real PostgreSQL: the store's suite, and those of the server whose store it is.

use super::ledger::Ledger;
use super::steps::{Step, Variables, suite};
use super::suites::Suite;
use crate::command::{logged, program};
use crate::machine::postgres::Postgres;

/// The suites that need it.
pub(super) const SUITES: &[&str] = &["postgres", "replicas"];

/// The store's own tests, in the library.
pub(super) fn store() -> Step {
    let work = |variables: &Variables, log: &std::path::Path| {
        let mut command = program(&["cargo", "test", "--workspace", "--lib", "store::postgres", "--"]);
        logged(command.arg("--include-ignored").envs(variables.iter().cloned()), log)
    };
    Step { name: "PostgreSQL store".to_owned(), work: Box::new(work) }
}

/// A suite, named so that `cargo xtask test PostgreSQL` finds it.
pub(super) fn on_postgres(one: Suite) -> Step {
    let name = format!("PostgreSQL {}", one.name);
    Step { name, ..suite(one) }
}

/// Each of the steps on one server, which is down afterwards.
pub(super) fn run(ledger: &mut Ledger, steps: Vec<Step>) {
    let Some(postgres) = ledger.step("start PostgreSQL", |_| Postgres::up("test")) else { return };
    let variables = postgres.variables.clone();
    for step in steps {
        ledger.step(&step.name, |log| (step.work)(&variables, log));
    }
    ledger.step("stop PostgreSQL", |_| {
        drop(postgres);
        Ok(())
    });
}
