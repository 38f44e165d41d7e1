//! `Idempotency-Key`: a creation whose answer was lost may be sent again, and creates nothing twice.

use axum::http::HeaderMap;

use crate::http::error::ApiError;
use crate::store::Key;

/// The header.
pub const HEADER: &str = "Idempotency-Key";

/// The key of a request, if it has one. The draft of the IETF writes it as a string in quotes; most clients do not.
pub fn key(headers: &HeaderMap) -> Result<Option<Key>, ApiError> {
    let mut sent = headers.get_all(HEADER).iter();
    let Some(first) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(ApiError::field(HEADER, "the header is there more than once"));
    }
    let key = first.to_str().ok().filter(|text| Key::parse(text).is_some()).map(unquoted).and_then(Key::parse);
    key.map(Some).ok_or_else(|| ApiError::field(HEADER, "a key has 1 to 255 visible ASCII characters"))
}

/// What stands between quotes; quotes around nothing are a key like any other.
fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.is_empty()).unwrap_or(text)
}

/// The key names another task.
pub fn differs() -> ApiError {
    ApiError::conflict(
        "this Idempotency-Key was used for another task; a key names one task as long as the task is remembered, so \
         send a new key with a new task",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, ApiError> {
        let name = HeaderName::from_static("idempotency-key");
        let headers = values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap()));
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        key(&map).map(|key| key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_key_is_taken_with_quotes_and_without() {
        assert_eq!(read(&[]).unwrap(), None);
        for (sent, key) in [("abc", "abc"), ("\"abc\"", "abc"), ("\"", "\""), ("a\"", "a\""), ("\"\"", "\"\"")] {
            assert_eq!(read(&[sent.as_bytes()]).unwrap().as_deref(), Some(key), "{sent}");
        }
        let (longest, longer) = ("k".repeat(255), "k".repeat(256));
        assert_eq!(read(&[longest.as_bytes()]).unwrap(), Some(longest.clone()));
        for wrong in ["", "a b", "a\tb", &longer, "\u{e4}"] {
            assert_eq!(read(&[wrong.as_bytes()]).unwrap_err().blamed(), Some(HEADER), "{wrong}");
        }
        assert_eq!(read(&[b"a", b"a"]).unwrap_err().blamed(), Some(HEADER));
    }
}
