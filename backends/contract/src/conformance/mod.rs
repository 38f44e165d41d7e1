//! The promises of a [`Backend`](crate::Backend), as a suite that every backend must pass.
//!
//! A test implements [`Subject`] for its backend and calls [`all`], or single cases. The suite never sleeps by
//! itself: between two looks it asks the subject to let time pass, so that the scripted fake passes it in an
//! instant and a real engine in real time.
//!
//! Parts, in reading order:
//! - [`subject`]: what a test provides, and the neutral words for what a job shall do;
//! - [`watch`]: looking until something is so, with a bound;
//! - [`submitting`], [`observing`], [`cancelling`], [`logging`], [`releasing`], [`inventory`], [`naming`]: the
//!   promises;
//! - [`suite`]: all of them.

pub mod cancelling;
pub mod inventory;
pub mod logging;
pub mod naming;
pub mod observing;
pub mod releasing;
pub mod subject;
pub mod submitting;
pub mod suite;
pub mod watch;

pub use subject::{Script, Subject, Wish};
pub use suite::{Promise, all, promises};
