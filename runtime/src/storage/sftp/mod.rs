//! SFTP, over SSH. `sftp://host/path` is the absolute path `/path`.
//!
//! - The host's key must be known: from the settings, otherwise from `~/.ssh/known_hosts`. An unknown host is refused
//!   with the line that would make it known.
//! - One connection carries everything; many requests are under way on it at once, so that a distant host is no
//!   slower than its line.
//! - A file is written under a temporary name beside its own, made durable and renamed where the server can.
//!
//! Parts, in reading order:
//! - [`store`]: the storage: looking, reading, listing; [`delivery`]: writing, renaming, making directories;
//! - [`session`]: a connection with what its server can do; [`connect`]: from a name to a session;
//! - [`known_hosts`]: which key is whose.

mod connect;
mod delivery;
mod known_hosts;
mod session;
mod store;

pub(super) use store::Sftp;
