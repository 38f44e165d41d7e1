//! From a host's name to a session.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh::{MethodKind, Preferred};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::client::causes;
use super::super::ftp::host_and_port;
use super::super::guard::Guard;
use super::super::secret::Secret;
use super::super::storages::Opening;
use super::super::trouble::Trouble;
use super::known_hosts::{self, KnownHosts, Verdict};
use super::session::Session;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// What may be under way to us: enough for a fast line to a distant host.
const WINDOW: u32 = 8 << 20;
/// Questions of a server that asks for a password in its own words.
const QUESTIONS: usize = 8;

/// Everything that a session is made from.
pub(super) struct Door {
    /// Scheme and host, for messages.
    pub(super) base: String,
    host: String,
    port: u16,
    guard: Guard,
    known_hosts: Option<String>,
    user: Option<String>,
    private_key: Option<Secret>,
    password: Option<Secret>,
    pub(super) stalled_after: Duration,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn new(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let (remote, rule) = (opening.remote, opening.rule.clone());
        let base = format!("{}://{}", remote.scheme.name(), remote.authority);
        let (host, port) = host_and_port(&remote.authority, 22)
            .ok_or_else(|| Trouble::rejected(format!("`{base}` names no port that exists")))?;
        opening.guard.allows_host(&host, port)?;
        let (user, password, private_key) = match &remote.login {
            // A user alone says who, not how.
            Some(login) if login.password.expose().is_empty() => {
                (Some(login.user.clone()), rule.password, rule.private_key)
            }
            Some(login) => (Some(login.user.clone()), Some(login.password.clone()), None),
            None => (rule.username, rule.password, rule.private_key),
        };
        let (guard, stalled_after) = (opening.guard.clone(), opening.stalled_after);
        let known_hosts = rule.known_hosts;
        Ok(Self { base, host, port, guard, known_hosts, user, private_key, password, stalled_after })
    }

    /// A session that is logged in.
    pub(super) async fn enter(&self) -> Result<Session, Trouble> {
        let what = format!("cannot connect to `{}`", self.base);
        let mut handle = self.connect(&what).await?;
        match timeout(self.stalled_after, self.log_in(&mut handle)).await {
            Ok(entered) => entered?,
            Err(_) => return Err(self.silence(&what)),
        }
        Session::open(handle, self.stalled_after, &what).await
    }

    async fn connect(&self, what: &str) -> Result<Handle<Host>, Trouble> {
        let known = self.known().await;
        let mut preferred = Preferred::DEFAULT;
        // First the kinds of keys that this host is known by.
        let kinds = known.kinds(&self.host, self.port);
        let mut keys = preferred.key.into_owned();
        // RSA's kinds differ by what the signature is made of, not by the key.
        let is_rsa = |kind: &Algorithm| matches!(kind, Algorithm::Rsa { .. });
        keys.sort_by_key(|kind| !kinds.iter().any(|known| known == kind || is_rsa(known) && is_rsa(kind)));
        preferred.key = Cow::Owned(keys);
        let config = Arc::new(client::Config {
            window_size: WINDOW,
            preferred,
            keepalive_interval: Some(self.stalled_after / 2),
            ..client::Config::default()
        });
        let mut last = Trouble::unavailable(format!("{what}: it has no address"));
        for address in self.guard.resolve(&self.host, self.port).await? {
            let stream = match timeout(CONNECT_WITHIN.min(self.stalled_after), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    last = Trouble::unavailable(format!("{what}: {error}"));
                    continue;
                }
                Err(_) => {
                    last = self.silence(what);
                    continue;
                }
            };
            // Requests are small and many.
            let _slower = stream.set_nodelay(true);
            let refusal = Arc::new(Mutex::new(None));
            let (host, port, known) = (self.host.clone(), self.port, known.clone());
            let host = Host { host, port, known, refusal: Arc::clone(&refusal) };
            let greeted = timeout(self.stalled_after, client::connect_stream(Arc::clone(&config), stream, host)).await;
            let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
            return match (greeted, refusal) {
                (_, Some(refusal)) => Err(Trouble::misconfigured(format!("{what}: {refusal}"))),
                (Ok(Ok(handle)), None) => Ok(handle),
                (Ok(Err(error)), None) => Err(Trouble::unavailable(format!("{what}: {}", causes(&error)))),
                (Err(_), None) => Err(self.silence(what)),
            };
        }
        Err(last)
    }

    async fn known(&self) -> KnownHosts {
        if let Some(lines) = &self.known_hosts {
            return KnownHosts::parse(lines);
        }
        let Some(home) = std::env::home_dir() else { return KnownHosts::default() };
        let lines = tokio::fs::read_to_string(home.join(".ssh/known_hosts")).await;
        lines.map(|lines| KnownHosts::parse(&lines)).unwrap_or_default()
    }

    fn silence(&self, what: &str) -> Trouble {
        let seconds = self.stalled_after.as_secs();
        Trouble::unavailable(format!("{what}: the server has not answered for {seconds} s"))
    }

    /// With a key, with a password, with a password that the server asks for in its own words; whatever there is.
    async fn log_in(&self, handle: &mut Handle<Host>) -> Result<(), Trouble> {
        let Some(user) = self.user.as_deref() else {
            let message = format!("no user is configured for `{}`, and SFTP has no anonymous ones", self.base);
            return Err(Trouble::misconfigured(message));
        };
        let what = format!("cannot log in to `{}` as `{user}`", self.base);
        let lost = |error: russh::Error| Trouble::unavailable(format!("{what}: {}", causes(&error)));
        let mut asked_for = None;
        if let Some(key) = &self.private_key {
            let password = self.password.as_ref().map(Secret::expose);
            // A password opens an encrypted key; a key that needs none ignores it.
            let key = decode_secret_key(key.expose(), None).or_else(|_| decode_secret_key(key.expose(), password));
            let key = key.map_err(|error| {
                Trouble::misconfigured(format!("{what}: the `private_key` cannot be read: {error}"))
            })?;
            let hash = match key.algorithm().is_rsa() {
                true => handle.best_supported_rsa_hash().await.map_err(lost)?.flatten(),
                false => None,
            };
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
            match handle.authenticate_publickey(user, key).await.map_err(lost)? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } => asked_for = Some(remaining_methods),
            }
        }
        if let Some(password) = &self.password {
            let accepts = |kind| asked_for.as_ref().is_none_or(|methods| methods.contains(&kind));
            if accepts(MethodKind::Password) {
                match handle.authenticate_password(user, password.expose()).await.map_err(lost)? {
                    AuthResult::Success => return Ok(()),
                    AuthResult::Failure { remaining_methods, .. } => asked_for = Some(remaining_methods),
                }
            }
            let accepts = |kind| asked_for.as_ref().is_none_or(|methods| methods.contains(&kind));
            if accepts(MethodKind::KeyboardInteractive) && self.answer(handle, user, password).await.map_err(lost)? {
                return Ok(());
            }
        } else if self.private_key.is_none() {
            if handle.authenticate_none(user).await.map_err(lost)?.success() {
                return Ok(());
            }
            return Err(Trouble::misconfigured(format!("{what}: neither a key nor a password is configured")));
        }
        Err(Trouble::misconfigured(format!("{what}: the server refuses the key or password")))
    }

    async fn answer(&self, handle: &mut Handle<Host>, user: &str, password: &Secret) -> Result<bool, russh::Error> {
        let mut said = handle.authenticate_keyboard_interactive_start(user, None::<String>).await?;
        for _ in 0..QUESTIONS {
            said = match said {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    let answers = prompts.iter().map(|_| password.expose().to_owned()).collect();
                    handle.authenticate_keyboard_interactive_respond(answers).await?
                }
            };
        }
        Ok(false)
    }
}

/// Looks at the host's key.
pub(super) struct Host {
    host: String,
    port: u16,
    known: KnownHosts,
    /// Why it was refused.
    refusal: Arc<Mutex<Option<String>>>,
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let key = shown.public_key();
        let line = known_hosts::line(&self.host, self.port, &key);
        let refusal = match self.known.judge(&self.host, self.port, &key) {
            Verdict::Known => return Ok(true),
            Verdict::Unknown => format!("its key is not known; if it is the right one, add to `known_hosts`: {line}"),
            Verdict::Other => format!(
                "its key is not the one in `known_hosts`: somebody else may be answering in its place; it shows: {line}"
            ),
            Verdict::Revoked => "its key is marked as revoked in `known_hosts`".to_owned(),
        };
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
        Ok(false)
    }
}
