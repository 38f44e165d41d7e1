//! What is asked again because the API server put it off.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use tokio::time::Sleep;
use tower::BoxError;
use tower::retry::Policy;

/// How often a call is tried again, and after what time.
const TRIES: u32 = 3;
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Tries again what was answered with 429, 503 or 504, and with 500 or 502: those come from a server whose store
/// changes its leader, and from what stands before it. Whatever was carried out all the same is found by the second
/// try: all that we make has a name of its own, and what we change is tested first.
#[derive(Clone)]
pub(crate) struct Again {
    known: RetryPolicy,
    tried: u32,
}

impl Default for Again {
    fn default() -> Self {
        Self { known: RetryPolicy::new(PAUSE.0, PAUSE.1, TRIES, true).unwrap_or_default(), tried: 0 }
    }
}

impl<B> Policy<Request<Body>, Response<B>, BoxError> for Again {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<B>, BoxError>,
    ) -> Option<Self::Future> {
        let failed = |answer: &Response<B>| {
            matches!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR | StatusCode::BAD_GATEWAY)
        };
        // Of a log it means that its node does not answer, and whoever reads has a patience of their own.
        let of_log = request.uri().path().ends_with("/log");
        if of_log || !result.as_ref().is_ok_and(failed) {
            return self.known.retry(request, result);
        }
        self.tried += 1;
        (self.tried <= TRIES).then(|| tokio::time::sleep((PAUSE.0 * (1 << self.tried.min(8))).min(PAUSE.1)))
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        Policy::<Request<Body>, Response<B>, BoxError>::clone_request(&mut self.known, request)
    }
}
