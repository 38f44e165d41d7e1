//! Configuration in, running server out: the only room that names every concrete type. It decides nothing.
//!
//! Parts, in reading order:
//! - [`server`]: all of it put together, started and stopped;
//! - [`settings`]: the configuration in each room's own words;
//! - `data`, `store`, `seat`, `replicas`, `backends`, `doors`, `background`: the data folder and whose it is, the servers on one
//!   store, the places where tasks run, what the doors open to, what goes on beside requests and ticks;
//! - [`inspection`], [`stores`]: the backends and the stores without a server.

mod backends;
mod background;
mod data;
mod doors;
pub mod inspection;
mod replicas;
mod seat;
pub mod server;
pub mod settings;
mod store;
pub mod stores;

pub use doors::plans;
pub use inspection::Inspection;
pub use server::Server;
