//! Three servers on one PostgreSQL, each behind a proxy of its own, under a mixed load.
//!
//! In each round one of them is killed, one stopped for longer than its lease and continued, one cut off from the
//! database and healed. The jobs are those of a scripted backend in a folder that all three share, and each executor
//! leaves a line outside, which is counted.
//!
//! `TESSERA_TEST_POSTGRES` is the address of a server whose user may create databases; without it nothing is run.
//! `TESSERA_CRASH_ROUNDS` sets the number of rounds, `TESSERA_CRASH_SEED` the random choices (printed at the start).

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod clients;
mod follower;
mod forwarding;
mod lister;
mod proxy;
mod site;
mod storm;

// What the crash suite has too.
#[path = "../crash/database.rs"]
mod database;
#[allow(dead_code)]
#[path = "../crash/ledger.rs"]
mod ledger;
#[allow(dead_code)]
#[path = "../crash/load.rs"]
mod load;
#[allow(dead_code)]
#[path = "../crash/random.rs"]
mod random;
#[path = "../crash/script.rs"]
mod script;
#[allow(dead_code)]
#[path = "../crash/server.rs"]
mod server;
