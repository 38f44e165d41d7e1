//! A URL's storage, opened once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::{STALLED_AFTER, host_and_port};
use super::drs::Drs;
use super::ftp::Ftp;
use super::guard::Guard;
use super::location::{Login, Remote, Scheme};
use super::moved::Moved;
use super::s3::Bucket;
use super::secret::Secret;
use super::settings::{Rule, Storage};
use super::sftp::Sftp;
use super::store::Store;
use super::trouble::{Patience, Trouble};
use super::web::Web;
use super::webdav::Webdav;
use super::{azblob, gcs};

/// All storages of one job, or of one command of the command line.
pub struct Storages {
    settings: Storage,
    guard: Guard,
    patience: Patience,
    stalled_after: Duration,
    opened: Mutex<HashMap<Id, Arc<dyn Store>>>,
    moved: Arc<Moved>,
}

impl fmt::Debug for Storages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storages").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What is the same for all keys of one store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Id {
    rule: Option<String>,
    scheme: Scheme,
    authority: String,
    login: Option<Login>,
    /// Where a signature in the query opens a whole container.
    query: Option<Secret>,
}

/// What a store is opened with.
pub(super) struct Opening<'a> {
    pub(super) remote: &'a Remote,
    /// The most specific rule, or an empty one.
    pub(super) rule: Rule,
    pub(super) guard: Guard,
    /// All settings, for what leads to other storages.
    pub(super) settings: &'a Storage,
    /// The value of an `Authorization` header that came with the address.
    pub(super) authorization: Option<&'a Secret>,
    /// For writing.
    pub(super) patience: Patience,
    pub(super) stalled_after: Duration,
}

impl Storages {
    /// Nothing is connected to yet. `patience` is for writing; who reads brings their own.
    pub fn new(settings: &Storage, patience: Patience) -> Self {
        Self {
            guard: Guard::with_exceptions(exceptions(settings)).with_settings(settings),
            settings: settings.clone(),
            patience,
            stalled_after: STALLED_AFTER,
            opened: Mutex::default(),
            moved: Arc::default(),
        }
    }

    /// What is brought in or delivered with them is counted here, for people.
    #[must_use]
    pub fn counted_in(self, moved: Arc<Moved>) -> Self {
        Self { moved, ..self }
    }

    /// Where it is counted.
    pub(crate) fn moved(&self) -> &Arc<Moved> {
        &self.moved
    }

    /// Another bound for how long nothing may arrive; the default is a minute.
    #[must_use]
    pub fn stalled_after(self, stalled_after: Duration) -> Self {
        Self { stalled_after, ..self }
    }

    /// Refuses what lies outside the lists of what may be used.
    pub fn refuse(&self, remote: &Remote) -> Result<(), Trouble> {
        self.settings.refusal(remote).map_or(Ok(()), |refusal| Err(Trouble::rejected(refusal)))
    }

    /// Puts a store where another would be opened.
    #[cfg(test)]
    pub(crate) fn put(&self, remote: &Remote, store: Arc<dyn Store>) {
        let id = self.id(remote);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(id, store);
    }

    fn id(&self, remote: &Remote) -> Id {
        Id {
            rule: self.settings.rule(&remote.canonical()).map(|rule| rule.prefix.clone()),
            scheme: remote.scheme,
            authority: remote.authority.clone(),
            login: remote.login.clone(),
            query: remote.query.clone().filter(|_| remote.scheme == Scheme::Azblob),
        }
    }

    /// The storage of a place, and the place's key in it. Refuses what lies outside the lists of what may be used.
    pub fn open(&self, remote: &Remote) -> Result<(Arc<dyn Store>, String), Trouble> {
        self.open_with(remote, None)
    }

    /// The same for an address that came with an `Authorization` header. Such a store is the caller's alone.
    pub(super) fn open_with(
        &self,
        remote: &Remote,
        authorization: Option<&Secret>,
    ) -> Result<(Arc<dyn Store>, String), Trouble> {
        self.refuse(remote)?;
        let rule = self.settings.rule(&remote.canonical());
        let id = self.id(remote);
        let opening = Opening {
            remote,
            rule: rule.cloned().unwrap_or_default(),
            guard: self.guard.clone().speaking(remote.scheme),
            settings: &self.settings,
            authorization,
            patience: self.patience,
            stalled_after: self.stalled_after,
        };
        if authorization.is_some() {
            return Ok((make(&opening)?, key(remote)));
        }
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let store = match opened.get(&id) {
            Some(store) => Arc::clone(store),
            None => {
                let store = make(&opening)?;
                opened.insert(id, Arc::clone(&store));
                store
            }
        };
        Ok((store, key(remote)))
    }
}

/// The name of a place within its store.
fn key(remote: &Remote) -> String {
    match (remote.scheme, &remote.query) {
        (Scheme::Http | Scheme::Https, Some(query)) => format!("{}?{}", remote.key, query.expose()),
        _ => remote.key.clone(),
    }
}

fn make(opening: &Opening<'_>) -> Result<Arc<dyn Store>, Trouble> {
    let remote = opening.remote;
    match remote.scheme {
        Scheme::Http | Scheme::Https => {
            let base = format!("{}://{}", remote.scheme.name(), remote.authority);
            let (login, rule) = (remote.login.clone(), opening.rule.clone());
            let web = Web::new(base, login, rule, &opening.guard, opening.stalled_after, opening.patience)?;
            let web = match opening.authorization {
                Some(authorization) => web.authorized(authorization)?,
                None => web,
            };
            Ok(Arc::new(web))
        }
        Scheme::S3 => Ok(Arc::new(Bucket::open(opening)?)),
        Scheme::Gs => Ok(Arc::new(gcs::Bucket::open(opening)?)),
        Scheme::Azblob => Ok(Arc::new(azblob::Container::open(opening)?)),
        Scheme::Ftp | Scheme::Ftps => Ok(Arc::new(Ftp::new(opening)?)),
        Scheme::Sftp => Ok(Arc::new(Sftp::new(opening)?)),
        Scheme::Webdav | Scheme::Webdavs => Ok(Arc::new(Webdav::new(opening)?)),
        Scheme::Drs => {
            let places = Storages::new(opening.settings, opening.patience).stalled_after(opening.stalled_after);
            Ok(Arc::new(Drs::new(opening, places)?))
        }
    }
}

/// The hosts that an operator has named.
fn exceptions(settings: &Storage) -> Vec<(String, u16)> {
    let mut exempt = Vec::new();
    for rule in &settings.rules {
        exempt.extend(rule.endpoint.as_deref().and_then(host_and_port));
        if rule.internal {
            exempt.extend(prefix_host(&rule.prefix));
        }
    }
    exempt
}

/// The host and port of a rule's prefix.
fn prefix_host(prefix: &str) -> Option<(String, u16)> {
    let (scheme, rest) = prefix.split_once("://")?;
    let authority = rest.split('/').next()?.trim_end_matches('*');
    let default = match scheme {
        "http" | "webdav" => 80,
        "https" | "webdavs" | "drs" => 443,
        "ftp" => 21,
        "ftps" => 21,
        "sftp" => 22,
        _ => return None,
    };
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host.to_owned(), port.parse().ok()?))
        }
        _ if authority.is_empty() => None,
        _ => Some((authority.to_owned(), default)),
    }
}
