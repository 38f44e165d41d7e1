//! The tool runtime: what works inside a job.
//!
//! The server and the job meet only in two documents: the [`plan`] goes in, the [`report`] comes out.
//!
//! Parts, in reading order:
//! - [`plan`], [`report`]: the conversation;
//! - [`step`]: the directory where a container's wrapper and the node meet.

pub mod plan;
pub mod report;
pub mod step;
