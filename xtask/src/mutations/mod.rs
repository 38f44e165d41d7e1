//! `cargo xtask mutations`: takes the code of a rule out, and sees that the rule's test fails.
//!
//! What is taken out stands in `tests/contract/mutations.toml`. A file that has been changed since the last commit is
//! left alone, and whatever happens to us, short of a SIGKILL, every file is put back.
//!
//! - `run.rs`: one after another, and the table.
//! - `trial.rs`: one of them: change, build, test, put back.
//! - `changed.rs`: a file that is changed as long as somebody looks at it.
//! - `tests/contract/mutation.rs`: one entry; the test that checks them all reads the same file.

mod changed;
#[path = "../../../tests/contract/mutation.rs"]
mod mutation;
mod run;
mod trial;

pub(crate) use run::{Arguments, run};
