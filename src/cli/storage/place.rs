//! A URL, and the storage behind it.

use std::sync::Arc;

use tessera_runtime::storage::location::{Location, Remote, redacted};
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Object, Page, Store};
use tessera_runtime::storage::trouble::{Patience, Trouble, Why};

use crate::cli::failure::Failure;
use crate::cli::settings::ConfigFlags;

/// A place in a storage.
pub struct Place {
    /// As it may be shown.
    pub shown: String,
    /// What the URL means.
    pub remote: Remote,
    /// What stands there is reached with this.
    pub store: Arc<dyn Store>,
    /// Its name in the store.
    pub key: String,
}

impl Place {
    /// Reads a URL and opens its storage; nothing is asked of it yet.
    pub fn open(url: &str, config: &ConfigFlags) -> Result<(Storages, Self), Failure> {
        let config = config.read(Vec::new())?;
        let settings = config.storage.reached().map_err(Failure::usage)?;
        let remote = match Location::parse(url).map_err(|trouble| Failure::usage(trouble.message))? {
            Location::Remote(remote) => remote,
            Location::Host(_) => {
                return Err(Failure::usage(format!(
                    "`{}` is a file of this machine; write the URL of a storage",
                    redacted(url)
                )));
            }
        };
        let storages = Storages::new(&settings, Patience::UPLOAD);
        let place = Self::of(&storages, remote)?;
        Ok((storages, place))
    }

    /// A place in one of these storages.
    pub fn of(storages: &Storages, remote: Remote) -> Result<Self, Failure> {
        let (store, key) = storages.open(&remote)?;
        Ok(Self { shown: remote.canonical(), remote, store, key })
    }

    /// What stands exactly there.
    pub async fn stat(&self) -> Result<Option<Object>, Trouble> {
        Patience::DOWNLOAD.retry(|| self.store.stat(&self.key)).await
    }

    /// One page of what lies below it; a directory that does not exist holds nothing.
    pub async fn page(&self, page: Option<&str>) -> Result<Page, Trouble> {
        match Patience::DOWNLOAD.retry(|| self.store.list(&self.key, page)).await {
            Err(trouble) if trouble.why == Why::Absent => Ok(Page::default()),
            other => other,
        }
    }

    /// That nothing stands there.
    pub fn absent(&self) -> Failure {
        Trouble::absent(format!("there is nothing at `{}`", self.shown)).into()
    }
}
