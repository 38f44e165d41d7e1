//! Rules of the TES contract that only an engine shows, as a suite of functions that every engine must pass.
//!
//! A test implements [`Ground`] for its engine, and either makes a test of each rule with
//! [`rules!`](crate::rules!)`(tests, …)` or runs them side by side with [`suite::all`], where a job takes its time.
//! What a rule sees is what a caller of the server would see: the job's report, and the files that it has delivered.
//!
//! Parts, in reading order:
//! - [`ground`]: what a test provides;
//! - [`jobs`], [`told`]: the jobs of the suite, and what their reports tell;
//! - [`files`], [`executors`], [`limits`]: the rules;
//! - [`suite`]: all of them.

#![allow(clippy::unwrap_used)]

pub mod executors;
pub mod files;
pub mod ground;
pub mod jobs;
pub mod limits;
pub mod suite;
pub mod told;

pub use ground::{Can, Ground};
pub use suite::{Rule, all};
