//! A real PostgreSQL that fails: the server, a process of its own, works under load on a database that is restarted,
//! killed, full, slow, read-only, out of connections, out of reach, or replaced by its standby.
//!
//! Each time the server goes on without a restart, `/readyz` tells the truth both ways, what cannot be done is a 503 with
//! a sentence, and afterwards every acknowledged task is there, has ended well, and ran once.
//!
//! Each test has a database cluster of its own, for it is the cluster that fails. They run where `TESSERA_TEST_POSTGRES`
//! says that PostgreSQL is tested; otherwise they say one line and end, unless `TESSERA_REQUIRE_ENGINES` is set.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod cluster;
mod failover;
mod faults;
mod load;
mod proxy;
mod server;
mod starting;

/// Whether there is anything to test on; says so when there is not.
fn is_there() -> bool {
    if std::env::var_os("TESSERA_TEST_POSTGRES").is_some_and(|url| !url.is_empty()) {
        return true;
    }
    assert!(
        std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none(),
        "TESSERA_TEST_POSTGRES is not set: run `cargo xtask test PostgreSQL`"
    );
    println!("skipped: TESSERA_TEST_POSTGRES is not set; `cargo xtask test PostgreSQL` sets it");
    false
}
