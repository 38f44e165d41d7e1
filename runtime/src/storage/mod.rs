//! Storages: where inputs come from and outputs go to, beyond the disks of this host.
//!
//! One small trait over very different protocols. What they share is done once, outside of it: trying again,
//! ranges side by side, going on after a cut, checksums, guards.
//!
//! - Nothing is held in memory as a whole; what is buffered does not grow with a file.
//! - What is written is seen by others only when it is complete.
//! - No message shows a secret: no query, no login.
//! - No request goes to this machine or its network's own services unless an operator said so.
//!
//! Parts, in reading order:
//! - [`location`]: what a URL means; [`prefix`]: which settings and lists it falls under;
//! - [`settings`]: how storages are reached, in the plan; [`secret`]: texts that do not print;
//! - [`store`]: the trait, and the words it speaks;
//! - [`trouble`]: what went wrong, sorted; trying again;
//! - [`guard`], [`client`]: HTTP with its guards; [`answer`]: what its answers say;
//! - `document`: what the operator's own services give;
//! - [`identity`]: who we are for a vendor's service;
//! - [`source`]: a file on its way out; [`checksum`]: how content is proved; [`stall`]: uploads that stand still;
//! - [`fetch`]: an object into a file; [`moved`]: how much that was so far;
//! - [`tree`]: what storages with directories share;
//! - [`s3`], [`azblob`], [`gcs`], [`web`], [`webdav`], [`ftp`], [`sftp`], [`drs`]: one protocol a room or a file;
//! - [`storages`]: a URL's storage, opened once.

mod answer;
mod azblob;
pub mod checksum;
pub mod client;
pub(crate) mod document;
mod drs;
pub mod fetch;
mod ftp;
mod gcs;
pub mod guard;
mod identity;
pub mod location;
#[cfg(test)]
pub(crate) mod memory;
pub mod moved;
pub mod prefix;
mod room;
mod s3;
pub mod secret;
pub mod settings;
mod sftp;
pub mod source;
mod stall;
#[cfg(test)]
mod stand_in;
pub mod storages;
pub mod store;
mod tree;
pub mod trouble;
mod web;
mod webdav;
