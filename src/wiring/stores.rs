//! The stores without a server: moved and copied.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{self, Config};
use crate::store::StoreError;
use crate::store::postgres::Settings;
use crate::store::postgres::transfer::{PostgresSide, Serving};
use crate::store::sqlite::backup;
use crate::store::sqlite::transfer::SqliteSide;
use crate::store::transfer::{Names, Source, Target, copy};

pub use crate::store::transfer::Moved;

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Database(Settings),
}

impl Place {
    /// Reads where a store is: a path, a URL, `env:NAME` or `file:PATH` of what holds the URL. The error is a sentence.
    pub fn parse(text: &str, config: &config::Store) -> Result<Self, String> {
        let url = |text: &str| Self::url(text.trim(), config);
        if let Some(name) = text.strip_prefix("env:") {
            let held = std::env::var(name).map_err(|_| format!("the variable `{name}` is not set"))?;
            return url(&held).ok_or_else(|| format!("the variable `{name}` holds no `postgresql://…`"));
        }
        if let Some(file) = text.strip_prefix("file:") {
            let held = std::fs::read_to_string(file).map_err(|error| format!("cannot read `{file}`: {error}"))?;
            return url(&held).ok_or_else(|| format!("`{file}` holds no `postgresql://…`"));
        }
        match url(text) {
            Some(place) => Ok(place),
            None if text.is_empty() || text.contains("://") => {
                Err("name a file, `postgresql://…`, env:NAME or file:PATH".to_owned())
            }
            None => Ok(Self::File(PathBuf::from(text))),
        }
    }

    /// The store of a configuration.
    pub fn of(config: &Config) -> Result<Self, String> {
        let held = config.store.database()?;
        let database = held.and_then(|held| Self::url(held.expose(), &config.store));
        Ok(database.unwrap_or_else(|| Self::File(config.store.below(&config.server.data_dir))))
    }

    fn url(text: &str, config: &config::Store) -> Option<Self> {
        let is_url = text.starts_with("postgresql://") || text.starts_with("postgres://");
        is_url.then(|| {
            Self::Database(Settings {
                url: text.to_owned(),
                ca: config.ca_file.clone(),
                connections: config.connections as usize,
                connect_timeout: Duration::from_millis(config.connect_timeout_ms),
                // Who asks waits for the answer.
                start_timeout: Duration::ZERO,
            })
        })
    }
}

/// Moves a store to an empty one; `replica` is the name that its server has where several share one. `told` hears of
/// which table how many rows are written.
pub async fn migrate(
    from: &Place,
    to: &Place,
    replica: Option<String>,
    config: &Config,
    told: impl FnMut(&'static str, u64),
) -> Result<Vec<Moved>, StoreError> {
    let names = match (from, to) {
        (Place::File(_), Place::Database(_)) => {
            let (local, others) = backends(config);
            Names::ToShared { replica, local, others }
        }
        (Place::Database(_), Place::File(_)) => Names::ToOwn { replica },
        (Place::File(_), Place::File(_)) | (Place::Database(_), Place::Database(_)) => Names::Same,
    };
    let mut source: Box<dyn Source> = match from {
        Place::File(path) => Box::new(SqliteSide::source(path)?),
        Place::Database(settings) => Box::new(PostgresSide::source(settings, Serving::Stopped).await?),
    };
    let target: Box<dyn Target> = match to {
        Place::File(path) => Box::new(SqliteSide::target(path)?),
        Place::Database(settings) => Box::new(PostgresSide::target(settings).await?),
    };
    copy(&mut *source, target, &names, told).await
}

/// Writes a copy of a store into a new SQLite file, while servers use it. `told` hears how much of what is written.
pub async fn backup(from: &Place, to: &Path, mut told: impl FnMut(&str, u64)) -> Result<(), StoreError> {
    let settings = match from {
        Place::File(path) => return backup::backup(path, to, |done, of| told(&format!("pages of {of}"), done)),
        Place::Database(settings) => settings,
    };
    let part = backup::part(to)?;
    let done = copied(settings, &part, told).await.and_then(|()| backup::settle(&part, to));
    if done.is_err() {
        // What failed says why.
        let _ = backup::discard(&part);
    }
    done
}

async fn copied(from: &Settings, part: &Path, told: impl FnMut(&'static str, u64)) -> Result<(), StoreError> {
    let mut source = PostgresSide::source(from, Serving::Goes).await?;
    let target = Box::new(SqliteSide::target(part)?);
    // Who goes back from it goes back to what it was.
    copy(&mut source, target, &Names::Same, told).await.map(drop)
}

/// The backends that are their machine's own, and the others.
fn backends(config: &Config) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut local, mut others) = (BTreeSet::new(), BTreeSet::new());
    for (name, backend) in &config.backends.0 {
        if super::backends::is_local(backend) { &mut local } else { &mut others }.insert(name.clone());
    }
    (local, others)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_place_is_a_file_or_a_url_that_may_lie_elsewhere() {
        let parse = |text: &str| Place::parse(text, &config::Store::default());
        assert!(matches!(parse("data/tessera.db").unwrap(), Place::File(path) if path == Path::new("data/tessera.db")));
        assert!(matches!(parse("postgres://u@h/d").unwrap(), Place::Database(_)));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("url");
        std::fs::write(&file, "postgresql://u:secret@h/d\n").unwrap();
        let Place::Database(settings) = parse(&format!("file:{}", file.display())).unwrap() else { panic!() };
        assert_eq!(settings.url, "postgresql://u:secret@h/d");
        std::fs::write(&file, "secret\n").unwrap();
        for wrong in ["", "mysql://h/d", "env:NO_SUCH_VARIABLE", "file:/no/such", &format!("file:{}", file.display())] {
            let said = parse(wrong).unwrap_err();
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn what_is_not_said_is_the_configurations() {
        let mut config = Config::default();
        assert!(matches!(Place::of(&config).unwrap(), Place::File(path) if path.ends_with("tessera.db")));
        config.store.url = config::Secret::new("postgres://u:secret@h/d");
        assert!(matches!(Place::of(&config).unwrap(), Place::Database(settings) if settings.url.ends_with("@h/d")));
    }
}
