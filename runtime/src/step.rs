//! The step directory: where the wrapper and the one who started its container meet.
//!
//! One directory a step, mounted at [`STEP_PATH`] in that step's container and nowhere else. It holds
//! - [`STEP_FILE`]: what to do; command and environment travel here and never in an argv of the engine;
//! - [`MARK`]: made with `O_EXCL` before the command is started. Whoever finds it does not start the step. The
//!   wrapper makes it to run; the node makes it to make sure that the step never will;
//! - [`FRAMES`]: what the command printed, stream by stream, in frames;
//! - [`RECORD`]: how it ended, written to a temporary name and renamed;
//! - [`BELL`]: a FIFO; the wrapper writes a byte when something has changed. It only wakes.
//!
//! In a pod, where nobody else tells who lives and whose turn it is, it also holds
//! - [`ALIVE`]: locked by the wrapper while it lives;
//! - [`HERE`]: made by the wrapper once it holds that lock;
//! - [`TURN`]: a FIFO that the one who gives turns holds open while it lives, for [`GO`] and [`STOP`];
//! - [`THERE`]: made by the one who gives turns once it holds that FIFO open.
//!
//! A container's user can write here, so the reader trusts nothing: no links followed, sizes bounded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::version::{self, Unreadable};

/// Where the runtime binary is mounted, read-only, in every container.
pub const RUNTIME_PATH: &str = "/.tessera/runtime";
/// Where the task's whole tree is mounted in every container.
pub const TREE_PATH: &str = "/.tessera/tree";
/// Where a step's own directory is mounted in its container.
pub const STEP_PATH: &str = "/.tessera/step";

/// Name of the step file.
pub const STEP_FILE: &str = "step.json";
/// Name of the mark.
pub const MARK: &str = "mark";
/// Name of the framed output.
pub const FRAMES: &str = "frames";
/// Name of the record.
pub const RECORD: &str = "record.json";
/// Name of the FIFO.
pub const BELL: &str = "bell";
/// In a pod: locked by the wrapper while it lives.
pub const ALIVE: &str = "alive";
/// In a pod: made by the wrapper once it holds that lock, or when it gives up; then it holds its words.
pub const HERE: &str = "here";
/// In a pod: the FIFO that the one who gives turns holds open while it lives.
pub const TURN: &str = "turn";
/// In a pod: made by the one who gives turns once it holds [`TURN`] open. With it there and nobody holding that FIFO
/// open, no turn will ever come.
pub const THERE: &str = "there";
/// What is written into [`TURN`]: the step's turn has come.
pub const GO: u8 = b'g';
/// What is written into it: the step is to stop, or never to start.
pub const STOP: u8 = b's';

/// In a pod: what the wrapper's own words begin with on the bell when it ends without a record; a newline ends them.
pub const GIVING_UP: char = 'x';
/// How long they are at most: a FIFO takes them whole.
pub const GIVING_UP_BYTES: usize = 1_000;

/// The version this build writes, and the highest one it reads.
pub const STEP_VERSION: u32 = 1;

/// Exit codes of the wrapper itself. Without a record they say why there is none.
pub mod exit {
    /// The mark was there already: the step is not started a second time.
    pub const MARKED: i32 = 93;
    /// The wrapper could not do its own work; standard error says why.
    pub const WRAPPER: i32 = 94;
    /// In a pod: its turn never came.
    pub const NO_TURN: i32 = 95;
}

/// What one step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFile {
    /// See [`STEP_VERSION`].
    pub version: u32,
    /// Index of the executor in the plan.
    pub step: u32,
    /// The argument vector.
    pub command: Vec<String>,
    /// Environment, added to the container's.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Working directory; the container's own when absent. Created when it does not exist.
    #[serde(default)]
    pub workdir: Option<String>,
    /// Container path of standard input; never created, never truncated.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Container path that receives standard output; truncated at the start.
    #[serde(default)]
    pub stdout: Option<String>,
    /// Container path that receives standard error; the same path as `stdout` shares one descriptor.
    #[serde(default)]
    pub stderr: Option<String>,
    /// Container paths that are mounted from the tree; everything else of the tree is not seen by the command.
    #[serde(default)]
    pub mounted: Vec<String>,
    /// Container paths to copy from the tree into the image's own directories before the command, if they exist;
    /// the directories around them are made in any case.
    #[serde(default)]
    pub lay_in: Vec<String>,
    /// The same for what the command may do without: where the container's user may not write, a note is enough.
    #[serde(default)]
    pub offer: Vec<String>,
    /// What to copy from the image's own directories into the tree after the command.
    #[serde(default)]
    pub harvest: Vec<Harvest>,
    /// Bytes of each stream kept in the frames.
    pub log_cap_bytes: u64,
    /// Milliseconds between SIGTERM and SIGKILL, when the wrapper is asked to stop.
    pub stop_grace_ms: u64,
    /// In a pod: the wrapper waits for its turn, and prints the frames on its own standard output as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_turn: bool,
}

impl StepFile {
    /// Reads a step file; one of a version above [`STEP_VERSION`] is refused.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        version::read("step file", STEP_VERSION, bytes)
    }
}

/// What to copy from the image's own directories into the tree after the command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harvest {
    /// A file, or a directory with everything in it.
    Whole(String),
    /// What the command changed below a directory; the image's own content stays where it is.
    Changes(String),
    /// What matches a pattern (TES contract 10.8).
    Matches(String),
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// See [`STEP_VERSION`].
    pub version: u32,
    /// Index of the executor in the plan.
    pub step: u32,
    /// How it ended.
    pub end: StepEnd,
    /// When the command was started.
    pub started: Timestamp,
    /// When it had ended and nothing of it was left.
    pub ended: Timestamp,
    /// The wrapper itself was told to stop (SIGTERM from outside) before the command had ended.
    #[serde(default)]
    pub stopped: bool,
    /// What the command used.
    #[serde(default)]
    pub usage: Usage,
    /// The kernel killed a process of the step for want of memory. False also where that cannot be known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub out_of_memory: bool,
    /// What is worth telling the user.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl StepRecord {
    /// Reads a record; one of a version above [`STEP_VERSION`] is refused.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        version::read("step record", STEP_VERSION, bytes)
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// The command ran, or could not be started (127, 126), or its stdin was missing (1).
    Exited {
        /// Its exit code; 128 + n for signal n.
        code: i32,
        /// The signal that ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// The wrapper could not do its part: a path that the container's user may not write, a full disk.
    Fault {
        /// One sentence that names the path.
        message: String,
        /// Whether the command had been started.
        command_started: bool,
    },
}

/// What a command used, children included.
///
/// Memory is what the container's control group was charged with, pages of files included, where that can be read;
/// otherwise the resident set of the largest process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// The most memory at any time.
    pub peak_memory_bytes: u64,
    /// Memory on the average of the step's time; absent where only single processes are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avg_memory_bytes: Option<u64>,
    /// Processor time in user code.
    pub user_cpu_ms: u64,
    /// Processor time in the kernel.
    pub system_cpu_ms: u64,
}
