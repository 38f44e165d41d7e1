//! The doors: what the outside world may ask, and in which words.
//!
//! A protocol's words stop here: its JSON is known in its own room ([`tes`]) and nowhere else.
//!
//! Invariants:
//! - a request that is wrong is answered 4xx, never 5xx, and no request panics;
//! - an answer is JSON, also where a path or a method is unknown, and never a redirect;
//! - a task is stored before its id is said;
//! - secrets and query strings are never logged.
//!
//! Parts, in reading order:
//! - [`mod@router`]: all the doors on one page;
//! - [`doors`], [`settings`]: what they open to, and what the operator decides;
//! - [`exchange`], [`auth`], [`cors`], [`negotiation`], [`query`],
//!   [`body`]: what every request has;
//! - [`error`]: every status code;
//! - [`tes`]: the GA4GH TES API;
//! - [`api`]: our own API;
//! - [`peers`]: what another server has;
//! - [`health`], [`docs`]: our own pages;
//! - [`listener`]: the connections.

pub mod api;
pub mod auth;
pub mod body;
pub mod cors;
pub mod docs;
pub mod doors;
pub mod error;
pub mod exchange;
pub mod health;
pub mod listener;
pub mod negotiation;
pub mod peers;
pub mod query;
pub mod router;
pub mod settings;
pub mod tes;

pub use auth::{Access, Credentials, Token, User};
pub use doors::{Clock, Doors, Plans, Readiness, Stopping, Wake};
pub use error::ApiError;
pub use peers::Peers;
pub use router::router;
pub use settings::{BackendFacts, Bounds, Files, Lists, Places, Secret, Service, Settings};
