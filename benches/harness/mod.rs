//! What the measurements share: a server of their own, connections that cost little, figures.
//!
//! - [`server`]: the release server, on a free port, with a folder of its own.
//! - [`place`]: which store it has.
//! - [`rows`], [`database`]: a store full of tasks, made quickly.
//! - [`floor`]: the database alone.
//! - [`connection`]: HTTP/1.1 with keep-alive by hand; the processor is shared with what is measured.
//! - [`load`]: many of them at once.
//! - [`bare`]: a handler that does nothing, to compare with.
//! - [`figures`]: medians, percentiles, and the line of JSON that `cargo xtask bench` reads.

// Every measurement compiles this for itself and uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod bare;
pub mod connection;
pub mod database;
pub mod figures;
pub mod floor;
pub mod load;
pub mod place;
pub mod rows;
pub mod server;
