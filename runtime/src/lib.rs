//! The tool runtime: what works inside a job.
//!
//! The server and the job meet only in two documents: the [`plan`] goes in, the [`report`] comes out.
//!
//! Parts, in reading order:
//! - [`plan`], [`report`], [`doing`]: the conversation;
//! - [`version`]: how a document of another build is read;
//! - [`step`]: the directory where a container's wrapper and the node meet;
//! - [`layout`]: how the plan's paths get into containers, as a pure function;
//! - [`tree`]: the task's files, reached only beneath their root;
//! - [`remove`]: what a command left behind goes, however deep;
//! - `weigh`: how much disk they take;
//! - [`frames`]: what a command printed;
//! - [`exec`]: the wrapper of one executor, inside its container;
//! - [`storage`]: where inputs come from and outputs go to, beyond the disks of this host;
//! - [`stage`]: inputs in, outputs out;
//! - `course`: what is the same in every attempt;
//! - [`node`]: a whole attempt on one host;
//! - [`pod`]: a whole attempt in one pod.

mod copy;
mod course;
pub mod doing;
mod entry;
pub mod exec;
mod expand;
pub mod frames;
pub mod layout;
pub mod node;
mod notes;
mod part;
mod pattern;
mod places;
pub mod plan;
pub mod pod;
pub mod remove;
pub mod report;
pub mod stage;
pub mod step;
pub mod storage;
pub mod tree;
pub mod version;
mod weigh;
