//! All routes of our own API, and what they share.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::document::Head;
use super::{events, logs, plans, queue, tasks};
use crate::http::cors::Cors;
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::store::StoreError;

/// Where the API begins.
pub const PREFIX: &str = "/api/v1";

/// The routes with their documentation.
fn documented() -> OpenApiRouter<Doors> {
    let routes = OpenApiRouter::new()
        .routes(routes!(tasks::get))
        .routes(routes!(logs::read))
        .routes(routes!(queue::list))
        .routes(routes!(events::events))
        .routes(routes!(plans::get));
    OpenApiRouter::with_openapi(Head::openapi()).nest(PREFIX, routes)
}

/// The document of this API.
pub fn document() -> utoipa::openapi::OpenApi {
    documented().split_for_parts().1
}

/// The routes, to be merged with those of the other doors.
pub fn routes(doors: Doors) -> Router {
    let cors = Arc::new(Cors::new(&doors.settings.cors_origins));
    let (routes, _) = documented().split_for_parts();
    routes.layer(middleware::from_fn_with_state(cors, admitted)).with_state(doors)
}

/// The answer to a question, or 503 when it takes too long.
pub(super) async fn asked<T>(
    doors: &Doors,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(doors.settings.bounds.time, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ApiError::unavailable("the store did not answer in time")),
    }
}

/// Pages of other origins get in where the settings say so (TES contract 17.6).
async fn admitted(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    let origin = cors.origin(request.headers());
    let (parts, body) = request.into_parts();
    let mut response = if origin.is_some() && Cors::is_preflight(&parts) {
        Cors::preflight()
    } else if !matches!(parts.method, Method::GET | Method::HEAD) && cors.is_foreign(&parts.headers) {
        ApiError::foreign_origin().into_response()
    } else {
        next.run(Request::from_parts(parts, body)).await
    };
    if let Some(origin) = origin {
        Cors::admit(origin, &mut response);
    }
    response
}
