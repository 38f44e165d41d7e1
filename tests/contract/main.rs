//! The rules of the TES contract and the tests that show them: `docs/contract.md` is what this finds.
//!
//! - `rules.toml`: every rule, with one sentence, and a reason where no test shows it.
//! - `mutations.toml`: for a rule, what to take out of the code so that its test must fail; `cargo xtask mutations`
//!   does it.
//! - [`rules`]: reads the list.
//! - [`scan`]: finds the tests that are named after rules.
//! - [`mutation`]: one entry of `mutations.toml`; the same file serves xtask.
//! - [`page`]: writes the page.
//! - [`current`]: the tests.

#![allow(clippy::unwrap_used)]

mod current;
mod mutation;
mod page;
mod rules;
mod scan;
