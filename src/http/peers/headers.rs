//! What goes along, there and back.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Said by a server that hands a request on: whoever gets it hands it on to nobody.
pub const FORWARDED: HeaderName = HeaderName::from_static("tessera-forwarded");

/// Said by a server that lacks a part of a log: only what lies whole with whoever is asked is wanted.
pub const KEPT: HeaderName = HeaderName::from_static("tessera-kept");

/// What the other server is to know: who calls, in which form the answer is wanted, where the caller stands, and what
/// the exchange is called.
const GO_ALONG: [HeaderName; 5] = [
    KEPT,
    header::AUTHORIZATION,
    header::ACCEPT,
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
];

/// What is said from one connection's end to the other (RFC 9110 7.6.1), and is none of the next one's business.
const OF_ONE_CONNECTION: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Whether a request was handed on by another server.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED)
}

/// Whether only what lies whole with this server is wanted.
pub fn is_for_kept(headers: &HeaderMap) -> bool {
    headers.contains_key(KEPT)
}

/// The headers of the request for what lies whole with another server, on behalf of a caller.
pub fn for_kept(of_caller: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [header::AUTHORIZATION, HeaderName::from_static("x-request-id")] {
        for value in of_caller.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    headers.insert(KEPT, HeaderValue::from_static("1"));
    headers
}

/// The headers of the request that is handed on.
pub fn there(of_caller: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in GO_ALONG {
        for value in of_caller.get_all(&name) {
            headers.append(&name, value.clone());
        }
    }
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    headers
}

/// The headers of the answer that is handed back.
pub fn back(of_server: &HeaderMap) -> HeaderMap {
    let said = of_server.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> = said.flat_map(|value| value.split(',')).map(|n| n.trim().to_ascii_lowercase()).collect();
    let stays = |name: &HeaderName| OF_ONE_CONNECTION.contains(name) || named.iter().any(|n| n == name.as_str());
    of_server.iter().filter(|(name, _)| !stays(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn who_calls_goes_along_and_what_is_the_connections_does_not() {
        let of_caller = headers(&[
            ("authorization", "Bearer x"),
            ("accept", "text/event-stream"),
            ("accept", "text/plain"),
            ("last-event-id", "1.0.0.0"),
            ("host", "here"),
            ("cookie", "c"),
            ("connection", "keep-alive"),
        ]);
        let sent = there(&of_caller);
        assert_eq!(sent.get("authorization").unwrap(), "Bearer x");
        assert_eq!(sent.get_all("accept").iter().count(), 2);
        assert_eq!(sent.get("last-event-id").unwrap(), "1.0.0.0");
        assert!(is_forwarded(&sent) && !is_forwarded(&of_caller));
        assert_eq!(sent.len(), 5, "{sent:?}");

        let of_server = headers(&[
            ("content-type", "text/plain"),
            ("tessera-attempt", "1"),
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        ]);
        let handed = back(&of_server);
        let names: Vec<&str> = handed.keys().map(HeaderName::as_str).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(handed.contains_key("content-type") && handed.contains_key("tessera-attempt"));
    }
}
