//! Keeps what tasks print: whole logs, for a size and an age, also of tasks that still run.
//!
//! A *kept log* is one file for each stream of an executor of an attempt. It is always a prefix of what is kept of the
//! stream, and the offsets that callers speak of are offsets in it. Where a backend has not kept all (a bound on the
//! node), a line stands in its place.
//!
//! ```text
//!                 Backend::logs                 16 KiB at a time
//!   a job's step ──────────────► one collector ─► file ─► each follower, as fast as it reads
//!                                 of the task     └─ a watch that wakes them
//! ```
//!
//! Invariants:
//! - one collector of a task appends to its files, and only while somebody follows it or its job is to be removed;
//! - where a file ends says where its stream goes on: a server that dies and comes again loses no byte and has none
//!   twice;
//! - a stream whose whole text the task's history holds is served from there and kept nowhere else;
//! - a job is removed after what it printed is on the disk, or could not be brought there for long, or has no room there;
//!   no state of a task waits for that;
//! - a job that is not there any more is no end of a stream: only its task's history says that it is over, and a file is
//!   marked as whole only when the backend has said so;
//! - without following, one is given all that was there when he asked, or told that it cannot be had now;
//! - a follower holds one piece, and holds up nobody.
//!
//! Parts, in reading order:
//! - [`settings`]: how much, how long;
//! - [`shelf`], [`tape`]: the files; [`space`]: whether there is room;
//! - [`picture`]: what followers see of a task's logs;
//! - [`plan`]: what of a task is still to be collected, pure;
//! - [`collect`]: the one that copies; [`assembly`]: all of them, and the engine's question whether a job may go;
//! - [`follow`], [`pieces`]: readers;
//! - [`bring`]: logs that another server kept;
//! - [`prune`]: the end of what is old; [`goal`]: how much of it; [`strays`]: of tasks that are gone.

pub mod assembly;
pub mod bring;
pub mod collect;
pub mod follow;
pub mod goal;
pub mod picture;
pub mod pieces;
pub mod plan;
pub mod prune;
pub mod settings;
pub mod shelf;
pub mod space;
pub mod strays;
pub mod tape;

pub use assembly::Logs;
pub use follow::{Follower, Next};
pub use picture::Picture;
pub use pieces::{Cursor, Piece, Selection};
pub use settings::Settings;

#[cfg(test)]
mod tests;
