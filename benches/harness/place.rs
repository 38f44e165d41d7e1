//! Which store is measured, and how it is filled.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tessera::store::Store;
use tessera::store::postgres::Postgres;
use tessera::store::sqlite::Sqlite;

use super::database::Database;
use super::rows::{self, Filling};

/// Nothing answers there: tasks are stored and wait, and no engine competes for the disk.
const NOBODY: &str = "[backends.docker]\nkind = \"docker\"\nhost = \"unix:///nonexistent/docker.sock\"\n";

/// Which kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of the server's data folder.
    Sqlite,
    /// A database of the server that `TESSERA_TEST_POSTGRES` names.
    Postgres,
}

impl Kind {
    /// The kind that `--store KIND` names among the program's words, SQLite if it names none; and the other words.
    pub fn of_words() -> Result<(Self, Vec<String>)> {
        let mut words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let Some(at) = words.iter().position(|word| word == "--store") else { return Ok((Self::Sqlite, words)) };
        let kind = match words.get(at + 1).map(String::as_str) {
            Some("sqlite") => Self::Sqlite,
            Some("postgres") => Self::Postgres,
            other => bail!("--store takes `sqlite` or `postgres`, not {other:?}"),
        };
        words.drain(at..=at + 1);
        Ok((kind, words))
    }

    /// An empty store of this kind.
    pub fn place(self) -> Result<Place> {
        let of = match self {
            Self::Sqlite => Of::Sqlite,
            Self::Postgres => Of::Postgres(Database::create()?),
        };
        Ok(Place { folder: tempfile::tempdir()?, of })
    }
}

/// One store, with the data folder of its server; gone when dropped.
pub struct Place {
    folder: TempDir,
    of: Of,
}

enum Of {
    Sqlite,
    Postgres(Database),
}

impl Place {
    /// Where the server's folder is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database, when it is one.
    pub fn database(&self) -> Option<&Database> {
        match &self.of {
            Of::Sqlite => None,
            Of::Postgres(database) => Some(database),
        }
    }

    /// The file, when it is one.
    pub fn file(&self) -> std::path::PathBuf {
        self.folder().join("data").join("tessera.db")
    }

    /// Settings of a server whose tasks go nowhere.
    pub fn settings(&self) -> String {
        match &self.of {
            Of::Sqlite => NOBODY.to_owned(),
            Of::Postgres(database) => format!("[store]\nurl = \"{}\"\n{NOBODY}", database.url),
        }
    }

    /// Settings of a server whose tasks go to the scripted backend; those that ask for `docker` wait.
    pub fn running(&self) -> String {
        let scripted = "[backends.scripted]\nkind = \"scripted\"\nin_memory = true\n";
        format!("[engine]\ndefault_backend = \"scripted\"\n{scripted}{}", self.settings())
    }

    /// The store itself, opened here.
    pub async fn store(&self) -> Result<Arc<dyn Store>> {
        Ok(match &self.of {
            Of::Sqlite => {
                let file = self.file();
                std::fs::create_dir_all(file.parent().context("a folder")?)?;
                Arc::new(Sqlite::open(&file)?)
            }
            Of::Postgres(database) => Arc::new(Postgres::open(&database.settings()).await?),
        })
    }

    /// How much a store takes of the disk that no server is using; of a database, what it has grown by.
    pub fn stored_bytes(&self) -> Result<u64> {
        match &self.of {
            Of::Sqlite => Ok(std::fs::metadata(self.file())?.len()),
            Of::Postgres(database) => database.bytes(),
        }
    }

    /// Rows of a table.
    pub fn count(&self, table: &str) -> Result<f64> {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = match &self.of {
            Of::Sqlite => rusqlite::Connection::open(self.file())?.query_row(&sql, [], |row| row.get(0))?,
            Of::Postgres(database) => database.number(&sql)?,
        };
        Ok(rows as f64)
    }

    /// Fills it with tasks that have ended; their ids. No server runs yet.
    pub fn fill(&self, tasks: u64, filling: Filling) -> Result<Vec<String>> {
        match &self.of {
            Of::Sqlite => rows::into_sqlite(&self.file(), tasks, filling),
            Of::Postgres(database) => database.fill(tasks, filling),
        }
    }
}
