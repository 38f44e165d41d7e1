//! Web pages of other origins that may call (TES contract 17.6). Nothing is said to a page unless configured.

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};

/// The origins that may call.
#[derive(Debug, Clone, Default)]
pub struct Cors {
    origins: Vec<String>,
}

impl Cors {
    /// `*` is every origin.
    pub fn new(origins: &[String]) -> Self {
        Self { origins: origins.to_vec() }
    }

    /// What is said of the origin that calls: nothing unless it is configured.
    pub fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let allowed = self.origins.iter().any(|known| known == "*" || known.as_bytes() == origin.as_bytes());
        allowed.then(|| origin.clone())
    }

    /// Whether a request comes from a web page that may not call: a browser sends the page's origin with every POST.
    /// Without this any page on the web could make its visitor's browser start tasks on a server that trusts
    /// loopback. Our own pages may.
    pub fn is_foreign(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return false };
        let own = || {
            let (_, authority) = origin.to_str().ok()?.split_once("://")?;
            let host = headers.get(header::HOST)?.to_str().ok()?;
            Some(authority.eq_ignore_ascii_case(host))
        };
        self.origin(headers).is_none() && !own().unwrap_or(false)
    }

    /// Whether a browser only asks whether it may ask.
    pub fn is_preflight(request: &Parts) -> bool {
        request.method == Method::OPTIONS && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to such a question, without a body.
    pub fn preflight() -> Response {
        let headers = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type, Accept, X-Request-Id, Idempotency-Key, Last-Event-ID",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ];
        headers.into_response()
    }

    /// Lets a page of this origin read the answer.
    pub fn admit(origin: HeaderValue, response: &mut Response) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("X-Request-Id, WWW-Authenticate, Retry-After"),
        );
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}
