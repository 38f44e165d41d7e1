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
//! - [`host`]: files of the host, confined to configured roots.

mod bring_in;
mod collect;
mod deliver;
mod host;

pub use bring_in::bring_in;
pub use deliver::{Delivered, deliver};
