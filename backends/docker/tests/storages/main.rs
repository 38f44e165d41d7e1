//! Tasks on a real engine that fetch from and deliver to a real S3 server.
//!
//! `cargo xtask test storages` starts both; without either these tests say in one line that they cannot run.
//!
//! Parts: [`scene`], a job with files in a bucket; [`sharing`], what containers are given of the cache and of folders
//! that are open for writing; [`killed`], nodes that die in each phase of an attempt.

#![allow(clippy::unwrap_used, missing_docs)]

// What others stand on, too; not all of it is of use here.
#[allow(dead_code, unused_macros, unused_imports)]
#[path = "../engines/ground.rs"]
mod ground;
#[path = "../../../../runtime/tests/storage/proxy/mod.rs"]
mod proxy;
#[path = "../../../../runtime/tests/storage/rig.rs"]
mod rig;

mod killed;
mod scene;
mod sharing;
