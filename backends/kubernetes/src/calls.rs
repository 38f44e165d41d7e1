//! What we ask of the API server: counted, and kept within a budget of our own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{Request, Response};
use kube::client::Body;
use tower::{BoxError, Service};

/// How long the API server may take to begin an answer.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(15);

/// Watches a second, and at once: they have a budget of their own, since they matter more than anything that is asked;
/// one that is closed as soon as it is opened is not to be opened without end.
const WATCHES: (u32, u32) = (2, 10);

/// How much of the budget goes into making things, in tenths: thousands of jobs that are handed over leave room for one
/// that is to be stopped, and for what else is asked. Making takes two calls of the three of a job, so that the third
/// fits beside it.
const MAKES: u32 = 6;
/// What is made.
const MADE: [&str; 2] = ["jobs", "secrets"];

/// What was asked of the API server, and how much may be asked.
pub(crate) struct Calls {
    budget: DefaultDirectRateLimiter,
    makes: DefaultDirectRateLimiter,
    watches: DefaultDirectRateLimiter,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    calls: BTreeMap<(&'static str, String), u64>,
    opened: BTreeMap<String, u64>,
}

impl Calls {
    /// A budget; what cannot be is taken for one.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let limiter = |per_second: u32, burst: u32| {
            let at_least_one = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst)))
        };
        let part = |whole: u32| u32::try_from(u64::from(whole) * u64::from(MAKES) / 10).unwrap_or(u32::MAX);
        Self {
            budget: limiter(per_second, burst),
            makes: limiter(part(per_second), part(burst)),
            watches: limiter(WATCHES.0, WATCHES.1),
            counted: Mutex::default(),
        }
    }

    /// How many calls there were, tries that failed included, by verb and resource.
    pub(crate) fn counted(&self) -> BTreeMap<(&'static str, String), u64> {
        self.lock().calls.clone()
    }

    /// How many watches of a resource the API server has opened for us.
    pub(crate) fn opened(&self, resource: &str) -> u64 {
        self.lock().opened.get(resource).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

/// Holds each call back until its budget has room, counts it, and bounds the wait for an answer.
pub(crate) struct Paced<S> {
    inner: S,
    calls: Arc<Calls>,
}

impl<S> Paced<S> {
    /// Over whatever carries requests.
    pub(crate) fn new(inner: S, calls: Arc<Calls>) -> Self {
        Self { inner, calls }
    }
}

impl<S, B> Service<Request<Body>> for Paced<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let resource = resource(request.uri().path());
        // The client's own word for what it does; it asks for nothing without one.
        let verb = request.extensions().get::<&'static str>().copied().unwrap_or("get");
        let makes = verb == "create" && MADE.contains(&resource.as_str()) && !is_dry(request.uri().query());
        let calls = self.calls.clone();
        // Nothing is sent before this is polled.
        let answer = self.inner.call(request);
        Box::pin(async move {
            let watch = verb == "watch";
            if makes {
                calls.makes.until_ready().await;
            }
            let budget = if watch { &calls.watches } else { &calls.budget };
            budget.until_ready().await;
            *calls.lock().calls.entry((verb, resource.clone())).or_default() += 1;
            let answer = tokio::time::timeout(ANSWERS_WITHIN, answer).await;
            let answer = answer.map_err(|_elapsed| format!("no answer within {} s", ANSWERS_WITHIN.as_secs()))??;
            if watch && answer.status().is_success() {
                *calls.lock().opened.entry(resource).or_default() += 1;
            }
            Ok(answer)
        })
    }
}

/// Nothing is made: it is only asked whether it could be.
fn is_dry(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|part| part == "dryRun=All"))
}

/// The resource that a path names, as a Role calls it: `jobs`, `pods/log`, `namespaces`.
fn resource(path: &str) -> String {
    let of_namespace: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").collect();
    match of_namespace.as_slice() {
        ["namespaces", _, resource, _, part, ..] => format!("{resource}/{part}"),
        ["namespaces", _, resource, ..] => (*resource).to_owned(),
        ["namespaces", ..] => "namespaces".to_owned(),
        // Of the cluster: what it can do, and who may do what.
        _ => path.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_called_what_a_role_calls_it() {
        assert_eq!(resource("/api/v1/namespaces/tasks"), "namespaces");
        assert_eq!(resource("/apis/batch/v1/namespaces/tasks/jobs"), "jobs");
        assert_eq!(resource("/apis/batch/v1/namespaces/tasks/jobs/one"), "jobs");
        assert_eq!(resource("/api/v1/namespaces/namespaces/pods/one/log"), "pods/log");
        assert_eq!(resource("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), "selfsubjectaccessreviews");
    }
}
