//! The GA4GH TES door: its words are known here and nowhere else.
//!
//! Rules cited as numbers (`4.7`, `§8`) are those of the TES contract.
//!
//! Parts, in the order of a request:
//! - [`target`]: which paths there are;
//! - [`routes`]: what each does;
//! - [`from_wire`]: their words into ours, judged by [`places`], [`urls`] and [`parameters`];
//! - [`idempotency`]: the key that keeps a creation from being done twice;
//! - [`list`]: filters and page tokens;
//! - [`to_wire`]: our words into theirs, view by view;
//! - [`service_info`]: how the service introduces itself;
//! - [`wire`]: the words themselves;
//! - [`document`]: all of it as OpenAPI.

pub mod document;
pub mod from_wire;
pub mod idempotency;
pub mod list;
pub mod parameters;
pub mod places;
pub mod routes;
pub mod service_info;
pub mod target;
pub mod to_wire;
pub mod urls;
pub mod wire;
