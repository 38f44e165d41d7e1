//! What this machine needs: found, else installed and started, and stopped again by whoever started it.
//!
//! - `packages.rs`: programs, and the Debian packages that bring them.
//! - `rust.rs`: the static target.
//! - `engine.rs`: Docker, Podman, a registry, the storages, through the scripts of `tests/engines`; the test images.
//! - `storage.rs`: the programs behind the storages; some are compiled for minutes.
//! - `postgres.rs`: a PostgreSQL, or the user's.
//! - `cluster.rs`: a real Kubernetes of one node, or the user's.
//! - `others.rs`: clients that are compiled for minutes.
//! - `python.rs`: virtual environments below the target folder.
//!
//! Nothing is installed that is there already. What cannot be installed here is one sentence that says what to do.

pub(crate) mod cluster;
pub(crate) mod engine;
pub(crate) mod others;
pub(crate) mod packages;
pub(crate) mod postgres;
pub(crate) mod python;
pub(crate) mod rust;
pub(crate) mod storage;
