//! The changes as they are read, and how far targets were told.

use tokio_postgres::Row;
use tracing::error;

use super::columns;
use super::fault::Fault;
use super::pool::Pool;
use crate::store::{Change, ChangeId, Changes, Kept};
use crate::task::Owner;

/// The first change there is, and with it those after one, in order.
pub(super) const AFTER: &str = "
    SELECT kept.oldest, later.n, owner, task, phase, previous, at
    FROM (SELECT min(n) AS oldest FROM changes) AS kept
    LEFT JOIN LATERAL (SELECT n, owner, task, phase, previous, at FROM changes WHERE n > $1 ORDER BY n LIMIT $2) AS later
    ON true";

/// The first and the last number: two looks at the ends of one index.
pub(super) const KEPT: &str = "SELECT (SELECT min(n) FROM changes), (SELECT max(n) FROM changes)";

/// How far a target was told.
pub(super) const TOLD: &str = "SELECT n FROM told WHERE target = $1";

/// Changes after one, oldest first. What cannot be read is passed over, so that a page that is not full is the last.
pub(super) async fn after(pool: &Pool, after: ChangeId, limit: u32) -> Result<Changes, Fault> {
    let mut found = Changes::default();
    let mut unreadable = Unreadable::default();
    let mut from = columns::from_amount(after.0);
    loop {
        let left = i64::from(limit) - i64::try_from(found.items.len()).unwrap_or(i64::MAX);
        let rows = pool.rows(AFTER, &[&from, &left]).await?;
        let oldest: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
        found.missed |= oldest.map_or(0, columns::amount) > columns::amount(from).saturating_add(1);
        let mut looked_at = 0;
        for row in &rows {
            let Some(number) = row.try_get::<_, Option<i64>>(1)? else { break };
            looked_at += 1;
            from = number;
            match change(number, row) {
                Ok(change) => found.items.push(change),
                Err(fault) if fault.is_of_one_row() => unreadable.add(number, fault),
                Err(fault) => return Err(fault),
            }
        }
        if looked_at < left || found.items.len() >= limit as usize {
            unreadable.say();
            return Ok(found);
        }
    }
}

/// Changes that were passed over: one line of the log for all of a page.
#[derive(Default)]
struct Unreadable {
    count: u64,
    first: Option<(i64, Fault)>,
}

impl Unreadable {
    fn add(&mut self, number: i64, fault: Fault) {
        self.count += 1;
        self.first.get_or_insert((number, fault));
    }

    fn say(self) {
        let Some((number, fault)) = self.first else { return };
        error!(number, count = self.count, "changes of state cannot be read and are passed over: {fault}");
    }
}

fn change(number: i64, row: &Row) -> Result<Change, Fault> {
    let previous: Option<i64> = row.try_get(5)?;
    Ok(Change {
        id: ChangeId(columns::amount(number)),
        owner: Owner(columns::from_text(row.try_get(2)?)),
        task: columns::task_id(row.try_get(3)?)?,
        phase: columns::phase(row.try_get(4)?)?,
        previous: previous.map(columns::phase).transpose()?,
        at: columns::moment(row.try_get(6)?)?,
    })
}

/// The first and the last number.
pub(super) async fn kept(pool: &Pool) -> Result<Kept, Fault> {
    let Some(row) = pool.row(KEPT, &[]).await? else { return Ok(Kept::default()) };
    let end = |column| -> Result<ChangeId, Fault> {
        Ok(ChangeId(row.try_get::<_, Option<i64>>(column)?.map_or(0, columns::amount)))
    };
    Ok(Kept { oldest: end(0)?, newest: end(1)? })
}

/// How far a target was told.
pub(super) async fn told(pool: &Pool, target: &str) -> Result<Option<ChangeId>, Fault> {
    let row = pool.row(TOLD, &[&columns::text(target)]).await?;
    row.map(|row| Ok(ChangeId(columns::amount(row.try_get(0)?)))).transpose()
}
