//! Bringing inputs in and delivering outputs.
//!
//! - Nothing is held in memory as a whole, and nothing gets its final name before it is complete.
//! - Both directions may be begun again after a crash: names of unfinished files are always the same.
//! - Both stop soon when their future is dropped.
//! - A fault says what may be done about it, and names what it is about, without secrets.
//!
//! Parts, in reading order:
//! - [`bring_in()`] and [`deliver()`]: the two directions;
//! - [`collect`]: which files an output stands for;
//! - [`host`]: files of the host, confined to configured roots;
//! - [`remote`]: inputs from storages; [`names`]: which of their names can be files;
//! - [`cache`]: inputs that were fetched before; [`sharing`]: which ones containers may share.

mod bring_in;
mod cache;
mod collect;
mod deliver;
mod host;
mod names;
mod remote;
mod sharing;

pub use bring_in::{Brought, Shared, bring_in, bring_in_from};
pub use deliver::{Delivered, deliver, deliver_to};
pub use sharing::may_share;
