//! What is the same in every attempt, wherever its containers come from: a host's engine or a pod.
//!
//! Parts, in reading order:
//! - [`trouble`]: a fault on its way to the report;
//! - [`ended`]: how a command ended; [`after`]: what comes next;
//! - [`patience`]: work that is shown while it is done; [`disk`]: how much a task's tree takes;
//! - [`ending`]: outputs delivered, an outcome said.

pub(crate) mod after;
pub(crate) mod disk;
pub(crate) mod ended;
pub(crate) mod ending;
pub(crate) mod patience;
pub(crate) mod trouble;
