//! A proxy in front of an HTTP server: counts what is asked, and breaks what a rule says.
//!
//! Requests go on as they came, the `Host` header included, so that signatures made for the proxy's address stay
//! valid behind it. It speaks HTTP/1.1 in clear.
//!
//! - [`server`]: [`Proxy`], what a test holds.
//! - [`rule`]: [`Rule`] and [`Fault`], what may go wrong.
//! - [`relay`]: one connection, request by request.
//! - [`wire`]: heads and bodies as they travel.
//! - [`line`]: [`Line`], for servers that do not speak HTTP; it can only break connections.

// Each suite uses a part of it; `benches/storage` does, too.
#![allow(dead_code, missing_docs, unused_imports, unreachable_pub)]

mod line;
mod relay;
mod rule;
mod server;
pub mod wire;

pub use line::{Break, Line};
pub use rule::{Fault, Rule};
pub use server::{Asked, Proxy};
