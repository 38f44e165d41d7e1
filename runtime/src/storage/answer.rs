//! What HTTP answers say, the same for every protocol that speaks it.

use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};

use super::client::broken;
use super::store::{Object, Reading, Tag};
use super::trouble::{Trouble, Why};
use crate::report::FaultClass;

/// How much of a refusal's body is read.
const REFUSAL_BYTES: usize = 8 * 1024;

/// What an answer says of an object. Checksums are the protocol's own business.
pub(super) fn object(status: StatusCode, headers: &HeaderMap) -> Object {
    let number = |value: &HeaderValue| value.to_str().ok()?.trim().parse::<u64>().ok();
    // A length of something encoded is not the length of the object.
    let plain = headers.get(CONTENT_ENCODING).is_none_or(|coding| coding.as_bytes() == b"identity");
    let size = match status {
        StatusCode::PARTIAL_CONTENT => content_range(headers).and_then(|(_, size)| size),
        _ => headers.get(CONTENT_LENGTH).and_then(number).filter(|_| plain),
    };
    let modified = headers.get(LAST_MODIFIED).and_then(|value| date(value.to_str().ok()?));
    Object { size, tag: tag(headers), modified, ..Object::default() }
}

/// The object being read, from an answer that is one.
pub(super) fn reading(response: Response, shown: &str) -> Reading {
    let object = object(response.status(), response.headers());
    let from = match response.status() {
        StatusCode::PARTIAL_CONTENT => content_range(response.headers()).map_or(0, |(from, _)| from),
        _ => 0,
    };
    let what = format!("lost the connection while fetching `{shown}`");
    let body = response.bytes_stream().map(move |piece| piece.map_err(|error| broken(&what, error)));
    Reading { object, from, body: body.boxed() }
}

/// First byte and whole size of a partial answer.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (span, size) = range.split_once('/')?;
    Some((span.split('-').next()?.parse().ok()?, size.parse().ok()))
}

/// What a later request proves with that the object is still the same: a strong entity tag, or the date.
fn tag(headers: &HeaderMap) -> Option<Tag> {
    // An empty one is what a gateway says of a file that it did not write itself.
    let strong = |tag: &&HeaderValue| !tag.as_bytes().starts_with(b"W/") && !matches!(tag.as_bytes(), b"" | b"\"\"");
    let value = headers.get(ETAG).filter(strong).or_else(|| headers.get(LAST_MODIFIED))?;
    Some(Tag(value.to_str().ok()?.to_owned()))
}

/// An answer that is not what was asked for: what its status means, and what its body says.
pub(super) async fn refused(what: &str, response: Response) -> Trouble {
    let (status, headers) = (response.status(), response.headers().clone());
    let says = says(response).await.map(|says| format!(" ({says})")).unwrap_or_default();
    judged(status, &headers, format!("{what}: the server answered {status}{says}"))
}

/// The same for something that was to be written: a condition that does not hold (a lock, a lease) is not ours, and no
/// beginning again makes it hold.
pub(super) async fn refused_writing(what: &str, response: Response) -> Trouble {
    let for_good = response.status() == StatusCode::PRECONDITION_FAILED;
    let trouble = refused(what, response).await;
    if for_good { Trouble::rejected(trouble.message) } else { trouble }
}

/// What a status means.
pub(super) fn judged(status: StatusCode, headers: &HeaderMap, message: String) -> Trouble {
    let retry_after = retry_after(headers);
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Trouble::absent(message),
        StatusCode::PRECONDITION_FAILED => Trouble { why: Why::Changed, ..Trouble::unavailable(message) },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Trouble::misconfigured(message)
        }
        // Something that was to be the same has changed meanwhile: begin again.
        StatusCode::RANGE_NOT_SATISFIABLE => Trouble { why: Why::Changed, ..Trouble::unavailable(message) },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::LOCKED => {
            Trouble { retry_after, ..Trouble::unavailable(message) }
        }
        StatusCode::INSUFFICIENT_STORAGE | StatusCode::NOT_IMPLEMENTED => Trouble::misconfigured(message),
        status if status.is_server_error() => Trouble { retry_after, ..Trouble::unavailable(message) },
        StatusCode::PARTIAL_CONTENT => Trouble::new(FaultClass::Unavailable, message),
        _ => Trouble::rejected(message),
    }
}

/// The code and sentence in a refusal's body, XML or JSON, for the message.
async fn says(response: Response) -> Option<String> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(Ok(piece)) = pieces.next().await {
        body.extend_from_slice(&piece[..piece.len().min(REFUSAL_BYTES - body.len())]);
        if body.len() == REFUSAL_BYTES {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    let (code, message) = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(json) => {
            let error = json.get("error").unwrap_or(&json);
            let word = |key: &str| error.get(key).and_then(|value| value.as_str()).map(str::to_owned);
            (word("code"), word("message"))
        }
        Err(_) => (element(&text, "Code"), element(&text, "Message")),
    };
    let said = [code, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    // A sentence, not a page.
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    (!said.is_empty()).then_some(said)
}

/// The text of an element that holds nothing else.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    Some(quick_xml::escape::unescape(text).ok()?.into_owned())
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    if let Some(seconds) = value.to_str().ok().and_then(|text| text.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let until = date(value.to_str().ok()?)?.duration_since(Timestamp::now());
    Duration::try_from(until).ok()
}

/// A date as HTTP writes it.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(text).ok()
}

/// A bounded body, for answers that are documents.
pub(super) async fn document(response: Response, most: usize, what: &str) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(|error| broken(what, error))?);
        if body.len() > most {
            return Err(Trouble::rejected(format!("{what}: the answer is longer than {most} bytes")));
        }
    }
    Ok(body)
}
