//! For several servers on one store: a PostgreSQL database, 13 or newer.
//!
//! ```text
//!   verbs ──► writer    one task, one connection; what arrives together is committed together
//!         ──► pool      a bounded number of connections that read, or write what needs no company
//!   NOTIFY ◄─ listener  one connection: other servers' commits ring the bell
//! ```
//!
//! Invariants:
//! - a verb answers after its commit is on the database's disk;
//! - a failing write is undone alone, and the writer goes on: a cut connection, a restart and a new primary pass without
//!   a restart of ours; what was under way is done again, and doing it twice is doing it once;
//! - nobody thinks while a transaction that writes is open: it is sent whole, so a server that was stopped holds no lock;
//! - every transaction that writes changes takes the store's lock first, so their numbers rise in the order of commits;
//! - no query of the engine or of a listing reads tasks it does not answer by scanning or sorting.
//!
//! Parts, in reading order:
//! - `verbs`: the store's verbs, each sent to the writer or the pool;
//! - `address`, `tls`: whom to talk to, and how it is known;
//! - `open`, `migrations`: from an address to a store;
//! - `writer`, `batch`, `session`: what is written, together;
//! - `create`, `record`, `claim`: the three things that are;
//! - `listener`: what other servers wrote;
//! - `pool`, `read`: connections for those who read, and how they are asked;
//! - `replicas`, `trail`: what is written alone;
//! - `states`: single tasks' states, read together;
//! - `queue`, `tasks`, `listing`, `feed`, `health`: what is read;
//! - `retention`: the end of tasks that are kept no longer;
//! - [`transfer`]: a database that is moved;
//! - `columns`, `fault`: values and errors, between SQL and us.

mod address;
mod batch;
mod claim;
mod columns;
mod create;
mod fault;
mod feed;
mod health;
mod listener;
mod listing;
mod migrations;
mod open;
mod pool;
mod queue;
mod read;
mod record;
mod replicas;
mod retention;
mod session;
mod states;
mod tasks;
#[cfg(test)]
mod tests;
mod tls;
mod trail;
pub mod transfer;
mod verbs;
mod writer;

use tessera_contract::InstallationId;
use tokio::sync::watch;

pub use address::Settings;
use fault::Fault;
use pool::Pool;
use states::States;
use writer::Writer;

use crate::store::{Calls, StoreError};

/// Takes the store's lock until the transaction ends: whoever writes changes, or tasks in numbers, has it.
const LOCK: &str = "SELECT pg_advisory_xact_lock($1::integer, $2::integer)";

/// A store in a PostgreSQL database.
#[derive(Debug)]
pub struct Postgres {
    writer: Writer,
    pool: Pool,
    states: States,
    installation: InstallationId,
    lock: i32,
    bell: watch::Receiver<()>,
    calls: watch::Receiver<Calls>,
}

impl Postgres {
    /// A verb's answer, as its caller gets it.
    fn told<T>(&self, answer: Result<T, Fault>) -> Result<T, StoreError> {
        answer.map_err(|fault| fault.told(self.pool.place()))
    }
}
