//! The HTTP client of a rule: its certificates, its proxy, its guard.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, NoProxy, Proxy, Url};

use super::guard::{Guard, GuardedResolver, Refused};
use super::secret::Secret;
use super::settings::Rule;
use super::trouble::Trouble;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// How long nothing may arrive.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(60);
/// Redirects of one request.
const REDIRECTS: usize = 10;

/// Whether redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// Each is looked at by the guard; credentials do not go to another host.
    Follow,
    /// An answer like any other: what is delivered is for the host that was named, and for no other.
    Refuse,
}

/// A client that is not guarded, for what an operator has named himself: the services that give identities.
pub(super) fn unguarded(rule: &Rule) -> Result<Client, Trouble> {
    build(rule, None, Redirects::Refuse, Duration::from_secs(10), Duration::from_secs(2))
}

/// The same without any proxy, for services of this machine and its link: a proxy would give us its own identity.
pub(super) fn unguarded_and_direct(rule: &Rule) -> Result<Client, Trouble> {
    unguarded(&Rule { proxy: Some(Secret::new("")), ..rule.clone() })
}

/// A guarded client for URLs that tasks name.
pub(super) fn guarded(
    rule: &Rule,
    guard: &Guard,
    redirects: Redirects,
    stalled_after: Duration,
) -> Result<Client, Trouble> {
    build(rule, Some(guard), redirects, stalled_after, CONNECT_WITHIN)
}

fn build(
    rule: &Rule,
    guard: Option<&Guard>,
    redirects: Redirects,
    stalled_after: Duration,
    connect_within: Duration,
) -> Result<Client, Trouble> {
    // Whoever was first, it is the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let failed = |what: &str, error: &dyn Error| Trouble::misconfigured(format!("{what}: {}", causes(error)));
    let roots: reqwest::Result<Vec<_>> =
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|root| Certificate::from_der(root)).collect();
    let mut roots = roots.map_err(|error| failed("the public certificates cannot be read", &error))?;
    if let Some(pem) = &rule.ca {
        let own = Certificate::from_pem_bundle(pem.as_bytes());
        roots.extend(own.map_err(|error| failed(&format!("the `ca` for `{}` cannot be read", rule.prefix), &error))?);
    }
    let guard = guard.cloned().map(|guard| match &rule.proxy {
        Some(proxy) => guard.with_proxy(proxy.expose()),
        None => guard,
    });
    let mut client = Client::builder()
        // An image may have no certificates at all; those it has, and `SSL_CERT_FILE`, are added.
        .tls_certs_merge(roots)
        .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_within)
        .read_timeout(stalled_after)
        .pool_max_idle_per_host(64)
        // It would tell the next host the query, and with it a signature.
        .referer(false);
    if let Some(proxy) = &rule.proxy {
        client = client.no_proxy();
        if !proxy.expose().is_empty() {
            let proxy = Proxy::all(proxy.expose());
            let wrong =
                |error: reqwest::Error| failed(&format!("the `proxy` for `{}`", rule.prefix), &error.without_url());
            client = client.proxy(proxy.map_err(wrong)?.no_proxy(NoProxy::from_env()));
        }
    }
    if let Some(guard) = &guard {
        client = client.dns_resolver(GuardedResolver(guard.clone()));
    }
    let policy = match (redirects, guard) {
        (Redirects::Refuse, _) | (Redirects::Follow, None) => Policy::none(),
        (Redirects::Follow, Some(guard)) => Policy::custom(move |attempt| follow(&guard, attempt)),
    };
    client.redirect(policy).build().map_err(|error| failed("no HTTP client could be made", &error))
}

fn follow(guard: &Guard, attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("too many redirects");
    }
    // From an encrypted connection to one that is not.
    let from_https = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
    if from_https && attempt.url().scheme() != "https" {
        return attempt.error(Unfollowed("it redirects from https to http".to_owned()));
    }
    match guard.allows_redirect(attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(trouble) => attempt.error(Unfollowed(format!("it redirects to where {}", trouble.message))),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfollowed(String);

/// No answer, or one that broke off. What was refused by the guard will be refused again, and a circle stays one.
pub(super) fn broken(what: &str, error: reqwest::Error) -> Trouble {
    let error = error.without_url();
    // Decoding is where a client notices; it is not what happened.
    let why = match error.is_timeout() && !error.is_connect() {
        true => "nothing has moved for too long".to_owned(),
        false => causes(&error),
    };
    let message = format!("{what}: {why}");
    let for_good = is_refusal(&error) || error.is_redirect();
    if for_good { Trouble::rejected(message) } else { Trouble::unavailable(message) }
}

fn is_refusal(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<Refused>() || error.is::<Unfollowed>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What a client says, with what it says only when asked.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// The host and port of a URL that an operator has named.
pub fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}
