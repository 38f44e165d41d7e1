//! The trait every storage implements, and the words it speaks.
//!
//! A store is one protocol with one set of settings and one authority (a bucket, a container, a host). It makes
//! single requests and is not patient: whoever asks tries again (see [`Patience`](super::trouble::Patience)); only
//! [`Store::write`] is patient itself, since what is worth trying again differs too much.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

use super::checksum::Checksum;
use super::source::Source;
use super::trouble::Trouble;

/// One storage.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// What stands at exactly this key, in one request where the protocol allows; `None` when nothing does. A
    /// directory only where directories exist of their own.
    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble>;

    /// Reads an object from its beginning or from somewhere in it, in one request. The answer may begin earlier than
    /// asked where the storage knows no ranges ([`Reading::from`]). `same` refuses, with
    /// [`Why::Changed`](super::trouble::Why::Changed), any version but that one. Nothing there is
    /// [`Why::Absent`](super::trouble::Why::Absent); a directory is
    /// [`Why::Directory`](super::trouble::Why::Directory) where the protocol tells.
    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble>;

    /// One page of the files below a directory, at any depth. The directory's key ends at a name's boundary: `chr1`
    /// never lists `chr10` (TES contract 9.5). A directory that does not exist is an empty page in object stores, and
    /// [`Why::Absent`](super::trouble::Why::Absent) where directories exist.
    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble>;

    /// Writes a whole file to a key, patiently, replacing what was there. Nobody sees it before it is complete, and
    /// when this returns it is durable as far as the protocol can say. Parents are made (TES contract 10.4).
    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble>;

    /// Makes a directory with its parents, where directories exist; elsewhere there is nothing to do.
    async fn make_directory(&self, key: &str) -> Result<(), Trouble>;
}

/// What a storage can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// It can list what lies below a directory.
    pub lists: bool,
    /// Several reads of one object at once make sense.
    pub ranges: bool,
    /// It can write.
    pub writes: bool,
}

/// A stretch of an object, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub from: u64,
    /// How many; `None` is all the rest.
    pub length: Option<u64>,
}

impl Span {
    /// The whole object.
    pub const WHOLE: Self = Self { from: 0, length: None };

    /// The value of an HTTP `Range` header; `None` for the whole object.
    pub fn header(self) -> Option<String> {
        match (self.from, self.length) {
            (0, None) => None,
            (from, None) => Some(format!("bytes={from}-")),
            (from, Some(length)) => Some(format!("bytes={from}-{}", (from + length).saturating_sub(1))),
        }
    }
}

/// Names one version of an object: an entity tag, a generation, a size with a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(pub String);

/// What is known of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// A directory, where directories exist of their own.
    pub directory: bool,
    /// Size in bytes of the whole object.
    pub size: Option<u64>,
    /// Its version, when the storage names one that later reads can be held to.
    pub tag: Option<Tag>,
    /// When it was last modified.
    pub modified: Option<Timestamp>,
    /// Checksums of the whole object that the storage vouches for; one of them is enough.
    pub checksums: Vec<Checksum>,
    /// Checksums that were promised elsewhere; all of them are proved.
    pub demanded: Vec<Checksum>,
}

/// An object being read.
pub struct Reading {
    /// What the answer says of the whole object.
    pub object: Object,
    /// Where in the object the body begins; 0 when a range was asked for and the storage does not know ranges.
    pub from: u64,
    /// The bytes.
    pub body: BoxStream<'static, Result<Bytes, Trouble>>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("object", &self.object).field("from", &self.from).finish_non_exhaustive()
    }
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// What it holds, in the storage's order.
    pub entries: Vec<Listed>,
    /// Names the next page; `None` when this is the last.
    pub next: Option<String>,
}

/// One thing below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name relative to the directory, `/` between components, never empty, never beginning with `/` unless the
    /// key really does. It is as the storage has it and may be hostile (`..`).
    pub name: String,
    /// What is known of it; `directory` for a directory that may be empty.
    pub object: Object,
}
