//! A filter as a list of ids, newest first, that an index holds ready.

use rusqlite::{Connection, params};

use super::fault::Fault;
use crate::task::Owner;

/// All tasks of an owner below an id.
pub(super) const OF_OWNER: &str = "
    SELECT id FROM tasks INDEXED BY tasks_of_owner WHERE owner = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3";

/// Those in a phase.
pub(super) const IN_PHASE: &str = "
    SELECT id FROM tasks INDEXED BY tasks_in_phase WHERE owner = ?1 AND id < ?2 AND phase = ?4
    ORDER BY id DESC LIMIT ?3";

/// Those with a tag, whatever its value.
pub(super) const TAGGED: &str = "
    SELECT task FROM tags WHERE owner = ?1 AND task < ?2 AND key = ?4 ORDER BY task DESC LIMIT ?3";

/// Those with a tag of this value.
pub(super) const TAGGED_WITH: &str = "
    SELECT task FROM tags INDEXED BY tags_with_value WHERE owner = ?1 AND task < ?2 AND key = ?4 AND value = ?5
    ORDER BY task DESC LIMIT ?3";

/// Ids read ahead at most.
const AHEAD: usize = 64;

/// What an index has ready.
pub(super) enum Filter<'a> {
    Owner,
    Phase(i64),
    Tag(&'a str),
    TagValue(&'a str, &'a str),
}

/// Ids, newest first, read as they are asked for.
pub(super) struct List<'a> {
    connection: &'a Connection,
    owner: &'a str,
    /// None: all of it is ready.
    filter: Option<Filter<'a>>,
    ready: Vec<String>,
    /// The first of them that was not passed yet.
    at: usize,
    /// How often it was asked since it last read.
    asked: usize,
    /// How many it reads next.
    next: usize,
}

impl<'a> List<'a> {
    pub(super) fn new(connection: &'a Connection, owner: &'a Owner, filter: Filter<'a>) -> Self {
        Self { connection, owner: &owner.0, filter: Some(filter), ready: Vec::new(), at: 0, asked: 0, next: 1 }
    }

    /// Ids that are known, newest first.
    pub(super) fn known(connection: &'a Connection, owner: &'a Owner, ready: Vec<String>) -> Self {
        Self { connection, owner: &owner.0, filter: None, ready, at: 0, asked: 0, next: 0 }
    }

    /// The first so many below a bound.
    pub(super) fn page(mut self, below: &str, most: usize) -> Result<Vec<String>, Fault> {
        if self.filter.is_some() {
            return self.read(below, most);
        }
        self.pass(below);
        Ok(self.ready.into_iter().skip(self.at).take(most).collect())
    }

    /// The first below a bound. Bounds never rise.
    pub(super) fn first(&mut self, below: &str) -> Result<Option<&str>, Fault> {
        self.pass(below);
        if self.at == self.ready.len() && self.filter.is_some() {
            // Who goes step by step is read ahead for, who leaps is not: a step costs a tenth of a leap.
            let steps = 2 * self.asked >= self.ready.len();
            self.next = if steps { (4 * self.next).min(AHEAD) } else { (self.next / 4).max(1) };
            self.ready = self.read(below, self.next)?;
            (self.at, self.asked) = (0, 0);
        }
        self.asked += 1;
        Ok(self.ready.get(self.at).map(String::as_str))
    }

    fn pass(&mut self, below: &str) {
        self.at += self.ready[self.at..].partition_point(|id| id.as_str() >= below);
    }

    fn read(&self, below: &str, most: usize) -> Result<Vec<String>, Fault> {
        let (owner, limit) = (self.owner, i64::try_from(most).unwrap_or(i64::MAX));
        let prepare = |sql| self.connection.prepare_cached(sql);
        let ids = |row: &rusqlite::Row<'_>| row.get(0);
        let found: rusqlite::Result<Vec<String>> = match &self.filter {
            None => Ok(Vec::new()),
            Some(Filter::Owner) => prepare(OF_OWNER)?.query_map(params![owner, below, limit], ids)?.collect(),
            Some(Filter::Phase(phase)) => {
                prepare(IN_PHASE)?.query_map(params![owner, below, limit, phase], ids)?.collect()
            }
            Some(Filter::Tag(key)) => prepare(TAGGED)?.query_map(params![owner, below, limit, key], ids)?.collect(),
            Some(Filter::TagValue(key, value)) => {
                prepare(TAGGED_WITH)?.query_map(params![owner, below, limit, key, value], ids)?.collect()
            }
        };
        Ok(found?)
    }
}
