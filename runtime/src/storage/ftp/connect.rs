//! From a host's name to a connection that is logged in.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use suppaftp::tokio_rustls::TlsConnector;
use suppaftp::types::FileType;
use suppaftp::{Mode, Status};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::guard::Guard;
use super::super::location::Scheme;
use super::super::secret::Secret;
use super::super::settings::Rule;
use super::super::storages::Opening;
use super::super::trouble::Trouble;
use super::connection::Connection;
use super::reply::Failed;

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// The port that is encrypted from the first byte on.
const IMPLICIT: u16 = 990;

/// Everything that a connection is made from.
pub(super) struct Door {
    /// Scheme and host, for messages.
    pub(super) base: String,
    host: String,
    port: u16,
    guard: Guard,
    /// Whom to trust; `None` for connections in clear.
    roots: Option<Arc<RootCertStore>>,
    user: String,
    password: Secret,
    pub(super) stalled_after: Duration,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Door {
    pub(super) fn new(opening: &Opening<'_>) -> Result<Self, Trouble> {
        let remote = opening.remote;
        let base = format!("{}://{}", remote.scheme.name(), remote.authority);
        let (host, port) = host_and_port(&remote.authority, 21)
            .ok_or_else(|| Trouble::rejected(format!("`{base}` names no port that exists")))?;
        opening.guard.allows_host(&host, port)?;
        let (user, password) = match (&remote.login, &opening.rule) {
            (Some(login), _) => (login.user.clone(), login.password.clone()),
            (None, Rule { anonymous: false, username: Some(user), password, .. }) => {
                (user.clone(), password.clone().unwrap_or_default())
            }
            (None, _) => ("anonymous".to_owned(), Secret::new("anonymous@")),
        };
        let roots = match remote.scheme {
            Scheme::Ftps => Some(Arc::new(roots(&opening.rule)?)),
            _ => None,
        };
        let (guard, stalled_after) = (opening.guard.clone(), opening.stalled_after);
        Ok(Self { base, host, port, guard, roots, user, password, stalled_after })
    }

    /// A connection that is logged in and sends bytes as they are.
    pub(super) async fn enter(&self) -> Result<Connection, Trouble> {
        let what = format!("cannot connect to `{}`", self.base);
        let addresses = self.guard.resolve(&self.host, self.port).await?;
        let mut last = Trouble::unavailable(format!("{what}: it has no address"));
        for address in addresses {
            match self.connect(address, &what).await {
                Ok(ftp) => return self.introduce(ftp, address, &what).await,
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn connect(&self, address: SocketAddr, what: &str) -> Result<AsyncRustlsFtpStream, Trouble> {
        let within = CONNECT_WITHIN.min(self.stalled_after);
        let failed = |failed: Failed| failed.trouble(what);
        if let (Some(roots), IMPLICIT) = (&self.roots, self.port) {
            let connecting = AsyncRustlsFtpStream::connect_secure_implicit(address, encryption(roots), &self.host);
            return Failed::of(timeout(within, connecting).await, within).map_err(failed);
        }
        let stream = match timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Trouble::unavailable(format!("{what}: {error}"))),
            Err(_) => return Err(Failed::silence(within).trouble(what)),
        };
        // Commands are short and each is waited for.
        let _slower = stream.set_nodelay(true);
        let greeting = timeout(within, AsyncRustlsFtpStream::connect_with_stream(stream)).await;
        let ftp = Failed::of(greeting, within).map_err(failed)?;
        let Some(roots) = &self.roots else { return Ok(ftp) };
        let securing = timeout(within, ftp.into_secure(encryption(roots), &self.host)).await;
        Failed::of(securing, within).map_err(failed)
    }

    async fn introduce(
        &self,
        mut ftp: AsyncRustlsFtpStream,
        address: SocketAddr,
        what: &str,
    ) -> Result<Connection, Trouble> {
        let within = self.stalled_after;
        let failed = |failed: Failed| failed.trouble(what);
        let login = timeout(within, ftp.login(self.user.as_str(), self.password.expose())).await;
        Failed::of(login, within)
            .map_err(|failed| failed.trouble(&format!("cannot log in to `{}` as `{}`", self.base, self.user)))?;
        if self.roots.is_some() && self.port == IMPLICIT {
            for command in ["PBSZ 0", "PROT P"] {
                let asked = timeout(within, ftp.custom_command(command, &[Status::CommandOk])).await;
                Failed::of(asked, within).map_err(failed)?;
            }
        }
        let binary = timeout(within, ftp.transfer_type(FileType::Binary)).await;
        Failed::of(binary, within).map_err(failed)?;
        let features = match Failed::of(timeout(within, ftp.feat()).await, within) {
            Ok(features) => features,
            Err(refused) if !refused.ends_connection() => Default::default(),
            Err(broken) => return Err(broken.trouble(what)),
        };
        let has = |name: &str| features.keys().any(|feature| feature.eq_ignore_ascii_case(name));
        if has("UTF8") {
            let agreed = timeout(within, ftp.opts("UTF8", Some("ON"))).await;
            // It is on anyway where it cannot be switched.
            if let Err(broken) = Failed::of(agreed, within)
                && broken.ends_connection()
            {
                return Err(broken.trouble(what));
            }
        }
        // A server can name another host in its answer to PASV; EPSV knows only ports.
        ftp.set_mode(if has("EPSV") || address.is_ipv6() { Mode::ExtendedPassive } else { Mode::Passive });
        ftp.set_passive_nat_workaround(true);
        let home = Failed::of(timeout(within, ftp.pwd()).await, within).map_err(failed)?;
        Ok(Connection::new(ftp, home, has("MLST"), within))
    }
}

/// Servers want the session of the control connection resumed for the data: each connection keeps its own.
fn encryption(roots: &Arc<RootCertStore>) -> AsyncRustlsConnector {
    let config = ClientConfig::builder().with_root_certificates(Arc::clone(roots)).with_no_client_auth();
    TlsConnector::from(Arc::new(config)).into()
}

fn roots(rule: &Rule) -> Result<RootCertStore, Trouble> {
    // Whoever was first, it is the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(pem) = &rule.ca {
        let failed = |why: &dyn fmt::Display| {
            Trouble::misconfigured(format!("the `ca` for `{}` cannot be read: {why}", rule.prefix))
        };
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
        }
    }
    Ok(roots)
}

/// `host`, `host:21`, `[::1]:21`; without the brackets.
pub(in super::super) fn host_and_port(authority: &str, default: u16) -> Option<(String, u16)> {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = if rest.is_empty() { default } else { rest.strip_prefix(':')?.parse().ok()? };
        return Some((host.to_owned(), port));
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), default)),
    }
}
