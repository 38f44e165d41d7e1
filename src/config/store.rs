//! `[store]`: where tasks are remembered.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::secret::Secret;

/// The SQLite file, if no other is named.
const FILE: &str = "tessera.db";

/// `[store]`: a file of one server, or a database of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file, below `server.data_dir`; on a local disk, never on a network share. Default `tessera.db`.
    pub path: PathBuf,
    /// Instead of a file, a PostgreSQL database (13 or newer, encoding UTF8), which several servers may share:
    /// `postgresql://user:password@host:5432/database?sslmode=verify-full`. Default none.
    pub url: Secret,
    /// A file that holds the URL. Default none.
    pub url_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that vouch for the database, instead of the public ones. Default none.
    pub ca_file: Option<PathBuf>,
    /// Connections to the database at once, all together; at least 3: one writes, one listens, the others read. Default 8.
    pub connections: u32,
    /// How long making a connection may take, milliseconds. Default 5,000.
    pub connect_timeout_ms: u64,
    /// How long a start waits for a database that does not answer yet, milliseconds. Default 30,000.
    pub start_timeout_ms: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from(FILE),
            url: Secret::default(),
            url_file: None,
            ca_file: None,
            connections: 8,
            connect_timeout_ms: 5_000,
            start_timeout_ms: 30_000,
        }
    }
}

impl Store {
    /// Where the file lies.
    pub fn below(&self, data_dir: &Path) -> PathBuf {
        data_dir.join(&self.path)
    }

    /// The database's URL; `None` when tasks are remembered in a file. The error is a sentence.
    pub fn database(&self) -> Result<Option<Secret>, String> {
        if self.url.is_empty() && self.url_file.is_none() {
            return Ok(None);
        }
        Secret::resolve(&self.url, self.url_file.as_deref()).map(Some)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        // Below the data folder, because that is what tasks are kept out of.
        let below = self.path.components().all(|part| matches!(part, Component::Normal(_)));
        if self.path.file_name().is_none() || !below {
            problems.add("store.path", format!("`{}` names no file below server.data_dir", self.path.display()));
        }
        let key = if self.url_file.is_some() { "store.url_file" } else { "store.url" };
        match self.database() {
            Ok(None) if self.ca_file.is_some() => {
                problems.add("store.ca_file", "is for a database; give `store.url` too");
            }
            Ok(None) => {}
            Ok(Some(url)) => {
                let is_one = ["postgres://", "postgresql://"].iter().any(|scheme| url.expose().starts_with(scheme));
                if !is_one {
                    problems.add(key, "must be like `postgresql://user:password@host:5432/database`");
                }
                if self.path != Path::new(FILE) {
                    problems.add("store.path", "names a file while `store.url` names a database; keep one of them");
                }
            }
            Err(sentence) => problems.add(key, sentence),
        }
        if let Some(path) = &self.ca_file
            && let Err(error) = std::fs::metadata(path)
        {
            problems.add("store.ca_file", format!("cannot read `{}`: {error}", path.display()));
        }
        if !(3..=1_000).contains(&self.connections) {
            problems.add("store.connections", format!("{} is not between 3 and 1000", self.connections));
        }
        for (key, ms) in
            [("store.connect_timeout_ms", self.connect_timeout_ms), ("store.start_timeout_ms", self.start_timeout_ms)]
        {
            if ms == 0 && key == "store.connect_timeout_ms" || ms > 3_600_000 {
                problems.add(key, format!("{ms} is no time that can be waited; give milliseconds, an hour at most"));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{assert_names, parsed};

    #[test]
    fn a_database_is_named_by_a_url_or_by_a_file_that_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgresql://ann:s3cret@db/tessera\n").unwrap();
        let text = format!("[store]\nurl_file = '{}'", file.display());
        let store = parsed(&text).unwrap().store;
        assert_eq!(store.database().unwrap().unwrap().expose(), "postgresql://ann:s3cret@db/tessera");
        let store = parsed("[store]\nurl = 'postgres://ann:s3cret@a,b/tessera?sslmode=require'").unwrap().store;
        assert!(!format!("{store:?}").contains("s3cret"));
        assert!(!serde_json::to_string(&store).unwrap().contains("s3cret"));
        assert_eq!(parsed("").unwrap().store.database(), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_names("[store]\nurl = 'mysql://db/x'", &[], &["2|store.url|must be like `postgresql://"]);
        assert_names("[store]\nurl_file = '/nowhere'", &[], &["2|store.url_file|cannot read the secret"]);
        let both = "[store]\nurl = 'postgres://a@b/c'\npath = 'mine.db'\nconnections = 2\nconnect_timeout_ms = 0";
        assert_names(
            both,
            &[],
            &["3|store.path|names a file", "4|store.connections|2 is", "5|store.connect_timeout_ms|0"],
        );
        assert_names("[store]\nca_file = '/nowhere'", &[], &["2|store.ca_file|is for a database"]);
        assert_names("[store]\nurl = 5432", &[], &["2|store.url|must be a text in quotes"]);
    }
}
