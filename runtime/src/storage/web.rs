//! `http` and `https`: one GET an input, one PUT an output. There is no listing.
//!
//! A key is the path of a URL as it was written, with its query.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use super::answer::{self, reading, refused, refused_writing};
use super::client::{Redirects, broken, guarded};
use super::guard::Guard;
use super::location::{Login, redacted};
use super::secret::Secret;
use super::settings::Rule;
use super::source::Source;
use super::stall::{NEVER, Pulse, with_body};
use super::store::{Abilities, Object, Page, Reading, Span, Store, Tag};
use super::trouble::{Patience, Trouble, Why};

/// One host.
pub(super) struct Web {
    base: String,
    guard: Guard,
    pub(super) fetching: Client,
    /// For what is short; files go with `sending`.
    pub(super) delivering: Client,
    sending: Client,
    stalled_after: Duration,
    login: Option<Login>,
    rule: Rule,
    /// The value of the `Authorization` header, instead of login and rule.
    authorization: Option<HeaderValue>,
    patience: Patience,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Web {
    /// `base` is scheme and authority; a login of the URL wins over the rule's.
    pub(super) fn new(
        base: String,
        login: Option<Login>,
        rule: Rule,
        guard: &Guard,
        stalled_after: Duration,
        patience: Patience,
    ) -> Result<Self, Trouble> {
        let url = url(&base)?;
        let guard = guard.for_host_of(&url)?;
        Ok(Self {
            fetching: guarded(&rule, &guard, Redirects::Follow, stalled_after)?,
            delivering: guarded(&rule, &guard, Redirects::Refuse, stalled_after)?,
            sending: guarded(&rule, &guard, Redirects::Refuse, NEVER)?,
            stalled_after,
            base,
            guard,
            login,
            rule,
            authorization: None,
            patience,
        })
    }

    /// The same for a place whose address came with an `Authorization` header.
    pub(super) fn authorized(self, authorization: &Secret) -> Result<Self, Trouble> {
        let value = HeaderValue::from_str(authorization.expose());
        let mut value = value.map_err(|_| {
            Trouble::rejected(format!("the `Authorization` for `{}` cannot be sent", redacted(&self.base)))
        })?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value), ..self })
    }

    /// The URL of a key, if it may be asked.
    pub(super) fn url(&self, key: &str) -> Result<Url, Trouble> {
        let url = url(&format!("{}{key}", self.base))?;
        self.guard.allows(&url)?;
        Ok(url)
    }

    /// A request with the credentials that are configured for this host. The client takes them away when it is
    /// redirected to another one.
    pub(super) fn request(&self, client: &Client, method: Method, url: Url) -> RequestBuilder {
        let request = client.request(method, url);
        if let Some(authorization) = &self.authorization {
            return request.header(AUTHORIZATION, authorization.clone());
        }
        match (&self.login, &self.rule) {
            (Some(login), _) => request.basic_auth(&login.user, Some(login.password.expose())),
            (None, Rule { anonymous: true, .. }) => request,
            (None, Rule { token: Some(token), .. }) => request.bearer_auth(token.expose()),
            (None, Rule { username: Some(user), password, .. }) => {
                request.basic_auth(user, password.as_ref().map(|password| password.expose()))
            }
            (None, _) => request,
        }
    }

    /// Puts a file, however long it takes, as long as it moves. The answer is short, and is here when this returns.
    pub(super) async fn send(&self, what: &str, url: Url, source: &Source) -> Result<Response, Trouble> {
        let pulse = Pulse::default();
        let request = self.request(&self.sending, Method::PUT, url).header(CONTENT_LENGTH, source.size());
        let request = request.body(pulse.body(source, 0, source.size()));
        let response = pulse.watch(what, self.stalled_after, request.send()).await?;
        with_body(response, what, self.stalled_after).await
    }

    async fn put(&self, url: &Url, source: &Source) -> Result<(), Trouble> {
        let response = self.send("cannot deliver", url.clone(), source).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            _ => Err(refused_writing("cannot deliver", response).await),
        }
    }
}

fn url(text: &str) -> Result<Url, Trouble> {
    Url::parse(text).map_err(|error| Trouble::rejected(format!("`{}` is not a URL: {error}", redacted(text))))
}

/// Holds a request to one version of what it reads.
pub(super) fn held_to(request: RequestBuilder, span: Span, same: Option<&Tag>) -> RequestBuilder {
    let request = match span.header() {
        Some(range) => request.header(RANGE, range),
        None => request,
    };
    match same.and_then(|tag| HeaderValue::from_str(&tag.0).ok()) {
        // Without the version that is meant, the whole of the present one comes, and is seen to be another.
        Some(tag) if span.header().is_some() => request.header(IF_RANGE, tag),
        Some(tag) if tag.as_bytes().starts_with(b"\"") => request.header(IF_MATCH, tag),
        Some(tag) => request.header(IF_UNMODIFIED_SINCE, tag),
        None => request,
    }
}

/// An answer to [`held_to`] that is an object, looked at. A part without a tag is believed to be of the same one: only
/// a whole would have come otherwise.
pub(super) fn is_same(response: Response, same: Option<&Tag>, shown: &str) -> Result<Reading, Trouble> {
    let part = response.status() == StatusCode::PARTIAL_CONTENT;
    let reading = reading(response, shown);
    let other = match (same, &reading.object.tag) {
        (None, _) => false,
        (Some(_), None) => !part,
        (Some(asked), Some(found)) => asked != found,
    };
    match other {
        true => Err(Trouble {
            why: Why::Changed,
            ..Trouble::unavailable(format!("`{shown}` changed while it was fetched"))
        }),
        false => Ok(reading),
    }
}

#[async_trait]
impl Store for Web {
    fn abilities(&self) -> Abilities {
        Abilities { lists: false, ranges: true, writes: true }
    }

    async fn stat(&self, key: &str) -> Result<Option<Object>, Trouble> {
        let url = self.url(key)?;
        let what = format!("cannot look at `{}`", redacted(url.as_str()));
        let request = self.request(&self.fetching, Method::HEAD, url);
        let response = request.send().await.map_err(|error| broken(&what, error))?;
        match response.status() {
            status if status.is_success() => Ok(Some(answer::object(status, response.headers()))),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            _ => Err(refused(&what, response).await),
        }
    }

    async fn read(&self, key: &str, span: Span, same: Option<&Tag>) -> Result<Reading, Trouble> {
        let url = self.url(key)?;
        let shown = redacted(url.as_str());
        let request = held_to(self.request(&self.fetching, Method::GET, url), span, same);
        let response = request.send().await.map_err(|error| broken(&format!("cannot fetch `{shown}`"), error))?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => is_same(response, same, &shown),
            _ => Err(refused(&format!("cannot fetch `{shown}`"), response).await),
        }
    }

    async fn list(&self, directory: &str, _page: Option<&str>) -> Result<Page, Trouble> {
        let shown = redacted(&format!("{}{directory}", self.base));
        Err(Trouble::rejected(format!("`{shown}` cannot be brought in as a directory: HTTP has no listing")))
    }

    async fn write(&self, key: &str, source: &Source) -> Result<(), Trouble> {
        let url = self.url(key)?;
        self.patience.retry(|| self.put(&url, source)).await
    }

    async fn make_directory(&self, _key: &str) -> Result<(), Trouble> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
