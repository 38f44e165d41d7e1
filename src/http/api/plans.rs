//! Plans of jobs that run elsewhere and have to fetch them.
//!
//! Not for users: a pod shows the token of its own attempt, and no login opens this door. Whatever else is asked for
//! is not there.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use tessera_contract::JobId;

use super::routes::PREFIX;
use crate::http::doors::Doors;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::peers::Asking;

/// The plan of one attempt.
///
/// For the containers of that attempt alone, where their backend cannot hand them a plan of this size.
#[utoipa::path(
    get,
    path = "/plans/{job}",
    operation_id = "getPlan",
    params(("job" = String, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The plan", body = Object, content_type = "application/json"),
        (status = 404, description = "There is none, or this is not its token", body = ErrorBody<'_>),
        (status = 503, description = "Ask again soon", body = ErrorBody<'_>),
    ),
    security(("bearer" = []))
)]
pub async fn get(
    State(doors): State<Doors>,
    Path(job): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let nothing = || ApiError::not_found("there is no such plan");
    let plans = doors.plans.as_ref().ok_or_else(nothing)?;
    let token = bearer(&headers).ok_or_else(nothing)?;
    // What goes on to other servers, who would only find the same.
    let id = JobId::parse(&job).ok_or_else(nothing)?;
    // Why it cannot be read is for the log of the server, which whoever waits for the plan does not see.
    let found = plans(job, token.to_owned()).await.map_err(|error| {
        tracing::error!(%error, "a plan cannot be read");
        ApiError::unavailable("the plan cannot be read just now")
    })?;
    let Some(found) = found else {
        // The server that handed the job over has its plan, and whoever asks cannot know which that is.
        let asking = Asking { method, target: format!("{PREFIX}/plans/{id}"), headers };
        return doors.peers.ask_all(&doors, &asking, "the plan").await?.ok_or_else(nothing);
    };
    let json = HeaderValue::from_static("application/json");
    // It holds the keys of storages.
    let kept_nowhere = HeaderValue::from_static("no-store");
    let headers = [(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, kept_nowhere)];
    Ok((headers, found).into_response())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_shows_a_token() {
        for (shown, token) in
            [("Bearer abc", Some("abc")), ("bearer  abc ", Some("abc")), ("Basic abc", None), ("abc", None)]
        {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(shown))]);
            assert_eq!(bearer(&headers), token, "{shown}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
