//! The one hand that writes.
//!
//! Writes queue up while a commit is under way and go into the next one together: the price of a commit, a flush of
//! the disk, is shared by all who wait. Alone, a write waits for nobody.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

use super::fault::Fault;
use crate::store::StoreError;

/// Writes in one commit at most, so that the first of them does not wait long for the last.
const TOGETHER: usize = 512;

/// Writes that may wait before those who bring more are held up.
const WAITING: usize = 4 * TOGETHER;

/// Sends writes to the writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    inbox: Option<mpsc::Sender<Box<dyn Write>>>,
    bell: watch::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, path: PathBuf) -> std::io::Result<Self> {
        let (inbox, writes) = mpsc::channel(WAITING);
        let (ring, bell) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(&connection, &path, writes, &ring))?;
        Ok(Self { inbox: Some(inbox), bell, thread: Some(thread) })
    }

    /// Rings after every commit that wrote changes.
    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.bell.clone()
    }

    /// Does some work inside a transaction, and answers when it is committed. The work may be done again, after
    /// all it did was undone.
    pub(super) async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let stopped = || StoreError::Unavailable("the writer of the store has stopped; restart the server".to_owned());
        let (reply, answer) = oneshot::channel();
        let inbox = self.inbox.as_ref().ok_or_else(stopped)?;
        inbox.send(Box::new(Pending { work, done: None, reply })).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Without a sender the thread finishes what it has and ends.
        self.inbox = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            error!("the writer of the store had panicked");
        }
    }
}

/// A write that waits for its commit.
trait Write: Send {
    fn apply(&mut self, connection: &Connection) -> Result<(), Fault>;
    fn answer(self: Box<Self>, failed: Option<StoreError>);
}

struct Pending<T, W> {
    work: W,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Write for Pending<T, W>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, Fault> + Send,
{
    fn apply(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.done = Some((self.work)(connection)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let answer = match (failed, self.done) {
            (None, Some(done)) => Ok(done),
            (Some(error), _) => Err(error),
            (None, None) => Err(StoreError::Unavailable("the write was not tried".to_owned())),
        };
        // Whoever asked may have gone; what was written stays.
        let _gone = self.reply.send(answer);
    }
}

fn run(connection: &Connection, path: &Path, mut writes: mpsc::Receiver<Box<dyn Write>>, ring: &watch::Sender<()>) {
    let mut batch = Vec::with_capacity(TOGETHER);
    let mut newest = newest(connection);
    while writes.blocking_recv_many(&mut batch, TOGETHER) > 0 {
        write_all(connection, path, &mut batch);
        let now = self::newest(connection);
        if now != newest {
            newest = now;
            ring.send_replace(());
        }
    }
}

/// The last change's number: what the bell is rung for. A look at the end of a tree, beside a flush of the disk.
fn newest(connection: &Connection) -> Option<i64> {
    let mut statement = connection.prepare_cached("SELECT max(n) FROM changes").ok()?;
    statement.query_row([], |row| row.get(0)).ok()?
}

/// Where a transaction failed.
enum Failed {
    /// Before or after the work: it says nothing about any single write.
    Frame(Fault),
    /// In a write.
    Work(Fault),
}

/// Commits all of them together; if one of them fails, each by itself, so that no neighbour suffers.
fn write_all(connection: &Connection, path: &Path, batch: &mut Vec<Box<dyn Write>>) {
    match commit(connection, batch) {
        Ok(()) => batch.drain(..).for_each(|write| write.answer(None)),
        Err(Failed::Work(_)) if batch.len() > 1 => {
            for write in batch.drain(..) {
                let mut alone = vec![write];
                write_all(connection, path, &mut alone);
            }
        }
        Err(Failed::Frame(fault) | Failed::Work(fault)) => {
            let error = fault.told(path);
            warn!("{} writes undone: {error}", batch.len());
            batch.drain(..).for_each(|write| write.answer(Some(error.clone())));
        }
    }
}

fn commit(connection: &Connection, batch: &mut [Box<dyn Write>]) -> Result<(), Failed> {
    let tried = transaction(connection, batch);
    // SQLite itself has already undone some failures, a full disk for one.
    if tried.is_err()
        && !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        error!("a failed transaction could not be undone: {error}");
    }
    tried
}

fn transaction(connection: &Connection, batch: &mut [Box<dyn Write>]) -> Result<(), Failed> {
    let frame = |sql| -> Result<(), Failed> {
        let done = connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
        done.map(|_| ()).map_err(|error| Failed::Frame(error.into()))
    };
    frame("BEGIN IMMEDIATE")?;
    for write in batch {
        write.apply(connection).map_err(Failed::Work)?;
    }
    frame("COMMIT")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn pending(sql: &'static str) -> (Box<dyn Write>, oneshot::Receiver<Result<(), StoreError>>) {
        let (reply, answer) = oneshot::channel();
        let work = |connection: &Connection| Ok(connection.execute_batch(sql)?);
        (Box::new(Pending { work, done: None, reply }), answer)
    }

    fn answers(connection: &Connection, all: &[&'static str]) -> Vec<Result<(), StoreError>> {
        let (mut batch, waiting): (Vec<_>, Vec<_>) = all.iter().map(|sql| pending(sql)).unzip();
        write_all(connection, Path::new("tasks.db"), &mut batch);
        assert!(batch.is_empty() && connection.is_autocommit(), "no transaction is left open");
        waiting.into_iter().map(|mut answer| answer.try_recv().unwrap()).collect()
    }

    fn rows(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    const ONE: &str = "INSERT INTO t VALUES (1)";

    #[test]
    fn read_only_is_an_outage_that_passes() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        connection.pragma_update(None, "query_only", true).unwrap();
        for answer in answers(&connection, &[ONE, ONE]) {
            let Err(StoreError::Unavailable(sentence)) = answer else { panic!("it was written") };
            assert!(sentence.contains("`tasks.db` is read-only; make"), "{sentence}");
        }
        connection.pragma_update(None, "query_only", false).unwrap();
        assert_eq!(answers(&connection, &[ONE, ONE]), [Ok(()), Ok(())]);
        assert_eq!(rows(&connection), 2);
    }

    #[test]
    fn half_a_write_is_undone_and_its_neighbours_are_written_once() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        let half = "INSERT INTO t VALUES (2); INSERT INTO nowhere VALUES (2)";
        let answers = answers(&connection, &[ONE, half, ONE]);
        assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
        assert_eq!(rows(&connection), 2);
    }

    #[test]
    fn a_commit_that_fails_fails_for_all_and_leaves_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        // A deferred reference is looked at when the transaction commits.
        let schema = "PRAGMA foreign_keys = ON; CREATE TABLE t (n INTEGER PRIMARY KEY);
                      CREATE TABLE u (n REFERENCES t DEFERRABLE INITIALLY DEFERRED)";
        connection.execute_batch(schema).unwrap();
        let answers = answers(&connection, &[ONE, "INSERT INTO u VALUES (7)"]);
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
        assert_eq!(rows(&connection), 0);
    }
}
