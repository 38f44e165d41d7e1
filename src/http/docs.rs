//! The pages for people who write clients: our documents, and a page to browse them that loads nothing from elsewhere.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use utoipa_swagger_ui::Config;

use super::error::ApiError;

/// Where the TES document lies.
pub const TES: &str = "/openapi/tes.json";
/// Where the document of our own API lies.
pub const API: &str = "/openapi/api.json";

/// The documents as this server means them, written once.
#[derive(Clone)]
pub struct Documents {
    tes: Arc<[u8]>,
    api: Arc<[u8]>,
}

impl Documents {
    /// Keeps documents to be served.
    pub fn new(tes: &serde_json::Value, api: &utoipa::openapi::OpenApi) -> Self {
        // Only a document with keys that are no texts could not be written, and this type has none.
        let api = serde_json::to_vec(api).unwrap_or_default();
        Self { tes: tes.to_string().into_bytes().into(), api: api.into() }
    }
}

/// `/openapi/tes.json`
pub async fn tes(State(documents): State<Documents>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], documents.tes.to_vec()).into_response()
}

/// `/openapi/api.json`
pub async fn api(State(documents): State<Documents>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], documents.api.to_vec()).into_response()
}

/// `/docs`. Its own page, not the one that comes with the tool: that one wants a trailing slash, and paths without
/// one are never redirected here.
pub async fn page() -> Response {
    const PAGE: &str = r##"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Tessera: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/swagger-ui-standalone-preset.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"##;
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)], PAGE)
        .into_response()
}

/// What the browser may load: nothing from elsewhere, whatever the tool would like.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

/// `/docs/{file}`: the parts of the page.
pub async fn part(file: Result<Path<String>, PathRejection>) -> Result<Response, ApiError> {
    let Ok(Path(file)) = file else {
        return Err(ApiError::not_found("there is nothing under this path"));
    };
    // No validator badge: it would send the document's address to its maker.
    const START: &str = r##"SwaggerUIBundle({
  urls: [{ url: "/openapi/tes.json", name: "GA4GH TES" }, { url: "/openapi/api.json", name: "Tessera's own" }],
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  validatorUrl: null,
  deepLinking: true,
});
"##;
    if file == "start.js" {
        return Ok(([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], START).into_response());
    }
    if !matches!(file.as_str(), "swagger-ui.css" | "swagger-ui-bundle.js" | "swagger-ui-standalone-preset.js") {
        return Err(ApiError::not_found("there is nothing under this path"));
    }
    let found = utoipa_swagger_ui::serve(&file, Arc::new(Config::from(TES)));
    let found = found.map_err(|error| ApiError::internal(error.to_string()))?;
    let part = found.ok_or_else(|| ApiError::not_found("there is nothing under this path"))?;
    let mut response = ([(header::CONTENT_TYPE, part.content_type)], part.bytes.into_owned()).into_response();
    if part.gzpipped {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
