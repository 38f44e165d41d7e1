//! WebDAV: HTTP with directories. `webdav://` speaks HTTP, `webdavs://` HTTPS.
//!
//! - Reading is HTTP's own GET; what stands where and what lies below is asked with PROPFIND, one directory at a time.
//! - A file is put under a temporary name beside its own and moved there when it is complete. Where a server does not
//!   move, it is put directly.
//! - A server's answers name things by URLs: only what lies in the directory that was asked about is believed.
//!
//! Parts, in reading order:
//! - [`store`]: the storage: looking, reading, listing;
//! - [`delivery`]: putting, moving, making directories;
//! - [`properties`]: what an answer to PROPFIND says.

mod delivery;
mod properties;
mod store;

pub(super) use store::Webdav;
