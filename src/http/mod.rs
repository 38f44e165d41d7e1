//! The doors: what the outside world may ask, and in which words.
//!
//! A protocol's words stop here: its JSON is known in its own room and nowhere else.
//!
//! Invariants:
//! - a request that is wrong is answered 4xx, never 5xx, and no request panics;
//! - an answer is JSON, also where a path or a method is unknown, and never a redirect;
//! - a task is stored before its id is said;
//! - secrets and query strings are never logged.
//!
//! Parts, in reading order:
//! - [`doors`], [`settings`]: what the doors open to, and what the operator decides;
//! - [`auth`], [`error`]: who calls, and every status code.

pub mod auth;
pub mod doors;
pub mod error;
pub mod settings;

pub use auth::{Access, Credentials, Token, User};
pub use doors::{Clock, Doors, Readiness, Wake};
pub use error::ApiError;
pub use settings::{BackendFacts, Bounds, Files, Secret, Service, Settings};
