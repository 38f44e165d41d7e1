//! `[storage.…]`: places that tasks may read from and write to, and how they are reached.
//!
//! Invariants:
//! - a prefix is kept as it was written and compared in its canonical form, the one that a task's URL has too;
//! - a rule holds what its protocol knows and nothing else;
//! - a caller's lists only narrow: whoever is named there may use nothing that others may not.
//!
//! Parts, in reading order:
//! - this page: the table;
//! - [`mod@file`]: folders of this host; [`cache`]: inputs kept for the next task;
//! - [`prefix`]: what a URL prefix means, and which lies within which;
//! - [`rule`]: settings for a prefix; [`fields`]: which protocol knows which of them, and what they look like;
//! - [`lists`]: what may be used, by everybody and by a caller;
//! - [`plan`]: all of it in the words of the plan.

pub mod cache;
#[cfg(test)]
mod documented;
mod fields;
pub mod file;
pub mod lists;
mod plan;
mod prefix;
pub mod rule;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use cache::Cache;
pub use file::{FileStorage, Mode, Root};
pub use lists::Caller;
pub use plan::Places;
pub use rule::Rule;

/// `[storage]`. A prefix covers what lies below it, by component: `s3://data/run1` covers `s3://data/run1/x`, not
/// `s3://data/run10`. A `*` at its end covers any continuation (`s3://lab-*`), a scheme alone (`s3://`) all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// URL prefixes that tasks may use. Not for files of this host: see `[storage.file]`. Default none: all.
    pub allow: Vec<String>,
    /// URL prefixes that tasks may not use, even below one of `allow`. Default none.
    pub deny: Vec<String>,
    /// `[[storage.rules]]`: how the URLs below a prefix are reached. The rule with the longest prefix holds, whole.
    /// Default none: every storage as its vendor runs it, with the identity that the surroundings give.
    pub rules: Vec<Rule>,
    /// `[[storage.callers]]`: narrower lists for single callers. Default none.
    pub callers: Vec<Caller>,
    /// `[storage.file]`.
    pub file: FileStorage,
    /// `[storage.cache]`.
    pub cache: Cache,
}
