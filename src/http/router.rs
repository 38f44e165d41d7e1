//! All the doors on one page.

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::get;

use super::docs::Documents;
use super::doors::Doors;
use super::error::ApiError;
use super::tes::document;
use super::tes::routes::Tes;
use super::{api, docs, exchange, health};

/// Everything that is served. Other rooms' routers may be merged with it as long as they bring no fallback.
pub fn router(doors: Doors) -> Router {
    let documents = Documents::new(&document::of(&doors.settings), &api::routes::document());
    let own = api::routes::routes(doors.clone());
    let tes = Tes::new(doors.clone());
    let pages =
        Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready)).with_state(doors);
    let documents = Router::new()
        .route(docs::TES, get(docs::tes))
        .route(docs::API, get(docs::api))
        .route("/docs", get(docs::page))
        .route("/docs/", get(docs::page))
        .route("/docs/{file}", get(docs::part))
        .with_state(documents);
    pages
        .merge(documents)
        .merge(own)
        // Every other path belongs to the API, which also knows what is a 404.
        .fallback(move |request: Request| tes.clone().serve(request))
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed("GET, HEAD") })
        .layer(middleware::from_fn(exchange::answered))
}
