//! Which tasks a listing shows (TES contract §8).
//!
//! Every filter is a list of ids, newest first, that an index holds ready. A page is their intersection: the lists
//! take turns in naming the next id that could be in all of them, so that the rarest filter sets the pace, and
//! nothing is sorted. A filter alone is simply read.

use rusqlite::Connection;

use super::columns;
use super::fault::Fault;
use super::lists::{Filter, List};
use super::names::Names;
use crate::store::ListQuery;
use crate::task::Owner;

/// Above every id.
const TOP: &str = "~";

/// The ids of a page, newest first, and where the next page begins.
pub(super) fn page(
    connection: &Connection,
    owner: &Owner,
    query: &ListQuery,
) -> Result<(Vec<String>, Option<String>), Fault> {
    let size = usize::try_from(query.size).unwrap_or(usize::MAX);
    let below = query.after.as_ref().map_or(TOP, |id| id.as_str());
    let mut ids = ids(connection, owner, query, below, size.saturating_add(1))?;
    let more = ids.len() > size;
    ids.truncate(size);
    let next = ids.last().filter(|_| more).cloned();
    Ok((ids, next))
}

fn ids(
    connection: &Connection,
    owner: &Owner,
    query: &ListQuery,
    below: &str,
    most: usize,
) -> Result<Vec<String>, Fault> {
    let list = |filter| List::new(connection, owner, filter);
    let mut lists: Vec<List<'_>> = query
        .tags
        .iter()
        .map(|(key, value)| match value {
            Some(value) => list(Filter::TagValue(key, value)),
            None => list(Filter::Tag(key)),
        })
        .collect();
    lists.extend(query.phase.map(|phase| list(Filter::Phase(columns::from_phase(phase)))));
    // What is left to be looked up for each id found.
    let mut names = None;
    if !query.name_prefix.is_empty() {
        let named = Names::new(connection, owner, &query.name_prefix);
        match named.few()? {
            Some(ids) => lists.push(List::known(connection, owner, ids)),
            None => names = Some(named),
        }
    }
    match (lists.len(), &names) {
        (0, None) => list(Filter::Owner).page(below, most),
        (0, Some(names)) => names.page(below, most),
        (1, None) => lists.remove(0).page(below, most),
        _ => in_all(&mut lists, names, below, most),
    }
}

/// The first so many ids below a bound that are in every list and have the name.
fn in_all(
    lists: &mut [List<'_>],
    mut names: Option<Names<'_>>,
    below: &str,
    most: usize,
) -> Result<Vec<String>, Fault> {
    let mut ids = Vec::new();
    let mut below = below.to_owned();
    while ids.len() < most {
        let Some(id) = next_in_all(lists, &below)? else { break };
        below = match &mut names {
            Some(names) if !names.has(&id)? => match names.leap(id)? {
                Some(below) => below,
                None => break,
            },
            Some(_) | None => {
                ids.push(id.clone());
                id
            }
        };
    }
    Ok(ids)
}

/// The highest id below a bound that is in every list.
fn next_in_all(lists: &mut [List<'_>], below: &str) -> Result<Option<String>, Fault> {
    let count = lists.len();
    let Some(first) = lists[0].first(below)? else { return Ok(None) };
    let (mut agreed, mut at) = (1, 0);
    // A blank sorts between an id and every id above it.
    let mut bound = format!("{first} ");
    while agreed < count {
        at = (at + 1) % count;
        let Some(next) = lists[at].first(&bound)? else { return Ok(None) };
        if next == bound.trim_end() {
            agreed += 1;
        } else {
            agreed = 1;
            bound.clear();
            bound.push_str(next);
            bound.push(' ');
        }
    }
    bound.pop();
    Ok(Some(bound))
}
