//! Reading tasks with their histories.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns;
use super::fault::Fault;
use crate::store::Summary;
use crate::task::history::attempts;
use crate::task::{Event, Owner, Task, TaskId, TaskState};

/// A task's state, if it is this owner's.
pub(super) const SUMMARY: &str = "SELECT id, created, phase FROM tasks WHERE id = ?1 AND owner = ?2";

/// The states of tasks.
pub(super) const SUMMARIES: &str = "
    SELECT tasks.id, created, phase FROM json_each(?1) AS wanted CROSS JOIN tasks ON tasks.id = wanted.value";

/// Tasks, if they are this owner's.
pub(super) const TASKS: &str = "
    SELECT tasks.id, created, state, specs.spec FROM json_each(?1) AS wanted
    CROSS JOIN tasks ON tasks.id = wanted.value CROSS JOIN specs ON specs.row = tasks.spec
    WHERE owner = ?2";

/// One of them. What finds many by a list would cost more than all else.
pub(super) const TASK: &str = "
    SELECT id, created, state, specs.spec FROM tasks CROSS JOIN specs ON specs.row = tasks.spec
    WHERE id = ?1 AND owner = ?2";

/// The events of one.
pub(super) const EVENTS_OF_ONE: &str = "SELECT at, body FROM events WHERE task = ?1 ORDER BY seq";

/// Whom a task belongs to.
pub(super) const OWNER: &str = "SELECT owner FROM tasks WHERE id = ?1";

/// The events of tasks.
pub(super) const EVENTS: &str = "
    SELECT task, at, body, seq FROM json_each(?1) AS wanted CROSS JOIN events ON task = wanted.value";

/// What the specs of one page may hold together: contents of inputs have no bound but the request's.
const PAGE_BYTES: i64 = if cfg!(test) { 1024 * 1024 } else { 64 * 1024 * 1024 };

/// Read from the row's header, without the text.
pub(super) const SPEC_BYTES: &str =
    "SELECT octet_length(specs.spec) FROM tasks JOIN specs ON specs.row = tasks.spec WHERE tasks.id = ?1";

/// One task's state.
pub(super) fn summary(connection: &Connection, owner: &Owner, id: &TaskId) -> Result<Option<Summary>, Fault> {
    let mut statement = connection.prepare_cached(SUMMARY)?;
    let mut rows = statement.query(params![id.as_str(), owner.0])?;
    rows.next()?.map(one_summary).transpose()
}

/// States of the tasks found by a listing, in its order.
pub(super) fn summaries(connection: &Connection, ids: &[String]) -> Result<Vec<Summary>, Fault> {
    let mut statement = connection.prepare_cached(SUMMARIES)?;
    let mut rows = statement.query([columns::from_document(&ids)?])?;
    let mut found = Vec::with_capacity(ids.len());
    while let Some(row) = rows.next()? {
        found.push(one_summary(row)?);
    }
    found.sort_by(|a, b| b.id.cmp(&a.id));
    Ok(found)
}

fn one_summary(row: &Row<'_>) -> Result<Summary, Fault> {
    Ok(Summary {
        id: columns::task_id(row.get_ref(0)?.as_str()?)?,
        created: columns::moment(row.get(1)?)?,
        phase: columns::phase(row.get(2)?)?,
    })
}

/// An owner's tasks of these ids, newest first: two queries, however many they are.
pub(super) fn tasks(connection: &Connection, owner: &Owner, ids: &[String]) -> Result<Vec<Task>, Fault> {
    let wanted = columns::from_document(&ids)?;
    let mut found = Vec::with_capacity(ids.len());
    let mut statement = connection.prepare_cached(TASKS)?;
    let mut rows = statement.query(params![wanted, owner.0])?;
    while let Some(row) = rows.next()? {
        found.push(one_task(owner, row)?);
    }
    if found.is_empty() {
        return Ok(found);
    }
    let mut told = events(connection, &wanted)?;
    for task in &mut found {
        let events = told.remove(task.id.as_str()).unwrap_or_default();
        task.attempts = attempts(events.iter().map(|(_, at, event)| (*at, event)));
    }
    found.sort_by(|a, b| b.id.cmp(&a.id));
    Ok(found)
}

/// A task, if it is this owner's.
pub(super) fn task(connection: &Connection, owner: &Owner, id: &str) -> Result<Option<Task>, Fault> {
    let mut statement = connection.prepare_cached(TASK)?;
    let mut rows = statement.query(params![id, owner.0])?;
    let Some(mut task) = rows.next()?.map(|row| one_task(owner, row)).transpose()? else { return Ok(None) };
    let mut statement = connection.prepare_cached(EVENTS_OF_ONE)?;
    let mut rows = statement.query([id])?;
    let mut told: Vec<(Timestamp, Event)> = Vec::new();
    while let Some(row) = rows.next()? {
        told.push((columns::moment(row.get(0)?)?, columns::document("history", id, row.get_ref(1)?.as_str()?)?));
    }
    task.attempts = attempts(told.iter().map(|(at, event)| (*at, event)));
    Ok(Some(task))
}

/// A task, whoever owns it.
pub(super) fn of_anybody(connection: &Connection, id: &str) -> Result<Option<Task>, Fault> {
    let owner: Option<String> = connection.prepare_cached(OWNER)?.query_row([id], |row| row.get(0)).optional()?;
    let Some(owner) = owner else { return Ok(None) };
    task(connection, &Owner(owner), id)
}

/// How many of a page's tasks fit into memory together: always one, and no more than [`PAGE_BYTES`] of them.
/// A page may be shorter than it was asked to be; its token goes on from there.
pub(super) fn fitting(connection: &Connection, ids: &[String]) -> Result<usize, Fault> {
    let mut statement = connection.prepare_cached(SPEC_BYTES)?;
    let mut bytes = 0;
    for (index, id) in ids.iter().enumerate() {
        let of_one: Option<i64> = statement.query_row([id], |row| row.get(0)).optional()?;
        bytes += of_one.unwrap_or(0);
        if bytes > PAGE_BYTES && index > 0 {
            return Ok(index);
        }
    }
    Ok(ids.len())
}

fn one_task(owner: &Owner, row: &Row<'_>) -> Result<Task, Fault> {
    let id = row.get_ref(0)?.as_str()?;
    let state: TaskState = columns::document("state", id, row.get_ref(2)?.as_str()?)?;
    let spec = columns::document("spec", id, row.get_ref(3)?.as_str()?)?;
    let created = columns::moment(row.get(1)?)?;
    Ok(Task { id: columns::task_id(id)?, owner: owner.clone(), created, spec, state, attempts: Vec::new() })
}

/// By task: each event with its number and its moment.
type Events = HashMap<String, Vec<(i64, Timestamp, Event)>>;

/// Each task's events in the order in which they happened.
fn events(connection: &Connection, wanted: &str) -> Result<Events, Fault> {
    let mut told = Events::new();
    let mut statement = connection.prepare_cached(EVENTS)?;
    let mut rows = statement.query([wanted])?;
    while let Some(row) = rows.next()? {
        let task = row.get_ref(0)?.as_str()?;
        let event = columns::document("history", task, row.get_ref(2)?.as_str()?)?;
        let event = (row.get(3)?, columns::moment(row.get(1)?)?, event);
        match told.get_mut(task) {
            Some(events) => events.push(event),
            None => drop(told.insert(task.to_owned(), vec![event])),
        }
    }
    // They come in order from the key; a sort in SQL would carry every body through it.
    told.values_mut().for_each(|events| events.sort_by_key(|(seq, ..)| *seq));
    Ok(told)
}
