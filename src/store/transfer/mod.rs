//! From one store to another, whatever they are made of: every row through one snapshot, and looked at again on the other
//! side.
//!
//! ```text
//!   source, one snapshot ──► rows, a batch at a time ──► names ──► target, one transaction
//!                                                          └► sums ── compared with ◄── sums
//! ```
//!
//! Invariants:
//! - all or nothing: the target is written in one transaction, and committed after its sums were those of what was sent;
//! - a source that a server works on, and a target that is not empty, are refused;
//! - a batch is bounded, so the memory is, however large the store.
//!
//! Parts, in reading order:
//! - [`row`]: what a row is, between stores;
//! - [`tables`]: which rows there are;
//! - [`names`]: what is called otherwise in a store that several servers share;
//! - [`copy()`]: the way from one to the other.
//!
//! The sides stand with their stores: `sqlite::transfer`, `postgres::transfer`.

pub mod copy;
pub mod names;
pub mod row;
#[cfg(test)]
pub(crate) mod sample;
pub mod tables;

pub use copy::{Moved, Source, Target, copy};
pub use names::Names;
pub use row::{Row, Sum, Value};
pub use tables::{Kind, TABLES, Table};

/// Bytes of a batch, more or less: a single row may be longer.
pub const BATCH_BYTES: usize = 1 << 20;
/// Rows of a batch at most.
pub const BATCH_ROWS: usize = 2_000;
