//! `cargo xtask test` and `cargo xtask ci`.
//!
//! - `steps.rs`: what is done, in which order.
//! - `suites.rs`: the test programs of the workspace, found by asking cargo, so that a new one needs no entry here.
//! - `on_cluster.rs`: what runs on a real Kubernetes.
//! - `on_postgres.rs`: what runs on a real PostgreSQL.
//! - `deny.rs`: cargo-deny.
//! - `ledger.rs`: how each went, how long it took, and the logs of what failed.

pub(crate) mod deny;
mod ledger;
mod on_cluster;
mod on_postgres;
mod steps;
mod suites;

pub(crate) use steps::{Arguments, ci, run};
