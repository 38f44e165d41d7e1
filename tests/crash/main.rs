//! Death and repetition: the server, a process of its own, is killed at random moments under a mixed load.
//!
//! Each executor leaves one line in a file outside, which is counted. Afterwards every acknowledged task exists
//! and has ended in the right state, no executor ran twice in an attempt, and nothing is left behind.
//!
//! What needs no container runs on PostgreSQL too, where `TESSERA_TEST_POSTGRES` names one whose user may create
//! databases.
//!
//! `TESSERA_CRASH_KILLS` sets the number of kills, `TESSERA_CRASH_SEED` the random choices (printed at the start).

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod docker;
mod kubernetes;
mod load;
mod logs;
mod script;
mod scripted;
mod server;
mod upgrade;

// The suite of several servers uses more of them.
#[allow(dead_code)]
mod database;
#[allow(dead_code)]
mod ledger;
#[allow(dead_code)]
mod random;

/// How often the server is killed: `TESSERA_CRASH_KILLS`, or the whole number where engines are required, as in CI.
fn kills(short: usize, whole: usize) -> usize {
    let usual = if std::env::var_os("TESSERA_REQUIRE_ENGINES").is_some() { whole } else { short };
    std::env::var("TESSERA_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}
