//! DRS (GA4GH Data Repository Service 1.x): an identifier that leads to an object in another storage.
//!
//! - `drs://host/id` is asked of `https://host`, or of the rule's `endpoint`; `drs://prefix:accession` would need a
//!   registry, and is refused.
//! - What an answer leads to is opened like any URL of a task: the lists of what may be used and the guards hold for
//!   it. It is never a path of this host and never another identifier.
//! - Of the headers that come with an address only `Authorization` is sent, for that object and to that host.
//! - A bundle is a directory; a name below it is found through what it holds. Nothing is written.
//!
//! Parts, in reading order:
//! - [`store`]: the storage; [`resolve`]: from a key to an object, from an object to a place;
//! - [`answer`]: what a service answers.

mod answer;
mod resolve;
mod store;

pub(super) use store::Drs;
