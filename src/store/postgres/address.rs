//! Whom to talk to: a URL as PostgreSQL's users know it, and what goes with it.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tls::{self, Trust};
use crate::store::StoreError;

/// What a store in PostgreSQL is opened with.
#[derive(Clone)]
pub struct Settings {
    /// `postgresql://user:password@host:port/database?sslmode=verify-full`; several hosts stand with commas between.
    pub url: String,
    /// Certificates, PEM, of authorities that the server's certificate may come from, instead of the public ones.
    pub ca: Option<PathBuf>,
    /// Connections at once, those that write and listen included; 3 at least.
    pub connections: usize,
    /// How long making a connection may take, each host.
    pub connect_timeout: Duration,
    /// How long a start waits for a database that does not answer yet.
    pub start_timeout: Duration,
}

// The URL holds a password.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// Whom to talk to, read from [`Settings`].
#[derive(Clone)]
pub(super) struct Address {
    /// For the driver.
    pub(super) config: Config,
    /// How the server is known.
    pub(super) tls: MakeRustlsConnect,
    /// `host:port/database`, for sentences.
    pub(super) place: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place)
    }
}

impl Address {
    /// Reads the settings. A sentence never shows the URL, for it holds a password.
    pub(super) fn read(settings: &Settings) -> Result<Self, StoreError> {
        Self::parsed(settings).map_err(|why| StoreError::Unavailable(format!("`store.url` {why}")))
    }

    fn parsed(settings: &Settings) -> Result<Self, String> {
        let (url, mut trust, mut ca) = without_tls(&settings.url)?;
        if let Some(file) = &settings.ca {
            ca = Some(file.clone());
            trust = trust.with_authorities();
        }
        let mut config = Config::from_str(&url).map_err(|_| SHAPE.to_owned())?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(format!("names no host; {SHAPE}"));
        }
        if config.get_user().is_none() {
            return Err("names no user; write `postgresql://user:password@host/database`".to_owned());
        }
        if config.get_dbname().is_none() {
            return Err("names no database; write `postgresql://user:password@host/database`".to_owned());
        }
        if config.get_application_name().is_none() {
            config.application_name("tessera");
        }
        config
            .ssl_mode(match trust {
                Trust::Plain => SslMode::Disable,
                Trust::Offered => SslMode::Prefer,
                Trust::Anyone | Trust::Authority | Trust::Name => SslMode::Require,
            })
            // Of several hosts, the one that can be written to: after a failover it is another one.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(settings.connect_timeout)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(15));
        let place = place(&config);
        let tls = tls::connector(trust, ca.as_deref())?;
        Ok(Self { config, tls, place })
    }
}

const SHAPE: &str = "cannot be read as `postgresql://user:password@host:port/database`; characters such as `@ / ? # %` \
                     in the user or the password are written percent-encoded";

/// What of a URL is not the driver's: how the server is known.
fn without_tls(url: &str) -> Result<(String, Trust, Option<PathBuf>), String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(SHAPE.to_owned());
    }
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    if query.contains('@') {
        // Part of a password that was not encoded.
        return Err(SHAPE.to_owned());
    }
    let (mut trust, mut ca, mut kept) = (Trust::Offered, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sslmode" => {
                trust = Trust::parse(value).ok_or_else(|| {
                    format!("has no such `sslmode`; one of disable, prefer, require, verify-ca, verify-full: `{value}`")
                })?;
            }
            "sslrootcert" => {
                let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
                ca = Some(PathBuf::from(path));
            }
            // Only what can be written to is of use.
            "target_session_attrs" if matches!(value, "read-write" | "primary" | "any") => {}
            "target_session_attrs" => {
                return Err(
                    "asks for servers that cannot be written to; write `target_session_attrs=read-write`".to_owned()
                );
            }
            "application_name" | "options" | "host" | "hostaddr" | "port" | "user" | "password" | "dbname"
            | "channel_binding" | "load_balance_hosts" => kept.push(pair),
            other => return Err(format!("has the option `{other}`, which is not known here")),
        }
    }
    if ca.is_some() {
        trust = trust.with_authorities();
    }
    let joint = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{address}{joint}{}", kept.join("&")), trust, ca))
}

fn place(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
            Host::Tcp(name) => format!("{name}:{port}"),
            Host::Unix(path) => format!("{}:{port}", path.display()),
        }
    });
    format!("{}/{}", hosts.collect::<Vec<_>>().join(","), config.get_dbname().unwrap_or_default())
}
