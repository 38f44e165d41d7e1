//! The storage: looking, reading, listing.

use std::fmt;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode, Url};

use super::super::answer::{document, refused};
use super::super::client::broken;
use super::super::source::Source;
use super::super::storages::Opening;
use super::super::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use super::super::tree::{Known, Walk, below, on_the_way};
use super::super::trouble::{Patience, Trouble, Why, blocking};
use super::super::web::{Web, held_to, is_same};
use super::properties::{Found, QUESTION, parse};
use crate::storage::location::Scheme;

/// How long a listing of one directory may be.
const LISTING_BYTES: usize = 64 << 20;
/// The same for one thing alone.
const LOOK_BYTES: usize = 1 << 20;
/// What stands in a URL's path as it is.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One host.
pub(in super::super) struct Webdav {
    pub(super) web: Web,
    /// Scheme and host, for messages.
    base: String,
    pub(super) known: Known,
    pub(super) patience: Patience,
}

impl fmt::Debug for Webdav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webdav").field("base", &self.base).finish_non_exhaustive()
    }
}

/// How far below a PROPFIND looks.
#[derive(Clone, Copy)]
enum Depth {
    Itself,
    Children,
}

impl Webdav {
    pub(in super::super) fn new(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let remote = opening.remote;
        let scheme = if remote.scheme == Scheme::Webdavs { "https" } else { "http" };
        let base = format!("{scheme}://{}", remote.authority);
        let (login, rule) = (remote.login.clone(), opening.rule.clone());
        Ok(Self {
            web: Web::new(base, login, rule, &opening.guard, opening.stalled_after, opening.patience)?,
            base: format!("{}://{}", remote.scheme.name(), remote.authority),
            known: Known::default(),
            patience: opening.patience,
        })
    }

    /// A key as messages name it.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("{}/{key}", self.base)
    }

    pub(super) fn url(&self, key: &str) -> Result<Url, Trouble> {
        self.web.url(&format!("/{}", utf8_percent_encode(key, IN_PATH)))
    }

    /// The URL of a directory. Without the slash at its end some servers only redirect.
    pub(super) fn directory_url(&self, key: &str) -> Result<Url, Trouble> {
        self.url(&below(key, "")).map(|mut url| {
            if !url.path().ends_with('/') {
                url.set_path(&format!("{}/", url.path()));
            }
            url
        })
    }

    /// `None` when nothing is there.
    async fn propfind(&self, url: Url, depth: Depth, what: &str) -> Result<Option<Vec<Found>>, Trouble> {
        let method = Method::from_bytes(b"PROPFIND").map_err(|error| Trouble::rejected(error.to_string()))?;
        let request = self.web.request(&self.web.fetching, method, url);
        let request = request.header("Depth", if matches!(depth, Depth::Itself) { "0" } else { "1" });
        let request = request.header(CONTENT_TYPE, "application/xml; charset=utf-8").body(QUESTION);
        let response = request.send().await.map_err(|error| broken(what, error))?;
        match response.status() {
            StatusCode::MULTI_STATUS => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status if status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED => {
                return Err(Trouble::rejected(format!("{what}: the server does not speak WebDAV there ({status})")));
            }
            _ => return Err(refused(what, response).await),
        }
        let most = if matches!(depth, Depth::Itself) { LOOK_BYTES } else { LISTING_BYTES };
        let body = document(response, most, what).await?;
        let what = what.to_owned();
        // A large answer would keep everything else waiting.
        blocking(move || {
            let nonsense =
                |why: &str| Trouble::unavailable(format!("{what}: the server's answer cannot be read: {why}"));
            let body = String::from_utf8(body).map_err(|_| nonsense("it is not UTF-8"))?;
            parse(&body).map(Some).map_err(|why| nonsense(&why))
        })
        .await
    }

    pub(super) async fn look(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let what = format!("cannot look at `{}`", self.shown(key));
        let found = self.propfind(self.url(key)?, Depth::Itself, &what).await?;
        match found.map(|found| found.into_iter().next()) {
            None => Ok(None),
            Some(Some(first)) => Ok(Some(first.object)),
            Some(None) => Err(Trouble::unavailable(format!("{what}: the server's answer says nothing of it"))),
        }
    }

    /// What a directory itself holds.
    async fn children(&self, key: &str) -> Result<Vec<(String, Object)>, Trouble> {
        let shown = self.shown(key);
        let what = format!("cannot list `{shown}`");
        let url = self.directory_url(key)?;
        let Some(found) = self.propfind(url, Depth::Children, &what).await? else {
            return Err(Trouble::absent(format!("{what}: nothing is there")));
        };
        let directory = format!("/{}", below(key, "").trim_start_matches('/'));
        let directory = directory.trim_end_matches('/');
        let mut children = Vec::with_capacity(found.len());
        for Found { path, object } in found {
            if path == directory {
                if !object.directory {
                    return Err(Trouble::rejected(format!("{what}: it is a file, not a directory")));
                }
                continue;
            }
            let name = path.strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
            match name.filter(|name| !name.contains('/')) {
                Some(name) => children.push((name.to_owned(), object)),
                None => {
                    let message = format!("{what}: the server's answer names `{path}`, which does not lie in it");
                    return Err(Trouble::rejected(message));
                }
            }
        }
        Ok(children)
    }

    /// Many servers show a page where a directory is read, others refuse.
    async fn is_directory(&self, key: &str, asked: &Url, answered: &Url, headers: &HeaderMap) -> bool {
        if answered.path().ends_with('/') && !asked.path().ends_with('/') {
            return true;
        }
        let page = headers.get(CONTENT_TYPE).is_none_or(|kind| {
            kind.as_bytes().starts_with(b"text/html") || kind.as_bytes().starts_with(b"httpd/unix-directory")
        });
        page && self.look(key).await.is_ok_and(|object| object.is_some_and(|object| object.directory))
    }
}

#[async_trait]
impl Store for Webdav {
    fn abilities(&self) -> Abilities {
        Abilities { lists: true, ranges: true, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        self.look(key).await
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let (url, shown) = (self.url(key)?, self.shown(key));
        let what = format!("cannot fetch `{shown}`");
        let request = held_to(self.web.request(&self.web.fetching, Method::GET, url.clone()), span, same);
        let response = request.send().await.map_err(|error| broken(&what, error))?;
        let (status, read) =
            (response.status(), matches!(response.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT));
        let may_be = read || matches!(status, StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED);
        if may_be && self.is_directory(key, &url, response.url(), response.headers()).await {
            let why = Why::Directory;
            return Err(Trouble { why, ..Trouble::rejected(format!("{what}: it is a directory, not a file")) });
        }
        match read {
            true => is_same(response, same, &shown),
            false => Err(refused(&what, response).await),
        }
    }

    async fn list(&self, directory: &str, page: Option<&str>) -> Result<Page, Trouble> {
        let mut walk = Walk::at(page);
        let here = walk.here();
        let children = self.children(&below(directory, &here)).await.map_err(|trouble| on_the_way(&here, trouble))?;
        walk.page(&here, children, &self.shown(directory))
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        self.patience.retry(|| self.deliver(key, source)).await
    }

    async fn make_directory(&self, key: &str) -> Result<(), Trouble> {
        self.make(key).await
    }
}
