//! Storages, spoken to for real: each suite here runs against the servers that `tests/engines/storage` starts.
//!
//! `TESSERA_STORAGE_RIG` names the file that says where they are; `cargo xtask test storage` starts them and sets it.
//! Without it these tests say in one line that they skip; with `TESSERA_REQUIRE_STORAGES=1` they fail instead.
//!
//! - [`rig`]: where the servers are, and what opens them.
//! - [`proxy`]: stands in front of any of those that speak HTTP; counts requests and breaks them on demand. [`proxy_tests`]: that it does.
//! - [`services`]: that every server is what the others take it for.
//! - [`faults`]: the table of storage faults, brought about one by one on [`scene`]s; [`passing`]: what is no fault.
//! - [`conformance`]: what every storage promises; the storages, one by one, after it.

#![allow(clippy::unwrap_used)]

mod azblob;
mod conformance;
mod drs;
mod faults;
mod ftp;
mod gcs;
mod passing;
mod proxy;
mod proxy_tests;
mod rig;
mod s3;
mod scene;
mod services;
mod sftp;
mod webdav;
