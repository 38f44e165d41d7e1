//! From a key to an object, from an object to a place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;

use super::super::answer::{document, judged, refused};
use super::super::client::broken;
use super::super::location::{Location, Scheme};
use super::super::secret::Secret;
use super::super::store::Store;
use super::super::trouble::{Trouble, Why};
use super::answer::{AccessMethod, AccessUrl, Content, DrsObject};
use super::store::Drs;

/// How long an answer may be.
const ANSWER_BYTES: usize = 8 << 20;
/// How long an answer holds: addresses may be signed for minutes only.
pub(super) const HOLDS_FOR: Duration = Duration::from_secs(60);
/// Where the API stands below its host.
const API: &str = "/ga4gh/drs/v1";

/// Where an object's bytes are.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) store: Arc<dyn Store>,
    pub(super) key: String,
    /// Which of the ways it is.
    pub(super) way: usize,
    pub(super) since: Instant,
}

impl Drs {
    async fn ask<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, Trouble> {
        let api = if self.has_api { "" } else { API };
        let url = self.web.url(&format!("{api}/objects/{path}"))?;
        let request = self.web.request(&self.web.fetching, Method::GET, url);
        let response = request.send().await.map_err(|error| broken(what, error))?;
        match response.status() {
            StatusCode::OK => {}
            // It is being made ready.
            StatusCode::ACCEPTED => {
                let message = format!("{what}: it is not ready yet");
                let told = judged(StatusCode::SERVICE_UNAVAILABLE, response.headers(), message);
                return Err(told);
            }
            _ => return Err(refused(what, response).await),
        }
        let body = document(response, ANSWER_BYTES, what).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Trouble::unavailable(format!("{what}: the answer cannot be read: {error}")))
    }

    /// The object of an id.
    pub(super) async fn by_id(&self, id: &str, what: &str) -> Result<DrsObject, Trouble> {
        self.ask(&encoded(id), what).await
    }

    /// The object of a key: of an id, or of a name below a bundle.
    pub(super) async fn find(&self, key: &str, what: &str) -> Result<DrsObject, Trouble> {
        let key = key.trim_end_matches('/');
        if let Some(id) = self.names.get(key) {
            return self.by_id(&id, what).await;
        }
        // Ids may hold slashes too: the longest beginning that is one is the bundle.
        let (mut id, mut names) = (key, Vec::new());
        let mut found = loop {
            match self.by_id(id, what).await {
                Err(trouble) if trouble.why == Why::Absent => match id.rsplit_once('/') {
                    Some((bundle, name)) if !bundle.is_empty() => {
                        names.push(name);
                        id = bundle;
                    }
                    _ => return Err(trouble),
                },
                answered => break answered?,
            }
        };
        while let Some(name) = names.pop() {
            let Some(content) = found.contents.iter().find(|content| content.name == name) else {
                return Err(Trouble::absent(format!("{what}: the bundle holds nothing named `{name}`")));
            };
            found = self.by_id(&self.id_of(content, what)?, what).await?;
        }
        Ok(found)
    }

    /// The id of something in a bundle, which has to be of the same service.
    pub(super) fn id_of(&self, content: &Content, what: &str) -> Result<String, Trouble> {
        if let Some(id) = content.id.as_ref().filter(|id| !id.is_empty()) {
            return Ok(id.clone());
        }
        for uri in &content.drs_uri {
            if let Ok(Location::Remote(remote)) = Location::parse(uri)
                && remote.scheme == Scheme::Drs
                && remote.authority == self.authority
            {
                return Ok(remote.key);
            }
        }
        let message = format!("{what}: `{}` in the bundle has no id of this service", content.name);
        Err(Trouble::rejected(message))
    }

    /// The first way to an object's bytes, from one on, that can be opened and may be used.
    pub(super) async fn place(&self, object: &DrsObject, from: usize, what: &str) -> Result<Place, Trouble> {
        let mut last = None;
        for (way, method) in object.methods().into_iter().enumerate().skip(from) {
            match self.open(object, method, what).await {
                Ok((store, key)) => return Ok(Place { store, key, way, since: Instant::now() }),
                Err(trouble) => last = Some(better(last, trouble)),
            }
        }
        Err(last.unwrap_or_else(|| Trouble::rejected(format!("{what}: the service tells no way to its bytes"))))
    }

    async fn open(
        &self,
        object: &DrsObject,
        method: &AccessMethod,
        what: &str,
    ) -> Result<(Arc<dyn Store>, String), Trouble> {
        let url = match (&method.access_url, &method.access_id) {
            (Some(url), _) if !url.url.is_empty() => url.clone(),
            (_, Some(access)) => {
                let path = format!("{}/access/{}", encoded(&object.id), encoded(access));
                self.ask::<AccessUrl>(&path, what).await?
            }
            _ => return Err(Trouble::rejected(format!("{what}: a `{}` access without an address", method.kind))),
        };
        let leads =
            |trouble: Trouble| Trouble { message: format!("{what}: it leads to where {}", trouble.message), ..trouble };
        let Location::Remote(remote) = Location::parse(&url.url).map_err(leads)? else {
            return Err(Trouble::rejected(format!("{what}: it leads to a file of this host")));
        };
        if remote.scheme == Scheme::Drs {
            return Err(Trouble::rejected(format!("{what}: it leads to another identifier")));
        }
        let authorization = url.authorization().map(Secret::new);
        self.places.open_with(&remote, authorization.as_ref()).map_err(leads)
    }
}

/// Of two reasons the one that may pass, otherwise the first.
fn better(first: Option<Trouble>, second: Trouble) -> Trouble {
    match first {
        Some(first) if second.class != crate::report::FaultClass::Unavailable => first,
        Some(_) | None => second,
    }
}

/// As one component of a path.
fn encoded(id: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(id, KEPT).to_string()
}
