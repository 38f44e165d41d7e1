//! The end of tasks: those that ended long ago, or are more than are kept, go with all that is theirs.
//!
//! ```text
//!   rules ──► walk: owner by owner, oldest first ──► store: the rows, a step at a time
//!                                               └──► logs: the files that this server keeps
//! ```
//!
//! Invariants:
//! - only what has ended and has left nothing behind goes; counted from its end;
//! - rows go before files: a file without a task is found by the logs themselves, on whichever server it lies;
//! - a step is short, and the pause after it longer: who creates tasks meanwhile does not feel it;
//! - of several servers one walks; two at once would do no harm.
//!
//! Parts, in reading order:
//! - [`rules`]: who keeps what, pure;
//! - [`walk`]: through all owners.

pub mod rules;
pub mod walk;

pub use rules::{Rule, Rules};
pub use walk::Walk;
