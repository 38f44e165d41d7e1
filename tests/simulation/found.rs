//! Seeds that have once found something, each named after what it was. A seed is another world when the simulation itself
//! is changed: what it found stands in a test of the engine as well, where that can be told in a few lines.

use crate::seeds::{ALONE, SHARED, story};
use crate::world::Kind;

#[track_caller]
fn ends_well(kind: Kind, seed: u64) {
    if let Some(story) = story(kind, seed) {
        panic!("{story}");
    }
}

/// A server was stopped after its last look at where a task stood, and submitted the job when it went on: by then another
/// had run and removed it.
#[test]
fn a_stopped_server_submitted_a_job_that_was_removed() {
    ends_well(SHARED, 57);
}

/// A job was handed over, and its server died. The next one claimed the task again, was slow, and gave it back as if
/// nothing were outside: so it was started on another backend.
#[test]
fn a_task_that_had_a_job_was_given_back() {
    ends_well(ALONE, 121);
}
