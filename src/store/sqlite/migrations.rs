//! From an empty file, or that of an earlier release, to the tables this build works on.
//!
//! A migration that was released is frozen: the next change is the next number.

use rusqlite::{Connection, TransactionBehavior};

use super::fault::Fault;

/// Says in the file's header whose file it is: `TESS`.
const APPLICATION: i32 = 0x5445_5353;

/// The version this build works on.
const KNOWN: u32 = 5;

/// In order; the first brings a file to version 1.
const MIGRATIONS: [&str; KNOWN as usize] = [
    include_str!("migrations/0001_tasks.sql"),
    include_str!("migrations/0002_feed.sql"),
    include_str!("migrations/0003_replicas.sql"),
    include_str!("migrations/0004_retention.sql"),
    include_str!("migrations/0005_names.sql"),
];

/// The version of a file that this build can read, or why it cannot; 0 when it is empty.
pub(super) fn known(connection: &Connection) -> Result<u32, Fault> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || version != 0 || tables != 0) {
        return Err(Fault::Unreadable("this is the database of another program; name another file".to_owned()));
    }
    if version > KNOWN {
        return Err(Fault::Unreadable(format!(
            "it was written by a newer build (its version is {version}, this build knows {KNOWN}); start that build"
        )));
    }
    Ok(version)
}

/// Applies what is missing, all or nothing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = known(&transaction)?;
    if version == KNOWN {
        return Ok(());
    }
    for migration in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use sha2::{Digest, Sha256};

    use super::*;

    /// The released migrations. A line is added with each, and none is ever changed.
    const FROZEN: [&str; KNOWN as usize] = [
        "ac0099d4960ad8f25c28fdebfbea7f54c06e8b73dd42aa9aad5eff74cf0a55fc",
        "5237012277fc28b84f69e1a909a929f550ff37c8ca00f02d633263663d252d93",
        "2578b506bc32b5ec3700167ff9676db55256e40010701779b86667acbd3902c6",
        "66965d9b3a46e2102d949a4f105c811c83838161a8492e34ca8a6e56ae2e1df3",
        "3defb99fd529e61ceb3188af5e8a118fced807ca3b7be31a35628c08260ca9da",
    ];

    #[test]
    fn released_migrations_are_frozen() {
        for (number, (migration, frozen)) in MIGRATIONS.iter().zip(FROZEN).enumerate() {
            let digest: String = Sha256::digest(migration).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(digest, frozen, "migration {} was edited after its release", number + 1);
        }
    }

    #[test]
    fn a_database_is_brought_up_from_every_earlier_version() {
        for version in 0..KNOWN {
            let mut connection = Connection::open_in_memory().unwrap();
            for migration in MIGRATIONS.iter().take(version as usize) {
                connection.execute_batch(migration).unwrap();
            }
            if version > 0 {
                connection.pragma_update(None, "application_id", APPLICATION).unwrap();
            }
            connection.pragma_update(None, "user_version", version).unwrap();
            migrate(&mut connection).unwrap();
            migrate(&mut connection).unwrap();
            let reached: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(reached, KNOWN);
        }
    }

    #[test]
    fn a_newer_database_and_a_strange_one_are_refused_untouched() {
        let mut newer = Connection::open_in_memory().unwrap();
        migrate(&mut newer).unwrap();
        newer.pragma_update(None, "user_version", KNOWN + 1).unwrap();
        let error = migrate(&mut newer).unwrap_err().to_string();
        assert!(error.contains("newer build"), "{error}");

        let mut strange = Connection::open_in_memory().unwrap();
        strange.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
        let error = migrate(&mut strange).unwrap_err().to_string();
        assert!(error.contains("another program"), "{error}");
        let tables: i64 = strange.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }
}
