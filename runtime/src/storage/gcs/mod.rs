//! Google Cloud Storage: one bucket, over its JSON API.
//!
//! - A small file is one request. A large one is a session that knows how far it came: after a cut it is asked, and
//!   what arrived is not sent again. Nobody sees the object before its last byte.
//! - Reads are held to one generation of an object, and stored bytes come as they are stored, also where an object
//!   says that it is compressed.
//!
//! Parts, in reading order:
//! - [`address`]: the URLs of a bucket and its objects;
//! - [`credentials`]: with what requests are signed;
//! - [`resource`]: what documents and headers say of an object;
//! - [`bucket`]: the store; [`upload`]: how it is written to; [`session`]: a large file on its way.

mod address;
mod bucket;
mod credentials;
mod resource;
mod session;
mod upload;

pub(super) use bucket::Bucket;
