//! Asks another server.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};

use super::headers;
use crate::clock::after;
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::roster::Roster;
use crate::store::Present;

/// How long reaching another server may take.
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);
/// How long nothing may be heard of a connection before it is asked whether it lives, and between two such questions.
const ALIVE: Duration = Duration::from_secs(10);

/// The other servers on the store.
#[derive(Debug)]
pub struct Peers {
    roster: Arc<Roster>,
    /// `None` where there is only one server.
    client: Option<Client>,
}

/// A request that may be handed on.
#[derive(Debug, Clone)]
pub struct Asking {
    /// The method.
    pub method: Method,
    /// Path and query, as this server's own API knows them.
    pub target: String,
    /// What the caller said.
    pub headers: HeaderMap,
}

/// Who keeps the log of an attempt whole.
pub enum Kept {
    /// The server of this name, and its answer.
    With(String, Response),
    /// No server does.
    Nobody,
    /// One may that cannot be asked: a sentence about it.
    MayBe(String),
}

/// What came of asking.
enum Asked {
    Answered(Response),
    /// It said nothing; why.
    Silent(String),
}

impl Peers {
    /// Those of a roster. The error is a sentence.
    pub fn of(roster: Arc<Roster>) -> Result<Self, String> {
        let client = if roster.is_alone() { None } else { Some(client().map_err(|error| error.to_string())?) };
        Ok(Self { roster, client })
    }

    /// Whether there never are any.
    pub fn are_none(&self) -> bool {
        self.roster.is_alone()
    }

    /// The name of this server.
    pub fn me(&self) -> &str {
        self.roster.name()
    }

    /// Hands a request on to the server of this name, which alone has what is asked for.
    pub async fn ask(&self, doors: &Doors, name: &str, asking: &Asking, what: &str) -> Result<Response, ApiError> {
        let nobody = |why: String| ApiError::unavailable(format!("{what} is kept by the server `{name}`, {why}"));
        if headers::is_forwarded(&asking.headers) {
            return Err(nobody("which has just got it; try again soon".to_owned()));
        }
        let Some(present) = self.roster.named(name) else {
            return Err(nobody("which is not there; it can be read when that server is back".to_owned()));
        };
        if present.until <= (doors.clock)() {
            let since = present.until.strftime("%Y-%m-%dT%H:%M:%SZ");
            return Err(nobody(format!("which is away since {since}; it can be read when that server is back")));
        }
        let Some(address) = &present.replica.address else {
            return Err(nobody("which has no address that others could ask; ask that server".to_owned()));
        };
        match self.once(doors, address, asking).await {
            Asked::Answered(response) => Ok(response),
            Asked::Silent(reason) => {
                tracing::warn!(server = name, address, reason, "another server does not answer");
                Err(nobody("which does not answer now; try again soon".to_owned()))
            }
        }
    }

    /// Hands a request on to all others at once: one of them may have what is asked for, and its answer counts. `None`
    /// when all said no; an error when one that may have it did not answer.
    pub async fn ask_all(&self, doors: &Doors, asking: &Asking, what: &str) -> Result<Option<Response>, ApiError> {
        if headers::is_forwarded(&asking.headers) {
            return Ok(None);
        }
        let now = (doors.clock)();
        // One that is away only briefly may be back with it.
        let may_be_back = |one: &Present| after(one.until, self.roster.absent_after()) > now;
        let others = self.roster.present().into_iter().filter(|one| one.replica.name != self.me() && may_be_back(one));
        let mut silent = None;
        let mut answers: FuturesUnordered<_> = others
            .map(async |Present { replica, until }| match &replica.address {
                _ if until <= now => (Asked::Silent("it is away".to_owned()), replica.name),
                Some(address) => (self.once(doors, address, asking).await, replica.name),
                None => (Asked::Silent("it has no address".to_owned()), replica.name),
            })
            .collect();
        while let Some((answer, name)) = answers.next().await {
            match answer {
                Asked::Answered(response) if response.status().is_success() => return Ok(Some(response)),
                Asked::Answered(response) if response.status().is_client_error() => {}
                Asked::Answered(response) => silent = Some((name, response.status().to_string())),
                Asked::Silent(reason) => silent = Some((name, reason)),
            }
        }
        let Some((name, reason)) = silent else { return Ok(None) };
        tracing::warn!(server = name, reason, "another server does not answer");
        Err(ApiError::unavailable(format!(
            "{what} is not here, and the server `{name}`, which may have it, does not answer now; try again soon"
        )))
    }

    /// Asks all others for what one of them may keep whole. Whoever is asked asks nobody else.
    pub async fn who_keeps(&self, doors: &Doors, asking: &Asking) -> Kept {
        let now = (doors.clock)();
        let others = self.roster.present().into_iter().filter(|one| one.replica.name != self.me());
        let mut answers: FuturesUnordered<_> = others
            .map(async |Present { replica, until }| {
                let asked = match &replica.address {
                    _ if until <= now => {
                        let since = until.strftime("%Y-%m-%dT%H:%M:%SZ");
                        Asked::Silent(format!("is away since {since}"))
                    }
                    Some(address) => match self.once(doors, address, asking).await {
                        Asked::Silent(reason) => {
                            tracing::warn!(server = replica.name, address, reason, "another server does not answer");
                            Asked::Silent("does not answer now".to_owned())
                        }
                        answered @ Asked::Answered(_) => answered,
                    },
                    None => Asked::Silent("has no address that others could ask".to_owned()),
                };
                (asked, replica.name)
            })
            .collect();
        let mut silent = None;
        while let Some((asked, name)) = answers.next().await {
            match asked {
                Asked::Answered(response) if response.status().is_success() => return Kept::With(name, response),
                Asked::Answered(response) if response.status().is_client_error() => {}
                Asked::Answered(_) => {
                    silent = Some(format!("the server `{name}`, which may have it, cannot tell it now"))
                }
                Asked::Silent(why) => silent = Some(format!("the server `{name}`, which may have it, {why}")),
            }
        }
        silent.map_or(Kept::Nobody, Kept::MayBe)
    }

    /// More of what a server keeps whole.
    pub async fn kept_by(&self, doors: &Doors, name: &str, asking: &Asking) -> Result<Response, String> {
        let address = self.roster.named(name).and_then(|one| one.replica.address);
        match self.once(doors, &address.ok_or("it is not there any more")?, asking).await {
            Asked::Answered(response) if response.status().is_success() => Ok(response),
            Asked::Answered(response) => Err(format!("the server `{name}` answered {}", response.status())),
            Asked::Silent(reason) => Err(reason),
        }
    }

    async fn once(&self, doors: &Doors, address: &str, asking: &Asking) -> Asked {
        let Some(client) = &self.client else { return Asked::Silent("there is no other".to_owned()) };
        let url = format!("{}{}", address.trim_end_matches('/'), asking.target);
        let call = client.request(asking.method.clone(), url).headers(headers::there(&asking.headers)).send();
        let answer = match tokio::time::timeout(doors.settings.bounds.time, call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Asked::Silent(plain(&error)),
            Err(_) => return Asked::Silent("it did not answer in time".to_owned()),
        };
        let (status, head) = (answer.status(), headers::back(answer.headers()));
        let pieces = answer.bytes_stream().map(|piece| piece.map_err(|error| io::Error::other(plain(&error)))).boxed();
        let handing = Handing { pieces, stopped: Box::pin(doors.stopping.clone().stopped()) };
        let mut response = Response::new(Body::from_stream(stream::unfold(Some(handing), next)));
        *response.status_mut() = status;
        *response.headers_mut() = head;
        Asked::Answered(response)
    }
}

/// An answer on its way from the other server to the caller.
struct Handing {
    pieces: BoxStream<'static, io::Result<Bytes>>,
    stopped: BoxFuture<'static, ()>,
}

/// The next piece. An end that is not the other one's own breaks the answer off, so that nobody takes it for whole.
async fn next(handing: Option<Handing>) -> Option<(io::Result<Bytes>, Option<Handing>)> {
    let mut handing = handing?;
    tokio::select! {
        piece = handing.pieces.next() => {
            let piece = piece?;
            let goes_on = piece.is_ok().then_some(handing);
            Some((piece, goes_on))
        }
        () = &mut handing.stopped => Some((Err(io::Error::other("the server stops")), None)),
    }
}

fn client() -> reqwest::Result<Client> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut roots = Vec::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        roots.push(Certificate::from_der(certificate)?);
    }
    let builder = Client::builder()
        .tls_certs_merge(roots)
        .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECTS_WITHIN)
        .tcp_keepalive(ALIVE)
        .tcp_keepalive_interval(ALIVE)
        .tcp_keepalive_retries(3)
        .redirect(Policy::none())
        .referer(false)
        // The addresses are those of one network, and the caller's login goes along.
        .no_proxy();
    builder.build()
}

/// The last cause.
fn plain(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else { return "the request failed".to_owned() };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
