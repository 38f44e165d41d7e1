//! From an empty schema, or that of an earlier release, to the tables this build works on.
//!
//! A migration that was released is frozen: the next change is the next number.

use tokio_postgres::Client;

use super::fault::Fault;

/// Says in `schema` whose tables these are.
const APPLICATION: &str = "tessera";

/// The version this build works on.
const KNOWN: i64 = 2;

/// In order; the first brings an empty schema to version 1.
pub(super) const MIGRATIONS: [&str; KNOWN as usize] =
    [include_str!("migrations/0001_tasks.sql"), include_str!("migrations/0002_listing.sql")];

/// Our part of the database's advisory locks: `TESS`.
pub(super) const LOCKS: i32 = 0x5445_5353;

/// Applies what is missing, all or nothing; one server at a time, whichever comes first. Answers the number of the lock
/// that everybody takes who writes to this schema.
pub(super) async fn migrate(client: &mut Client) -> Result<i32, Fault> {
    let row = client
        .query_one(
            "SELECT pg_encoding_to_char(encoding), pg_is_in_recovery(),
                    (SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema())
             FROM pg_database WHERE datname = current_database()",
            &[],
        )
        .await?;
    let encoding: String = row.get(0);
    if encoding != "UTF8" {
        return Err(Fault::Unreadable(format!(
            "its encoding is {encoding}; create a database with ENCODING 'UTF8', and name it in `store.url`"
        )));
    }
    if row.get(1) {
        return Err(Fault::NotReached(
            "it is a standby, which is read-only; name the primary in `store.url`".to_owned(),
        ));
    }
    let Some(schema) = row.get::<_, Option<i64>>(2) else {
        return Err(Fault::NotReached(
            "its search path names no schema; create one, or set the search path of the user".to_owned(),
        ));
    };
    // As many different numbers as there are schemas; which is which does not matter.
    let lock = u32::try_from(schema).unwrap_or_default().cast_signed();

    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0").await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1, $2)", &[&LOCKS, &lock]).await?;
    let version = version(&transaction).await?;
    if version > KNOWN {
        return Err(Fault::Unreadable(format!(
            "it was written by a newer build (its version is {version}, this build knows {KNOWN}); start that build"
        )));
    }
    if version == KNOWN {
        return Ok(lock);
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or_default()) {
        transaction.batch_execute(migration).await?;
    }
    transaction
        .execute(
            "INSERT INTO schema (one, application, version) VALUES (1, $1, $2)
             ON CONFLICT (one) DO UPDATE SET version = excluded.version",
            &[&APPLICATION, &KNOWN],
        )
        .await?;
    transaction.commit().await?;
    Ok(lock)
}

/// The version of the tables in the schema; 0 where there are none.
async fn version(transaction: &tokio_postgres::Transaction<'_>) -> Result<i64, Fault> {
    let strange = || {
        let what =
            "its schema holds the tables of another program; create a database of our own, and name it in `store.url`";
        Fault::Unreadable(what.to_owned())
    };
    // Tables that an extension brought are nobody's.
    let tables = transaction
        .query(
            "SELECT relname::text FROM pg_class
             WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
               AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
               AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')",
            &[],
        )
        .await?;
    if tables.is_empty() {
        return Ok(0);
    }
    let ours = |name: &str| tables.iter().any(|row| row.get::<_, &str>(0) == name);
    if !ours("schema") || !ours("tasks") || !ours("store") {
        return Err(strange());
    }
    let row = transaction.query_opt("SELECT application::text, version::bigint FROM schema", &[]).await;
    // A table of this name with other columns.
    let row =
        row.map_err(|error| if error.code().is_some() { strange() } else { error.into() })?.ok_or_else(strange)?;
    if row.get::<_, &str>(0) != APPLICATION {
        return Err(strange());
    }
    Ok(row.get(1))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::MIGRATIONS;

    /// Once a release has carried one, it is never edited.
    const FROZEN: [&str; 2] = [
        "31229cb1032a8bd26e763ee8b0a186a22433f783d4b0ef57dd3deb2bb4d030e6",
        "68a33a29558abf9a6b8208fffdd8b96579fae76e3bbab532a5b79fffd19616ed",
    ];

    #[test]
    fn released_migrations_are_not_edited() {
        assert_eq!(MIGRATIONS.len(), FROZEN.len(), "freeze the new one too");
        for (number, (migration, frozen)) in MIGRATIONS.iter().zip(FROZEN).enumerate() {
            let digest: String = Sha256::digest(migration).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, frozen, "migration {} was edited after its release", number + 1);
        }
    }
}
