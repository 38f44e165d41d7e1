//! Which tasks a listing shows (TES contract §8): one statement, whose work is done in the functions of
//! `migrations/0002_listing.sql`.

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use super::tasks::{one_summary, one_task};
use crate::store::{ListQuery, Page, Summary};
use crate::task::{Owner, Task, TaskId};

/// A page of states. The first two columns: where the next page begins, if it was not cut here, and the page's length.
pub(super) const SUMMARIES: &str = "
    WITH found AS MATERIALIZED (SELECT page($1, $2, $3::bigint + 1, $4, $5, $6, $7, $8, $9, $10, $11) AS ids)
    SELECT CASE WHEN cardinality(ids) > $3 THEN ids[$3::integer] END, tasks.id, tasks.created, tasks.phase
    FROM found CROSS JOIN LATERAL unnest(ids[1:$3::integer]) AS wanted (id) JOIN tasks ON tasks.id = wanted.id";

/// A page of tasks with their events.
pub(super) const TASKS: &str = "
    WITH found AS MATERIALIZED (SELECT page($1, $2, $3::bigint + 1, $4, $5, $6, $7, $8, $9, $10, $11) AS ids),
         cut AS MATERIALIZED (SELECT ids, fitting(ids[1:$3::integer], $12)::integer AS length FROM found)
    SELECT CASE WHEN cardinality(ids) > length THEN ids[length] END,
           tasks.id, tasks.owner, tasks.created, tasks.state, specs.spec, told.numbers, told.moments, told.bodies
    FROM cut CROSS JOIN LATERAL unnest(ids[1:length]) AS wanted (id) JOIN tasks ON tasks.id = wanted.id
    JOIN specs ON specs.row = tasks.spec
    LEFT JOIN LATERAL (SELECT array_agg(seq) AS numbers, array_agg(at) AS moments, array_agg(body) AS bodies
                       FROM events WHERE task = tasks.id) AS told ON true";

/// What the specs of one page may hold together: contents of inputs have no bound but the request's.
const PAGE_BYTES: i64 = if cfg!(test) { 1024 * 1024 } else { 64 * 1024 * 1024 };

/// Names up to this many are sorted; a prefix that more share is found soon enough by walking. Tests have few tasks and
/// go both ways.
const FEW: i64 = if cfg!(test) { 3 } else { 4_096 };

/// How many ids a filter is first asked for, where there are several.
const STRIDE: i64 = if cfg!(test) { 2 } else { 256 };

/// The longest page. What is asked for beyond is cut, and the page's token goes on from there.
const LONGEST: u32 = 1_000_000;

/// Characters of a name that are in the index.
const INDEXED: usize = 200;

/// Above every id.
const TOP: &str = "~";

/// A query as the statements take it.
struct Asked {
    owner: String,
    below: String,
    size: i64,
    phase: Option<i64>,
    keys: Vec<String>,
    values: Vec<Option<String>>,
    prefix: Option<String>,
    low: Option<String>,
    high: Option<String>,
}

impl Asked {
    fn new(owner: &Owner, query: &ListQuery) -> Self {
        let prefix = Some(columns::text(&query.name_prefix)).filter(|prefix| !prefix.is_empty());
        let low: Option<String> = prefix.as_ref().map(|prefix| prefix.chars().take(INDEXED).collect());
        let (keys, values) =
            query.tags.iter().map(|(key, value)| (columns::tag(key), value.as_deref().map(columns::tag))).unzip();
        Self {
            owner: columns::text(&owner.0),
            below: query.after.as_ref().map_or(TOP, TaskId::as_str).to_owned(),
            size: i64::from(query.size.min(LONGEST)),
            phase: query.phase.map(columns::from_phase),
            keys,
            values,
            high: low.as_deref().and_then(above),
            low,
            prefix,
        }
    }
}

/// The first text after all texts with a prefix, if there is one.
fn above(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The surrogates between are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// A page of states, newest first.
pub(super) async fn summaries(pool: &Pool, owner: &Owner, query: &ListQuery) -> Result<Page<Summary>, Fault> {
    let a = Asked::new(owner, query);
    let rows = pool
        .rows(
            SUMMARIES,
            &[&a.owner, &a.below, &a.size, &a.phase, &a.keys, &a.values, &a.prefix, &a.low, &a.high, &FEW, &STRIDE],
        )
        .await?;
    page(&rows, |row| one_summary(row, 1), |summary| &summary.id)
}

/// A page of tasks with their histories, newest first.
pub(super) async fn tasks(pool: &Pool, owner: &Owner, query: &ListQuery) -> Result<Page<Task>, Fault> {
    let a = Asked::new(owner, query);
    let rows = pool
        .rows(
            TASKS,
            &[
                &a.owner,
                &a.below,
                &a.size,
                &a.phase,
                &a.keys,
                &a.values,
                &a.prefix,
                &a.low,
                &a.high,
                &FEW,
                &STRIDE,
                &PAGE_BYTES,
            ],
        )
        .await?;
    page(&rows, |row| one_task(row, 1), |task| &task.id)
}

fn page<T>(
    rows: &[tokio_postgres::Row],
    read: impl Fn(&tokio_postgres::Row) -> Result<T, Fault>,
    id: impl Fn(&T) -> &TaskId,
) -> Result<Page<T>, Fault> {
    let mut items = rows.iter().map(read).collect::<Result<Vec<T>, Fault>>()?;
    items.sort_by(|a, b| id(b).cmp(id(a)));
    let next: Option<&str> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
    Ok(Page { items, next: next.and_then(TaskId::parse) })
}

#[cfg(test)]
mod tests {
    use super::above;

    #[test]
    fn what_is_above_a_prefix() {
        assert_eq!(above("ab").as_deref(), Some("ac"));
        assert_eq!(above("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(above("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(above("\u{10ffff}"), None);
    }
}
