//! `s3`: one bucket of AWS or of whoever speaks its protocol.
//!
//! - Keys go as they are: what a URL cannot carry is refused, never changed.
//! - Where a bucket lies is learnt from the first answer that says so.
//! - Whatever is written carries a checksum that the service proves, unless it does not know any.
//!
//! Parts, in reading order:
//! - [`bucket`]: the store;
//! - [`address`]: a key's URL;
//! - [`requests`]: signed requests, and the region they are signed for;
//! - [`refusal`]: what the service says when it does not;
//! - [`sums`]: checksums in headers;
//! - [`list`]: listings; [`multipart`]: large files.

mod address;
mod bucket;
mod list;
mod multipart;
mod refusal;
mod requests;
#[cfg(test)]
mod stand_in;
mod sums;
#[cfg(test)]
mod tests;

pub(super) use bucket::Bucket;
