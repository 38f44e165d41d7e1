//! From a path to a store.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tessera_contract::InstallationId;

use super::Sqlite;
use super::fault::Fault;
use super::migrations::migrate;
use super::readers::Readers;
use super::writer::Writer;
use crate::store::StoreError;

/// How long a write waits for a program that holds the file, before it is refused: callers want an answer within
/// seconds (TES contract 6.6).
const BUSY: Duration = Duration::from_secs(1);

/// Threads that read. Reads are short; two keep a long one from holding up all others.
const READERS: usize = 2;

/// Pages in the write-ahead log before it is copied into the database. Rows of running tasks change several times:
/// the larger the log, the more of their versions are never copied. 8,000 pages are 32 MB at most.
const LOG_PAGES: i64 = 8_000;

/// Each connection's page cache in KiB, filled only when it is needed. It holds the inner pages of all trees of a million
/// tasks: with SQLite's 2,000 a listing of several filters reads most of them again at each step.
const CACHE_KIB: i64 = 16_000;

/// Statements kept prepared on each connection; more than there are.
const STATEMENTS: usize = 64;

impl Sqlite {
    /// Opens the store in a file, and makes it if there is none. Claims of former holders expire: while the lock
    /// is ours, nobody else can be at work.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_waiting(path.as_ref(), BUSY)
    }

    /// Opens the store, with another patience for programs that hold the file.
    pub(super) fn open_waiting(path: &Path, busy: Duration) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        make(path).map_err(|error| cannot_open(path, &error))?;
        let told = |fault: Fault| fault.told(path);
        let mut writing = connect(path, busy).map_err(told)?;
        prepare_to_write(&mut writing).map_err(told)?;
        let installation = installation(&writing).map_err(told)?;
        let reading: Result<Vec<_>, Fault> = (0..READERS).map(|_| prepare_to_read(path, busy)).collect();
        let readers = Readers::start(reading.map_err(told)?, path).map_err(|error| cannot_open(path, &error))?;
        let writer = Writer::start(writing, path.to_path_buf()).map_err(|error| cannot_open(path, &error))?;
        Ok(Self { writer, readers, installation, _lock: lock })
    }
}

pub(super) fn cannot_open(path: &Path, error: &std::io::Error) -> StoreError {
    let path = path.display();
    StoreError::Unavailable(format!(
        "cannot open the database `{path}`: {error}; check that its folder exists and is writable for the server"
    ))
}

/// A lock of the system and not of SQLite: it covers the time between transactions, and dies with its holder.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = OsString::from(path);
    name.push(".lock");
    let name = PathBuf::from(name);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name);
    let file = opened.map_err(|error| cannot_open(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "another server uses the database `{}`; stop it, or name another data folder",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(StoreError::Unavailable(format!(
            "cannot lock `{}`: {error}; use a file system that has locks",
            name.display()
        ))),
    }
}

/// Tasks hold what users would not show: the file is the server's alone. SQLite gives its companions the same rights.
pub(super) fn make(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

pub(super) fn connect(path: &Path, busy: Duration) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(busy)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

fn prepare_to_write(connection: &mut Connection) -> Result<(), Fault> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Unreadable(format!("its journal cannot be a write-ahead log, it stays `{mode}`")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", 2 * LOG_PAGES * 4096)?;
    migrate(connection)?;
    connection.execute("UPDATE tasks SET until = 0 WHERE stage IN (1, 2, 3) AND until > 0", [])?;
    Ok(())
}

fn prepare_to_read(path: &Path, busy: Duration) -> Result<Connection, Fault> {
    let connection = connect(path, busy)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn installation(connection: &Connection) -> Result<InstallationId, Fault> {
    let random = ulid::Ulid::generate().random() & u128::from(u64::MAX);
    connection.execute(
        "INSERT INTO store (one, installation) VALUES (1, ?1) ON CONFLICT DO NOTHING",
        [format!("{random:016x}")],
    )?;
    Ok(InstallationId(connection.query_row("SELECT installation FROM store", [], |row| row.get(0))?))
}
