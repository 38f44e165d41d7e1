//! The threads that read. They see what is committed and never wait for the writer.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::fault::Fault;
use crate::store::StoreError;

type Read = Box<dyn FnOnce(&Connection, &Path) + Send>;

/// Sends reads to the readers' threads.
#[derive(Debug)]
pub(super) struct Readers {
    inbox: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub(super) fn start(connections: Vec<Connection>, path: &Path) -> std::io::Result<Self> {
        let (inbox, reads) = mpsc::channel();
        let reads = Arc::new(Mutex::new(reads));
        let mut threads = Vec::new();
        for connection in connections {
            let (reads, path) = (Arc::clone(&reads), path.to_path_buf());
            let thread = std::thread::Builder::new().name("store-reader".to_owned());
            threads.push(thread.spawn(move || run(connection, &path, &reads))?);
        }
        Ok(Self { inbox: Some(inbox), threads })
    }

    /// Reads within one snapshot of the database.
    pub(super) async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        let stopped =
            || StoreError::Unavailable("the readers of the store have stopped; restart the server".to_owned());
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |connection, path| {
            let _gone = reply.send(snapshot(connection, read).map_err(|fault| fault.told(path)));
        });
        self.inbox.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.inbox = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader of the store had panicked");
            }
        }
    }
}

fn run(connection: Connection, path: &Path, reads: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        // One waits for the next read, the others wait for that one's place.
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        read(&connection, path);
    }
}

/// Reads within one transaction, whose words are prepared once: preparing them would cost as much as a short read.
fn snapshot<T>(connection: &Connection, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
    connection.prepare_cached("BEGIN")?.execute([])?;
    let told = read(connection);
    // It has written nothing: either word ends it, and this one never fails for what was read.
    connection.prepare_cached("ROLLBACK")?.execute([])?;
    told
}
