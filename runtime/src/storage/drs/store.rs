//! The storage: it looks up and lets others read.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream;
use futures::{StreamExt, TryStreamExt};

use super::super::source::Source;
use super::super::storages::{Opening, Storages};
use super::super::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use super::super::tree::{Walk, below, on_the_way};
use super::super::trouble::{Trouble, Why};
use super::super::web::Web;
use super::resolve::{HOLDS_FOR, Place};
use crate::report::FaultClass;

/// Objects of a bundle that are asked about at once.
const AT_ONCE: usize = 8;
/// Answers that are remembered; …
const REMEMBERED: usize = 4096;
/// … those with longer names are not.
const REMEMBERED_BYTES: usize = 4096;

/// One service.
pub(in super::super) struct Drs {
    pub(super) web: Web,
    /// Host and port of the identifiers.
    pub(super) authority: String,
    /// The endpoint names the API itself.
    pub(super) has_api: bool,
    /// Opens what objects lead to.
    pub(super) places: Storages,
    /// Ids of what was listed, by key.
    pub(super) names: Remembered<String>,
    known: Remembered<(Place, Object)>,
}

impl fmt::Debug for Drs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drs").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// A few answers, by key.
pub(super) struct Remembered<T>(Mutex<HashMap<String, T>>);

impl<T: Clone> Remembered<T> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    pub(super) fn get(&self, key: &str) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: &str, answer: T) {
        if key.len() > REMEMBERED_BYTES {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key.to_owned(), answer);
    }

    fn forget(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

impl Drs {
    /// `places` opens what objects lead to.
    pub(in super::super) fn new(opening: &Opening<'_>, places: Storages) -> Result<Self, Trouble> {
        let remote = opening.remote;
        let shown = format!("drs://{}/{}", remote.authority, remote.key);
        let port = remote.authority.split_once(':').map(|(_, port)| port.parse::<u16>());
        if remote.key.is_empty() || port.is_some_and(|port| port.is_err()) {
            return Err(Trouble::rejected(format!(
                "`{shown}` names no object of a host; compact identifiers (`drs://prefix:accession`) are not looked up: \
                 write `drs://host/id`"
            )));
        }
        let endpoint = opening.rule.endpoint.clone().unwrap_or_else(|| format!("https://{}", remote.authority));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let (login, rule) = (remote.login.clone(), opening.rule.clone());
        Ok(Self {
            has_api: endpoint.ends_with("/ga4gh/drs/v1"),
            web: Web::new(endpoint, login, rule, &opening.guard, opening.stalled_after, opening.patience)?,
            authority: remote.authority.clone(),
            places,
            names: Remembered::new(),
            known: Remembered::new(),
        })
    }

    fn shown(&self, key: &str) -> String {
        format!("drs://{}/{key}", self.authority)
    }

    /// Where the bytes of a key are, from one of the ways on, and what the record promises of them.
    async fn lead(&self, key: &str, from: usize, what: &str) -> Result<(Place, Object), Trouble> {
        let holds = |place: &Place| place.since.elapsed() < HOLDS_FOR && place.way >= from;
        if let Some(known) = self.known.get(key).filter(|(place, _)| holds(place)) {
            return Ok(known);
        }
        let found = self.find(key, what).await?;
        if found.is_bundle() {
            let why = Why::Directory;
            return Err(Trouble { why, ..Trouble::rejected(format!("{what}: it is a bundle, not a file")) });
        }
        let known = (self.place(&found, from, what).await?, found.object());
        self.known.put(key, known.clone());
        Ok(known)
    }

    async fn children(&self, key: &str, what: &str) -> Result<Vec<(String, Object)>, Trouble> {
        let bundle = self.find(key, what).await?;
        if !bundle.is_bundle() && !bundle.access_methods.is_empty() {
            return Err(Trouble::rejected(format!("{what}: it is a file, not a bundle")));
        }
        let asked = stream::iter(bundle.contents).map(|content| async move {
            let id = self.id_of(&content, what)?;
            let object = self.by_id(&id, what).await?.object();
            if id.len() <= REMEMBERED_BYTES {
                self.names.put(&below(key, &content.name), id);
            }
            Ok((content.name, object))
        });
        asked.buffered(AT_ONCE).try_collect().await
    }
}

/// Holds what was found to what the record promises of it.
fn keep(found: &mut Object, promised: &Object, what: &str) -> Result<(), Trouble> {
    match (found.size, promised.size) {
        (Some(found), Some(promised)) if found != promised => {
            let message = format!("{what}: {found} bytes are there, and the record says {promised}");
            return Err(Trouble::rejected(message));
        }
        (found_size, promised) => found.size = found_size.or(promised),
    }
    for sum in &promised.demanded {
        if !found.demanded.contains(sum) {
            found.demanded.push(sum.clone());
        }
    }
    Ok(())
}

/// The trouble of the place that something leads to, named by what it was asked for.
fn there(what: &str, trouble: Trouble) -> Trouble {
    Trouble { message: format!("{what}: {}", trouble.message), ..trouble }
}

#[async_trait]
impl Store for Drs {
    fn abilities(&self) -> Abilities {
        Abilities { lists: true, ranges: true, writes: false }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let what = format!("cannot look at `{}`", self.shown(key));
        match self.find(key, &what).await {
            Ok(found) => Ok(Some(found.object())),
            Err(trouble) if trouble.why == Why::Absent => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let what = format!("cannot fetch `{}`", self.shown(key));
        let (mut place, promised) = self.lead(key, 0, &what).await?;
        let mut read = place.store.read(&place.key, span, same).await;
        // Without credentials for one way another may be open.
        while matches!(&read, Err(trouble) if trouble.class == FaultClass::Misconfigured) {
            let Ok((next, _)) = self.lead(key, place.way + 1, &what).await else { break };
            place = next;
            read = place.store.read(&place.key, span, same).await;
        }
        // The next try asks again: an address may have expired.
        let read = read.inspect_err(|_| self.known.forget(key)).map_err(|trouble| there(&what, trouble));
        let mut reading = read?;
        keep(&mut reading.object, &promised, &what).inspect_err(|_| self.known.forget(key))?;
        Ok(reading)
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        let shown = self.shown(directory);
        let mut walk = Walk::at(page);
        let here = walk.here();
        let what = format!("cannot list `{shown}`");
        let children = self.children(&below(directory, &here), &what).await;
        walk.page(&here, children.map_err(|trouble| on_the_way(&here, trouble))?, &shown)
    }

    async fn write(&self, key: &str, _source: &Source) -> Result<(), Trouble> {
        let shown = self.shown(key);
        Err(Trouble::rejected(format!("cannot deliver `{shown}`: DRS is for reading only")))
    }

    async fn make_directory(&self, key: &str) -> Result<(), Trouble> {
        let shown = self.shown(key);
        Err(Trouble::rejected(format!("cannot make the directory `{shown}`: DRS is for reading only")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::super::checksum::{Algorithm, Checksum};
    use super::*;

    #[test]
    fn what_the_record_promises_is_demanded_whatever_the_place_says() {
        let sum = |algorithm, digits: usize| Checksum::from_hex(algorithm, &"0".repeat(digits)).unwrap();
        let (md5, own) = (sum(Algorithm::Md5, 32), sum(Algorithm::Crc32c, 8));
        let promised = Object { size: Some(3), demanded: vec![md5.clone()], ..Object::default() };
        for size in [None, Some(3)] {
            let mut found = Object { size, checksums: vec![own.clone()], ..Object::default() };
            keep(&mut found, &promised, "x").unwrap();
            assert_eq!(
                (found.size, &found.checksums, &found.demanded),
                (Some(3), &vec![own.clone()], &vec![md5.clone()])
            );
        }
        let mut found = Object { size: Some(4), ..Object::default() };
        let trouble = keep(&mut found, &promised, "x").unwrap_err();
        assert_eq!((trouble.class, trouble.message.contains("the record says 3")), (FaultClass::Rejected, true));
    }
}
