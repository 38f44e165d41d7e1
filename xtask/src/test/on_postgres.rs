//! What runs on a real PostgreSQL: the store's suite, and those of the server whose store it is.

use super::ledger::Ledger;
use super::steps::{Step, Variables, ask_whatever_is_allowed, suite};
use super::suites::Suite;
use crate::command::{logged, program};
use crate::machine::postgres::{Database, Postgres};

/// The suites that need it.
pub(super) const SUITES: &[&str] = &["postgres", "replicas", "store"];

/// Examples an operation: what the doors do with them is tried on the other store.
const FEWER: u32 = 50;

/// The store's own tests, in the library.
pub(super) fn store() -> Step {
    let work = |variables: &Variables, log: &std::path::Path| {
        let mut command = program(&["cargo", "test", "--workspace", "--lib", "store::postgres", "--"]);
        logged(command.arg("--include-ignored").envs(variables.iter().cloned()), log)
    };
    Step { name: "PostgreSQL conformance".to_owned(), work: Box::new(work) }
}

/// A suite, named so that `cargo xtask test PostgreSQL` finds it.
pub(super) fn on_postgres(one: Suite) -> Step {
    let name = format!("PostgreSQL {}", one.name);
    Step { name, ..suite(one) }
}

/// Deaths of a server over it: one test of a suite whose others run elsewhere.
pub(super) fn deaths() -> Step {
    let work = |variables: &Variables, log: &std::path::Path| {
        let mut command =
            program(&["cargo", "test", "--workspace", "--test", "crash", "--", "postgresql", "--nocapture"]);
        logged(command.env("TESSERA_REQUIRE_ENGINES", "1").envs(variables.iter().cloned()), log)
    };
    Step { name: "PostgreSQL crash".to_owned(), work: Box::new(work) }
}

/// Whatever the documents allow, and much that they do not.
pub(super) fn schemathesis() -> Step {
    let work = |variables: &Variables, log: &std::path::Path| {
        let database = Database::create(variables, "schemathesis")?;
        ask_whatever_is_allowed(&format!("[store]\nurl = {:?}\n", database.url), Some(FEWER), log)
    };
    Step { name: "PostgreSQL schemathesis".to_owned(), work: Box::new(work) }
}

/// Each of the steps on one server, which is down afterwards.
pub(super) fn run(ledger: &mut Ledger, steps: Vec<Step>) {
    let Some(postgres) = ledger.step("start PostgreSQL", |_| Postgres::up("test")) else { return };
    let mut variables = postgres.variables.clone();
    variables.push(("TESSERA_REQUIRE_POSTGRES".to_owned(), "1".to_owned()));
    for step in steps {
        ledger.step(&step.name, |log| (step.work)(&variables, log));
    }
    ledger.step("stop PostgreSQL", |_| {
        drop(postgres);
        Ok(())
    });
}
