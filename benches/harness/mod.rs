//! What the measurements share: a server of their own, connections that cost little, figures.
//!
//! - [`server`]: the release server, on a free port, with a folder of its own.
//! - [`connection`]: HTTP/1.1 with keep-alive by hand; the processor is shared with what is measured.
//! - [`figures`]: medians, percentiles, and the line of JSON that `cargo xtask bench` reads.

// Every measurement compiles this for itself and uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod connection;
pub mod figures;
pub mod server;
