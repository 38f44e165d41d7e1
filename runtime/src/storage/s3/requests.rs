//! Signed requests, and the region they are signed for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
use reqsign_core::ProvideCredentialChain;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Body, Client, Method, Response, StatusCode, Url};

use super::address::{Address, is_region};
use super::refusal::{Refusal, Words};
use crate::storage::answer::document;
use crate::storage::client::{Redirects, guarded, host_and_port};
use crate::storage::guard::Guard;
use crate::storage::identity::Identity;
use crate::storage::settings::Rule;
use crate::storage::source::Source;
use crate::storage::stall::{FINISHING, NEVER, Pulse};
use crate::storage::trouble::Trouble;

/// Where AWS answers for buckets of everywhere, if only to say where they are.
const FIRST_REGION: &str = "us-east-1";
/// How much of a refusal is read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// What is asked of a bucket.
#[derive(Debug, Default)]
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Empty for the bucket itself.
    pub(super) key: &'a str,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Content<'a>,
}

/// What a request carries.
#[derive(Debug, Default)]
pub(super) enum Content<'a> {
    #[default]
    Nothing,
    Document(Bytes),
    Stretch {
        source: &'a Source,
        from: u64,
        length: u64,
    },
}

/// The way to one bucket.
#[derive(Debug)]
pub(super) struct Requests {
    rule: Rule,
    address: Address,
    guard: Guard,
    fetching: Client,
    delivering: Client,
    stalled_after: Duration,
    current: Mutex<Arc<Current>>,
}

/// What goes with a region.
#[derive(Debug)]
struct Current {
    region: String,
    identity: Identity<Credential>,
}

impl Requests {
    /// `environment` gives the variables that stand in for settings.
    pub(super) fn new(
        bucket: &str,
        rule: &Rule,
        guard: &Guard,
        stalled_after: Duration,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Trouble> {
        let first = |names: [&str; 2]| names.into_iter().filter_map(&environment).find(|value| !value.is_empty());
        let endpoint = rule.endpoint.clone().or_else(|| first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
        let region = rule.region.clone().or_else(|| first(["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region.unwrap_or_else(|| FIRST_REGION.to_owned());
        if !is_region(&region) {
            return Err(Trouble::misconfigured(format!("`{region}` is not the name of an S3 region")));
        }
        let address = Address::new(bucket, endpoint.as_deref(), rule.path_style)?;
        // Whoever named the endpoint has named its host, with the bucket before it where that is how it is asked.
        let guard = match endpoint {
            Some(_) => Guard::with_exceptions(host_and_port(&address.url(&region, "", &[])?)),
            None => guard.strict(),
        };
        Ok(Self {
            fetching: guarded(rule, &guard, Redirects::Refuse, stalled_after)?,
            delivering: guarded(rule, &guard, Redirects::Refuse, NEVER)?,
            current: Mutex::new(Arc::new(Current { identity: identity(rule, &region)?, region })),
            rule: rule.clone(),
            address,
            guard,
            stalled_after,
        })
    }

    /// The answer, when it is what was asked for. `what` begins the sentence of what went wrong.
    pub(super) async fn send(&self, what: &str, ask: &Ask<'_>) -> Result<Response, Refusal> {
        let mut learnt = false;
        loop {
            let current = self.current();
            let response = self.send_once(what, ask, &current).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            if status.is_success() {
                return Ok(response);
            }
            let reading = tokio::time::timeout(self.stalled_after, document(response, REFUSAL_BYTES, what)).await;
            // Without its body a refusal is one all the same.
            let words = reading.ok().and_then(Result::ok).map(|body| Words::read(&body)).unwrap_or_default();
            let region = elsewhere(status, &headers, &words).filter(|region| *region != current.region);
            match region {
                Some(region) if !learnt => {
                    self.learn(region)?;
                    learnt = true;
                }
                _ => return Err(Refusal::new(what, status, &headers, words, current.identity.is_somebody())),
            }
        }
    }

    async fn send_once(&self, what: &str, ask: &Ask<'_>, current: &Current) -> Result<Response, Trouble> {
        let said = |trouble| about(what, trouble);
        let url = self.address.url(&current.region, ask.key, &ask.query).map_err(said)?;
        let unfit = |error| Trouble::rejected(format!("{what}: it gives no URL: {error}"));
        self.guard.allows(&Url::parse(&url).map_err(unfit)?).map_err(said)?;
        let mut head = http::Request::builder().method(ask.method.clone()).uri(url);
        for (name, value) in &ask.headers {
            head = head.header(name, value);
        }
        let pulse = Pulse::default();
        let (length, body) = match &ask.body {
            Content::Nothing => (None, Body::default()),
            Content::Document(bytes) => (Some(bytes.len() as u64), Body::from(bytes.clone())),
            Content::Stretch { source, from, length } => (Some(*length), pulse.body(source, *from, *length)),
        };
        if let Some(length) = length {
            head = head.header(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let request = current.identity.request(head, body).await.map_err(said)?;
        let (client, wait) = match &ask.body {
            Content::Nothing => (&self.fetching, NEVER),
            Content::Document(_) => (&self.delivering, self.stalled_after * FINISHING),
            Content::Stretch { .. } => (&self.delivering, self.stalled_after),
        };
        pulse.watch(what, wait, client.execute(request)).await
    }

    /// How long the service may be busy with what it was given.
    pub(super) fn finishing(&self) -> Duration {
        self.stalled_after * FINISHING
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn learn(&self, region: String) -> Result<(), Trouble> {
        let learnt = Arc::new(Current { identity: identity(&self.rule, &region)?, region });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = learnt;
        Ok(())
    }
}

/// A trouble on the way to what was to be done.
pub(super) fn about(what: &str, trouble: Trouble) -> Trouble {
    Trouble { message: format!("{what}: {}", trouble.message), ..trouble }
}

/// The region that an answer sends us to.
fn elsewhere(status: StatusCode, headers: &HeaderMap, words: &Words) -> Option<String> {
    let sends =
        [StatusCode::MOVED_PERMANENTLY, StatusCode::TEMPORARY_REDIRECT, StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN];
    let header = headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
    let region = header.or(words.region.as_deref()).filter(|region| is_region(region))?;
    sends.contains(&status).then(|| region.to_owned())
}

/// Who asks: whoever is configured, or whoever the surroundings say we are.
fn identity(rule: &Rule, region: &str) -> Result<Identity<Credential>, Trouble> {
    let signer = RequestSigner::new("s3", region);
    if rule.anonymous {
        return Ok(Identity::nobody());
    }
    match (&rule.access_key_id, &rule.secret_access_key) {
        (Some(id), Some(secret)) => {
            let mut provider = StaticCredentialProvider::new(id, secret.expose());
            if let Some(token) = &rule.session_token {
                provider = provider.with_session_token(token.expose());
            }
            Identity::configured(rule, provider, signer, "configured S3 credentials")
        }
        (None, None) => {
            // Programs that print credentials are not started: there is no shell around us to trust.
            let chain = || {
                let provider = DefaultCredentialProvider::builder().no_process().build();
                ProvideCredentialChain::new().push(provider)
            };
            Identity::ambient(rule, chain, signer, "AWS credentials of the surroundings")
        }
        (Some(_), None) | (None, Some(_)) => {
            let message = format!(
                "`access_key_id` and `secret_access_key` belong together, and `{}` has only one of them",
                rule.prefix
            );
            Err(Trouble::misconfigured(message))
        }
    }
}
