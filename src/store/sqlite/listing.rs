//! Which tasks a listing shows (TES contract §8).
//!
//! Every filter is a list of ids, newest first, that an index holds ready. A page is their intersection: the lists
//! take turns in naming the next id that could be in all of them, so that the rarest filter sets the pace, and
//! nothing is sorted. A filter alone is simply read.

use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::columns;
use super::fault::Fault;
use crate::store::ListQuery;
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

/// Those whose name lies in a range, in no useful order.
pub(super) const NAMED: &str = "
    SELECT id FROM tasks INDEXED BY tasks_named WHERE owner = ?1 AND name >= ?2 AND name < ?3 LIMIT ?4";

/// A task's name.
pub(super) const NAME: &str = "SELECT name FROM tasks WHERE id = ?1";

/// Names up to this many are sorted here. A prefix that more names share is found soon enough by walking.
/// Tests have few tasks and go both ways.
const FEW: usize = if cfg!(test) { 3 } else { 4_096 };

/// Above every id.
const TOP: &str = "~";

/// The ids of a page, newest first, and where the next page begins.
pub(super) fn page(
    connection: &Connection,
    owner: &Owner,
    query: &ListQuery,
) -> Result<(Vec<String>, Option<String>), Fault> {
    let (filters, prefix) = filters(connection, owner, query)?;
    let size = usize::try_from(query.size).unwrap_or(usize::MAX);
    let listing = Listing { connection, owner, filters, prefix };
    let mut ids = listing.ids(query.after.as_ref().map_or(TOP, |id| id.as_str()), size.saturating_add(1))?;
    let more = ids.len() > size;
    ids.truncate(size);
    let next = ids.last().filter(|_| more).cloned();
    Ok((ids, next))
}

enum Filter<'a> {
    Owner,
    Phase(i64),
    Tag(&'a str),
    TagValue(&'a str, &'a str),
    /// In ascending order.
    Ids(Vec<String>),
}

struct Listing<'a> {
    connection: &'a Connection,
    owner: &'a Owner,
    /// Never empty.
    filters: Vec<Filter<'a>>,
    /// What is left to be looked up for each id found.
    prefix: Option<&'a str>,
}

fn filters<'a>(
    connection: &Connection,
    owner: &Owner,
    query: &'a ListQuery,
) -> Result<(Vec<Filter<'a>>, Option<&'a str>), Fault> {
    let mut filters: Vec<Filter<'a>> = query
        .tags
        .iter()
        .map(|(key, value)| match value {
            Some(value) => Filter::TagValue(key, value),
            None => Filter::Tag(key),
        })
        .collect();
    filters.extend(query.phase.map(|phase| Filter::Phase(columns::from_phase(phase))));
    let mut prefix = None;
    if !query.name_prefix.is_empty() {
        match named(connection, owner, &query.name_prefix)? {
            Some(ids) => filters.push(Filter::Ids(ids)),
            None => prefix = Some(query.name_prefix.as_str()),
        }
    }
    if filters.is_empty() {
        filters.push(Filter::Owner);
    }
    Ok((filters, prefix))
}

/// The ids of the tasks whose names begin with a prefix, if they are few.
fn named(connection: &Connection, owner: &Owner, prefix: &str) -> Result<Option<Vec<String>>, Fault> {
    let mut statement = connection.prepare_cached(NAMED)?;
    let limit = i64::try_from(FEW + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![owner.0, prefix, above(prefix), limit])?;
    let mut ids: Vec<String> = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(row.get(0)?);
    }
    if ids.len() > FEW {
        return Ok(None);
    }
    ids.sort_unstable();
    Ok(Some(ids))
}

/// The first value after all texts with a prefix.
fn above(prefix: &str) -> Value {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The surrogates between are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            text.push(next);
            return Value::Text(text);
        }
    }
    // No text, but every blob sorts after all texts.
    Value::Blob(Vec::new())
}

impl Listing<'_> {
    fn ids(&self, below: &str, most: usize) -> Result<Vec<String>, Fault> {
        if let ([only], None) = (&self.filters[..], self.prefix) {
            return self.read(only, below, most);
        }
        let mut ids = Vec::new();
        let mut below = below.to_owned();
        while ids.len() < most {
            let Some(id) = self.in_all(&below)? else { break };
            if self.has_prefix(&id)? {
                ids.push(id.clone());
            }
            below = id;
        }
        Ok(ids)
    }

    /// The highest id below a bound that every filter lets pass.
    fn in_all(&self, below: &str) -> Result<Option<String>, Fault> {
        let Some(mut id) = self.next(&self.filters[0], below)? else { return Ok(None) };
        let mut agreed = 1;
        for filter in self.filters.iter().cycle().skip(1) {
            if agreed == self.filters.len() {
                break;
            }
            // A blank sorts between an id and every id above it.
            let Some(next) = self.next(filter, &format!("{id} "))? else { return Ok(None) };
            agreed = if next == id { agreed + 1 } else { 1 };
            id = next;
        }
        Ok(Some(id))
    }

    fn next(&self, filter: &Filter<'_>, below: &str) -> Result<Option<String>, Fault> {
        Ok(self.read(filter, below, 1)?.pop())
    }

    fn read(&self, filter: &Filter<'_>, below: &str, most: usize) -> Result<Vec<String>, Fault> {
        let (owner, limit) = (self.owner.0.as_str(), i64::try_from(most).unwrap_or(i64::MAX));
        let prepare = |sql| self.connection.prepare_cached(sql);
        let ids = |row: &rusqlite::Row<'_>| row.get(0);
        let found: rusqlite::Result<Vec<String>> = match filter {
            Filter::Owner => prepare(OF_OWNER)?.query_map(params![owner, below, limit], ids)?.collect(),
            Filter::Phase(phase) => prepare(IN_PHASE)?.query_map(params![owner, below, limit, phase], ids)?.collect(),
            Filter::Tag(key) => prepare(TAGGED)?.query_map(params![owner, below, limit, key], ids)?.collect(),
            Filter::TagValue(key, value) => {
                prepare(TAGGED_WITH)?.query_map(params![owner, below, limit, key, value], ids)?.collect()
            }
            Filter::Ids(ids) => {
                let end = ids.partition_point(|id| id.as_str() < below);
                Ok(ids[..end].iter().rev().take(most).cloned().collect())
            }
        };
        Ok(found?)
    }

    fn has_prefix(&self, id: &str) -> Result<bool, Fault> {
        let Some(prefix) = self.prefix else { return Ok(true) };
        let mut statement = self.connection.prepare_cached(NAME)?;
        let name: Option<String> = statement.query_row([id], |row| row.get(0))?;
        Ok(name.is_some_and(|name| name.starts_with(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, above};

    #[test]
    fn what_is_above_a_prefix() {
        assert_eq!(above("ab"), Value::Text("ac".to_owned()));
        assert_eq!(above("a\u{10ffff}"), Value::Text("b".to_owned()));
        assert_eq!(above("\u{d7ff}"), Value::Text("\u{e000}".to_owned()));
        assert_eq!(above("\u{10ffff}"), Value::Blob(vec![]));
    }
}
