//! Where things lie in a pod.
//!
//! ```text
//! volume `work`     bin/runtime   the static runtime                    each executor: /.tessera/runtime, read-only
//!                   tree/         the task's files                      each executor: /.tessera/tree, and the mounts
//!                   steps/<n>/    where wrapper and stage-out meet      executor n alone: /.tessera/step
//! volume `private`                the attempt's directory: journal, staged inputs, a plan that was fetched
//! volume `plan`                   the Secret: plan.json, or where it is fetched from
//! ```
//! Only our own containers mount `private` and `plan`, and `work` as a whole; so a link that a command makes in the
//! tree leads to nothing but the task's own files.

use std::path::PathBuf;

/// The attempt's directory in our containers: the volume `private`, and in it, from the volume `work`,
/// [`attempt::TREE`](crate::node::attempt::TREE) and [`attempt::STEPS`](crate::node::attempt::STEPS).
pub const ATTEMPT: &str = "/.tessera/attempt";
/// Where stage-in lays the runtime out, from the volume `work`.
pub const BIN: &str = "/.tessera/bin";
/// The folder of the Secret in our containers.
pub const PLAN: &str = "/.tessera/plan";
/// Credentials that the operator mounts into our containers, by what they are configured to be called.
pub const IDENTITY: &str = "/.tessera/identity";

/// In the volume `work`: the folder of the runtime, its name there, the tree, the step directories.
pub const WORK_BIN: &str = "bin";
/// See [`WORK_BIN`].
pub const RUNTIME_NAME: &str = "runtime";
/// See [`WORK_BIN`].
pub const WORK_TREE: &str = "tree";
/// See [`WORK_BIN`].
pub const WORK_STEPS: &str = "steps";

/// Key of the Secret that holds the plan as JSON.
pub const PLAN_KEY: &str = "plan.json";
/// Key of the Secret that holds a [`Fetch`](super::words::Fetch) as JSON where the plan is too large for it.
pub const FETCH_KEY: &str = "fetch.json";

/// Variable of the environment of our containers: the job's id, for a report that is made before the plan is read.
pub const JOB_VARIABLE: &str = "TESSERA_JOB";

/// Name of the container that brings the inputs in.
pub const STAGE_IN: &str = "stage-in";
/// Name of the container that gives turns, delivers and reports.
pub const STAGE_OUT: &str = "stage-out";
/// How the name of an executor's container begins; its index follows.
pub const EXECUTOR: &str = "executor-";

/// Where the last words of a container go; what the kubelet takes by default.
pub const LAST_WORDS: &str = "/dev/termination-log";
/// Bytes of last words that the kubelet keeps of all containers of a pod together, shared out evenly.
pub const LAST_WORDS_OF_ALL: usize = 12 * 1024;
/// Bytes of last words that it keeps of one container at most.
pub const LAST_WORDS_OF_ONE: usize = 4 * 1024;

/// The places of one pod. Anything but the default is for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// See [`ATTEMPT`].
    pub attempt: PathBuf,
    /// See [`BIN`].
    pub bin: PathBuf,
    /// See [`PLAN`].
    pub plan: PathBuf,
    /// See [`LAST_WORDS`].
    pub last_words: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Places {
    /// `[ATTEMPT [BIN [PLAN [LAST_WORDS]]]]`.
    pub fn of(arguments: &[String]) -> Self {
        let place = |at: usize, default: &str| PathBuf::from(arguments.get(at).map_or(default, String::as_str));
        Self { attempt: place(0, ATTEMPT), bin: place(1, BIN), plan: place(2, PLAN), last_words: place(3, LAST_WORDS) }
    }
}

/// How long the last words of one of our containers may be in a pod with so many executors.
pub fn longest_last_words(executors: usize) -> usize {
    // Beside the executors there are stage-in and stage-out.
    (LAST_WORDS_OF_ALL / executors.saturating_add(2)).min(LAST_WORDS_OF_ONE)
}
