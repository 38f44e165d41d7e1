//! The one error of every door, and the only place that knows its status codes (TES contract §17).

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::store::StoreError;

/// Why a request was not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    kind: Kind,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    BadRequest { field: Option<String> },
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    Gone,
    MethodNotAllowed { allow: &'static str },
    NotAcceptable,
    TooSlow,
    TooLarge,
    UnsupportedMediaType,
    Unavailable,
    Internal,
}

/// What every refusal looks like.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = error)]
pub struct ErrorBody<'a> {
    /// The status code, once more.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The same as a word, such as `bad_request`.
    error: &'static str,
    /// What was wrong, and what would be right.
    message: &'a str,
    /// JSON pointer to the field that is to blame, or the name of the query parameter or header; left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<&'a str>,
}

impl ApiError {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// 400, and no single field is to blame.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest { field: None }, message)
    }

    /// 400 because of one field: a JSON pointer into the body, or the name of a query parameter or header.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest { field: Some(field.into()) }, message)
    }

    /// 401.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthorized, message)
    }

    /// 403: a web page of an origin that may not call.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Kind::Forbidden, message)
    }

    /// 403: a web page that the settings do not let in.
    pub fn foreign_origin() -> Self {
        Self::forbidden(
            "web pages of this origin may not call; the server's setting server.cors_origins names those that may",
        )
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// 409: it contradicts what was asked before.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// 410: it was here, and its time is over.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(Kind::Gone, message)
    }

    /// 405; `allow` lists what would be right.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self::new(Kind::MethodNotAllowed { allow }, format!("this path knows only {allow}"))
    }

    /// 406.
    pub fn not_acceptable() -> Self {
        Self::new(Kind::NotAcceptable, "answers are application/json, and the Accept header excludes it")
    }

    /// 408: the request did not arrive in time.
    pub fn too_slow() -> Self {
        Self::new(Kind::TooSlow, "the request body did not arrive in time")
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        Self::new(Kind::TooLarge, format!("the request body is larger than {limit} bytes, the limit of this server"))
    }

    /// 415.
    pub fn unsupported_media_type() -> Self {
        Self::new(Kind::UnsupportedMediaType, "send the task as application/json")
    }

    /// 503: ask again soon.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// 500: our own fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// The field that is to blame, if one is.
    pub fn blamed(&self) -> Option<&str> {
        match &self.kind {
            Kind::BadRequest { field } => field.as_deref(),
            Kind::Unauthorized
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Gone
            | Kind::MethodNotAllowed { .. }
            | Kind::NotAcceptable
            | Kind::TooSlow
            | Kind::TooLarge
            | Kind::UnsupportedMediaType
            | Kind::Unavailable
            | Kind::Internal => None,
        }
    }

    /// What was wrong, and what would be right.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // The reason names files of the host: for the log and for readiness, not for every caller.
            StoreError::Unavailable(reason) => {
                tracing::warn!(reason, "the store is not available");
                Self::unavailable("the store is not available now; try again soon, /readyz says why")
            }
            StoreError::Corrupt(reason) => {
                tracing::error!(reason, "what is stored cannot be read");
                Self::internal("what is stored cannot be read; the server's log says more")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error) = match &self.kind {
            Kind::BadRequest { .. } => (StatusCode::BAD_REQUEST, "bad_request"),
            Kind::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Kind::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Kind::Conflict => (StatusCode::CONFLICT, "conflict"),
            Kind::Gone => (StatusCode::GONE, "gone"),
            Kind::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Kind::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "not_acceptable"),
            Kind::TooSlow => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "content_too_large"),
            Kind::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        let body = ErrorBody { status: status.as_u16(), error, message: &self.message, field: self.blamed() };
        let mut response = (status, Json(body)).into_response();
        for (name, value) in self.headers() {
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response
    }
}

impl ApiError {
    /// What RFC 9110 wants beside the status.
    fn headers(&self) -> Vec<(HeaderName, &'static str)> {
        match &self.kind {
            Kind::Unauthorized => vec![
                (header::WWW_AUTHENTICATE, "Bearer realm=\"tessera\""),
                (header::WWW_AUTHENTICATE, "Basic realm=\"tessera\", charset=\"UTF-8\""),
            ],
            Kind::MethodNotAllowed { allow } => vec![(header::ALLOW, allow)],
            Kind::Unavailable => vec![(header::RETRY_AFTER, "1")],
            Kind::BadRequest { .. }
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::Conflict
            | Kind::Gone
            | Kind::NotAcceptable
            | Kind::TooSlow
            | Kind::TooLarge
            | Kind::UnsupportedMediaType
            | Kind::Internal => vec![],
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rule_17_2_every_refusal_has_its_status_and_headers() {
        let (ways, later) = (Some("www-authenticate"), Some("retry-after"));
        let table = [
            (ApiError::bad_request("m"), 400, None),
            (ApiError::field("/name", "m"), 400, None),
            (ApiError::unauthorized("m"), 401, ways),
            (ApiError::forbidden("m"), 403, None),
            (ApiError::not_found("m"), 404, None),
            (ApiError::conflict("m"), 409, None),
            (ApiError::method_not_allowed("POST"), 405, Some("allow")),
            (ApiError::not_acceptable(), 406, None),
            (ApiError::too_slow(), 408, None),
            (ApiError::too_large(7), 413, None),
            (ApiError::unsupported_media_type(), 415, None),
            (ApiError::internal("m"), 500, None),
            (ApiError::unavailable("m"), 503, later),
            // A fault of ours, also where a caller could be blamed.
            (StoreError::Unavailable("the disk is full".to_owned()).into(), 503, later),
            (StoreError::Corrupt("a row".to_owned()).into(), 500, None),
        ];
        for (error, status, header) in table {
            let response = error.clone().into_response();
            assert_eq!(response.status(), status, "{error:?}");
            for name in ["www-authenticate", "retry-after", "allow"] {
                assert_eq!(response.headers().contains_key(name), header == Some(name), "{error:?}: {name}");
            }
        }
    }

    #[test]
    fn rule_17_1_an_error_has_one_shape() {
        let shown = |error: ApiError| {
            let (status, message) = (400, error.message());
            serde_json::to_value(ErrorBody { status, error: "bad_request", message, field: error.blamed() }).unwrap()
        };
        let whole = serde_json::json!({ "status": 400, "error": "bad_request", "message": "why" });
        assert_eq!(shown(ApiError::bad_request("why")), whole);
        let mut blaming = whole;
        blaming["field"] = "/executors/0/image".into();
        assert_eq!(shown(ApiError::field("/executors/0/image", "why")), blaming);
    }
}
