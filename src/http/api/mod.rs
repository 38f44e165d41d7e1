//! Our own API, below `/api/v1`: what GA4GH TES has no words for.
//!
//! Invariants:
//! - a task of another owner is as unknown here as at the other doors;
//! - whatever goes on for long (a stream of events, of a log) ends by itself when the server stops, and holds no more
//!   than a few buffers of its own;
//! - each route says in its own attributes what it takes and answers, and `openapi/api.json` is written from them.
//!
//! Parts, in reading order:
//! - [`routes`]: all of them on one page, with what they share;
//! - [`tasks`], [`queue`]: where tasks stand, who waits; [`waiting`]: for what;
//! - [`logs`], [`log_bytes`], [`log_events`]: what tasks print;
//! - [`events`], [`place`]: what happens, as it happens;
//! - [`plans`]: what jobs elsewhere fetch;
//! - [`document`]: what is said of them in common.

pub mod document;
pub mod events;
pub mod log_bytes;
pub mod log_events;
pub mod logs;
pub mod place;
pub mod plans;
pub mod queue;
pub mod routes;
pub mod tasks;
pub mod waiting;
