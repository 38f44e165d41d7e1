//! A copy of a file while its server works.
//!
//! One look at one moment is held while the pages are copied: the server goes on writing into its log, which is copied
//! into its file, and shortened, after the copy is made.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::fault::Fault;
use super::migrations::known;
use super::open::{cannot_open, connect, make};
use crate::store::StoreError;

/// How long is waited for a program that holds the file.
const BUSY: Duration = Duration::from_secs(5);

/// Pages between two words about how far it is: 16 MiB.
const PAGES: i32 = 4_096;

/// Writes a copy of a store as it is at one moment. `to` is whole and sound when this returns, and not there when it
/// fails. `told` hears how many pages of how many are written.
pub fn backup(from: &Path, to: &Path, told: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    if !from.is_file() {
        let from = from.display();
        return Err(StoreError::Unavailable(format!("there is no database `{from}`; name another file")));
    }
    anew(to, |part| {
        make(part).map_err(|error| cannot_open(part, &error))?;
        let source = connect(from, BUSY).and_then(open).map_err(|fault| fault.told(from))?;
        copied(&source, part, told).map_err(|fault| fault.told(part))
    })
}

/// Makes a file: under another name until it is whole, so that nobody takes half of it for all.
pub fn anew<T>(to: &Path, write: impl FnOnce(&Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let part = part(to)?;
    let done = write(&part).and_then(|done| settle(&part, to).map(|()| done));
    if done.is_err() {
        // What failed says why.
        let _ = discard(&part);
    }
    done
}

/// Removes what is left of a file that was not finished.
pub fn discard(part: &Path) -> Result<(), StoreError> {
    for end in ["", "-journal", "-wal", "-shm", ".lock"] {
        let mut name = part.as_os_str().to_owned();
        name.push(end);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(cannot_open(part, &error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Where a file is written before it is whole. What a killed one has left there is removed.
pub fn part(to: &Path) -> Result<std::path::PathBuf, StoreError> {
    if to.exists() {
        return Err(StoreError::Unavailable(format!("`{}` is there already; name another file", to.display())));
    }
    let mut part = to.as_os_str().to_owned();
    part.push(".part");
    let part = std::path::PathBuf::from(part);
    discard(&part)?;
    Ok(part)
}

/// Gives a file that is whole its name, durably.
pub fn settle(part: &Path, to: &Path) -> Result<(), StoreError> {
    let settled = File::open(part).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(part, to));
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    settled.and_then(|()| File::open(folder)?.sync_all()).map_err(|error| cannot_open(to, &error))?;
    let mut lock = part.as_os_str().to_owned();
    lock.push(".lock");
    let _ = std::fs::remove_file(lock);
    Ok(())
}

/// One look at one moment.
fn open(connection: Connection) -> Result<Connection, Fault> {
    known(&connection)?;
    connection.execute_batch("PRAGMA query_only = ON; BEGIN")?;
    connection.query_row("SELECT count(*) FROM store", [], |_| Ok(()))?;
    Ok(connection)
}

fn copied(source: &Connection, part: &Path, mut told: impl FnMut(u64, u64)) -> Result<(), Fault> {
    let mut target = connect(part, BUSY)?;
    {
        let backup = Backup::new(source, &mut target)?;
        loop {
            let step = backup.step(PAGES)?;
            let progress = backup.progress();
            let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
            told(count(progress.pagecount - progress.remaining), count(progress.pagecount));
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                // Another program has the file in its hands; it has a moment. `_`: the type may grow.
                StepResult::Busy | StepResult::Locked | _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
    // One file, without a log beside it.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    let found: String = target.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(Fault::Unreadable(format!("the copy is damaged, and so may the original be: {found}")));
    }
    Ok(())
}
