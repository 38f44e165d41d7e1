//! The suite of all stores, and what only SQLite promises.

#![allow(clippy::unwrap_used)]

mod faults;
mod moving;
mod names;
mod opening;
mod pages;
mod plans;
mod unreadable;
mod upgrading;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;

use super::Sqlite;
use crate::store::conformance::{Subject, conformance};

impl Sqlite {
    /// Does to the file what no verb does.
    pub(crate) async fn interfere(&self, statements: &'static str) {
        self.writer.write(|connection| Ok(connection.execute_batch(statements)?)).await.unwrap();
    }
}

/// Stores in a folder that goes when the test ends.
struct Files {
    folder: TempDir,
    next: AtomicU32,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), next: AtomicU32::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

#[async_trait]
impl Subject for Files {
    type Store = Sqlite;

    async fn fresh(&self) -> Sqlite {
        Sqlite::open(self.path()).unwrap()
    }

    /// A kill leaves the files as they are at that moment: so they are copied while the store is open.
    async fn after_a_kill(&self, store: Sqlite) -> Sqlite {
        let from = store.readers.read(|connection| Ok(connection.path().unwrap().to_owned())).await.unwrap();
        let to = self.path();
        for part in ["", "-wal", "-shm"] {
            std::fs::copy(format!("{from}{part}"), format!("{}{part}", to.display())).unwrap();
        }
        Sqlite::open(to).unwrap()
    }
}

conformance!(Files::new());
