//! One try.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode, header};
use tessera_runtime::storage::guard::Guard;

use super::target::Target;

/// How long is waited for the end of an answer that says all by its head.
const WAITS_FOR_AN_END: Duration = Duration::from_millis(100);
/// How much of an answer is read, so that its connection can be used again; nothing in it counts.
const READ_OF_AN_ANSWER: usize = 16 * 1024;

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target has it.
    Taken,
    /// It may take it later.
    Later {
        /// Why not now.
        reason: String,
        /// How long it asks to be left alone.
        rest: Option<Duration>,
    },
    /// It never wants it; why.
    Refused(String),
}

/// What is said once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same at every try: a target that has seen it forgets the second one.
    pub id: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// Talks to one target.
#[derive(Debug, Clone)]
pub struct Sender {
    client: Client,
    guard: Guard,
}

impl Sender {
    /// A client for a target; the error is a sentence.
    pub fn new(target: &Target) -> Result<Self, String> {
        let guard = guard(target);
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let roots: reqwest::Result<Vec<_>> =
            webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root)).collect();
        let client = Client::builder()
            .tls_certs_merge(roots.map_err(|error| error.to_string())?)
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            .timeout(target.timeout)
            .redirect(Policy::none())
            .referer(false)
            // A proxy would resolve the name, and the guard would not see the address.
            .no_proxy()
            .dns_resolver(guard.resolver());
        Ok(Self { client: client.build().map_err(|error| error.to_string())?, guard })
    }

    /// Sends a message, signed at this second.
    pub async fn send(&self, target: &Target, message: &Message, timestamp: i64) -> Outcome {
        if self.guard.allows(&target.url).is_err() {
            return later("its address is one of this machine or of its network's own services");
        }
        let signature = target.key.sign(&message.id, timestamp, &message.body);
        let call = self
            .client
            .post(target.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(message.body.clone());
        match call.send().await {
            Ok(mut answer) => {
                let outcome = of_answer(answer.status(), answer.headers());
                // Read to its end, the connection serves again; one that is slow to end is not worth waiting for.
                let rest = async {
                    let mut read = 0;
                    while read < READ_OF_AN_ANSWER
                        && let Ok(Some(chunk)) = answer.chunk().await
                    {
                        read += chunk.len();
                    }
                };
                let _ = tokio::time::timeout(WAITS_FOR_AN_END, rest).await;
                outcome
            }
            Err(error) => later(plain(&error)),
        }
    }
}

/// The operator's word makes the target an exception; without it addresses of this machine are out of reach.
fn guard(target: &Target) -> Guard {
    match (target.url.host_str(), target.url.port_or_known_default()) {
        (Some(host), Some(port)) if target.internal => Guard::with_exceptions([(host.to_owned(), port)]),
        _ => Guard::default(),
    }
}

/// Only a target that says it is gone is believed: any other word may be that of a fault between it and us.
fn of_answer(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status.is_success() {
        return Outcome::Taken;
    }
    let said = format!("it answered {status}");
    if status == StatusCode::GONE {
        return Outcome::Refused(said);
    }
    if status.is_redirection() {
        return later(format!("{said}, and redirects are not followed"));
    }
    let asks = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let rest = headers.get(header::RETRY_AFTER).filter(|_| asks);
    // A date is passed over: the clocks of two machines are seldom the same.
    let rest = rest.and_then(|value| value.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    Outcome::Later { reason: said, rest }
}

fn later(reason: impl Into<String>) -> Outcome {
    Outcome::Later { reason: reason.into(), rest: None }
}

/// The last cause, without the address, which may hold a secret.
fn plain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it did not answer in time".to_owned();
    }
    let Some(mut cause) = error.source() else { return "the request failed".to_owned() };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means() {
        for (status, taken, later) in [
            (200, true, false),
            (204, true, false),
            (301, false, true),
            (308, false, true),
            (400, false, true),
            (401, false, true),
            (404, false, true),
            (408, false, true),
            (410, false, false),
            (429, false, true),
            (500, false, true),
            (503, false, true),
        ] {
            let outcome = of_answer(StatusCode::from_u16(status).unwrap_or_default(), &HeaderMap::new());
            assert_eq!(outcome == Outcome::Taken, taken, "{status}");
            assert_eq!(matches!(outcome, Outcome::Later { .. }), later, "{status}");
        }
    }

    #[test]
    fn a_target_may_ask_for_a_rest() {
        let rest = |status, asked: &'static str| {
            let headers = [(header::RETRY_AFTER, asked.parse().unwrap())].into_iter().collect();
            match of_answer(status, &headers) {
                Outcome::Later { rest, .. } => rest,
                Outcome::Taken | Outcome::Refused(_) => panic!("{status} is not later"),
            }
        };
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            assert_eq!(rest(status, "120"), Some(Duration::from_secs(120)));
            for unread in ["Sun, 22 Nov 2026 08:00:00 GMT", "-1", "soon", ""] {
                assert_eq!(rest(status, unread), None, "{unread}");
            }
        }
        assert_eq!(rest(StatusCode::INTERNAL_SERVER_ERROR, "120"), None);
    }
}
