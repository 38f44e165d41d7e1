//! FTP, in clear (`ftp://`) and encrypted (`ftps://`: `AUTH TLS`, or from the first byte on at port 990).
//!
//! - A path is relative to where the login lands, as RFC 1738 has it: `ftp://host/a` is `a`, `ftp://host//a` is `/a`.
//! - Who names no login is `anonymous`.
//! - A data connection goes to the host of its control connection, whatever address the server tells.
//! - A file is stored under a temporary name beside its own and renamed when it is complete.
//!
//! Parts, in reading order:
//! - [`store`]: the storage: looking, reading, listing; [`delivery`]: storing, renaming, making directories;
//! - [`pool`]: a few connections; [`connection`]: one of them;
//! - [`connect`]: from a name to a login; [`reply`]: what refusals mean; [`facts`]: what listings say.

mod connect;
mod connection;
mod delivery;
mod facts;
mod pool;
mod reply;
mod store;
#[cfg(test)]
mod tests;

pub(super) use connect::host_and_port;
pub(super) use store::Ftp;
