//! Whether the database can be written to now.

use jiff::Timestamp;
use tracing::warn;

use super::fault::Fault;
use super::pool::Pool;

/// Writes, and hears what time it is there, milliseconds.
const CHECK: &str = "
    WITH room AS MATERIALIZED (SELECT room() AS found)
    UPDATE store SET checked = checked + 1 FROM room WHERE room.found > 0
    RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// How far our clock may be from the database's. Leases and claims compare moments of several servers.
const APART_MS: u64 = 2_000;

/// Writes, and compares the clocks.
pub(super) async fn check(pool: &Pool) -> Result<(), Fault> {
    let Some(row) = pool.row(CHECK, &[]).await? else {
        return Err(Fault::Unreadable(
            "its table `store` is empty; restore a copy, or name another database".to_owned(),
        ));
    };
    let theirs: i64 = row.try_get(0)?;
    let apart_ms = Timestamp::now().as_millisecond().abs_diff(theirs);
    if apart_ms > APART_MS {
        warn!(
            apart_ms,
            "the clock of the database and ours are apart; let both be set by NTP, for claims depend on it"
        );
    }
    Ok(())
}
