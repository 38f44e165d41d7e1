//! The embedded default: one SQLite file, one server.
//!
//! ```text
//!   verbs ──► writer   one thread, one connection; what arrives together is committed together
//!         ──► readers  a few threads, a connection each; they never wait for the writer
//! ```
//!
//! Invariants:
//! - a verb answers after its commit is on the disk (WAL, synchronous FULL);
//! - a failing write is undone alone, and the writer goes on: locked, full and read-only pass without a restart;
//! - one server a file: a lock beside it is held while the store is open, and the system lets go of it when the
//!   server dies, however it dies;
//! - no query of the engine or of a listing reads tasks it does not answer by scanning or sorting.
//!
//! Parts, in reading order:
//! - `verbs`: the store's verbs, each sent to the writer or the readers;
//! - `open`, `migrations`: from a path to a store;
//! - `writer`, `readers`: the threads;
//! - `create`, `claim`, `record`: what is written;
//! - `replicas`: who is here, who does what;
//! - `changes`: what is told as it happens;
//! - `retention`: the end of tasks that are kept no longer;
//! - `tasks`, `queue`, `listing` of `lists` and `names`: what is read;
//! - [`transfer`], [`backup`]: a file that is moved or copied;
//! - `columns`, `fault`: values and errors, between SQL and us.

pub mod backup;
mod changes;
mod claim;
mod columns;
mod create;
mod fault;
mod listing;
mod lists;
mod migrations;
mod names;
mod open;
mod queue;
mod readers;
mod record;
mod replicas;
mod retention;
mod tasks;
#[cfg(test)]
mod tests;
pub mod transfer;
mod verbs;
mod writer;

use std::fs::File;

use tessera_contract::InstallationId;

use readers::Readers;
use writer::Writer;

/// A store in one SQLite file.
// The fields are dropped in this order: the lock goes last, when no thread of ours is left on the file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    installation: InstallationId,
    _lock: File,
}
