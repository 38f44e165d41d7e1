//! No request to this machine or to a cloud's own services, unless an operator said so.
//!
//! A task names a URL, and the server's host fetches it: without a guard a task could read what only this host may
//! see. So names are resolved by us and forbidden addresses are left out; addresses that are written out are looked
//! at before, and both again after each redirect. What an operator has named (an endpoint, a proxy, a rule with
//! `internal`) is an exception: that host, at that port.
//!
//! It also carries the lists of what tasks may use, since a redirect is held to both.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::location::{Location, Remote, Scheme};
use super::settings::Storage;
use super::trouble::Trouble;

/// Who may be talked to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Hosts and ports that may have any address.
    exempt: Arc<BTreeSet<(String, u16)>>,
    /// Names of proxies: a client resolves them, a task's URL may not name them.
    proxies: Arc<BTreeSet<String>>,
    /// What may be used; of the settings only the lists.
    lists: Arc<Storage>,
    /// What is spoken: a list names a place by its protocol, a redirect does not.
    speaks: Option<Scheme>,
}

impl Guard {
    /// A guard with exceptions: hosts as URLs write them, and ports.
    pub fn with_exceptions(exempt: impl IntoIterator<Item = (String, u16)>) -> Self {
        let exempt = exempt.into_iter().map(|(host, port)| (host.to_ascii_lowercase(), port));
        Self { exempt: Arc::new(exempt.collect()), proxies: Arc::new(environment_proxies()), ..Self::default() }
    }

    /// The same with the lists and the proxies of the settings.
    #[must_use]
    pub fn with_settings(self, settings: &Storage) -> Self {
        let lists = Storage { allow: settings.allow.clone(), deny: settings.deny.clone(), ..Storage::default() };
        let proxies = settings.rules.iter().filter_map(|rule| rule.proxy.as_ref());
        let guard = proxies.fold(self, |guard, proxy| guard.with_proxy(proxy.expose()));
        Self { lists: Arc::new(lists), ..guard }
    }

    /// The same for a client that goes through a proxy.
    #[must_use]
    pub(super) fn with_proxy(self, proxy: &str) -> Self {
        let Some(host) = proxy_host(proxy) else { return self };
        let mut proxies = self.proxies.as_ref().clone();
        proxies.insert(host);
        Self { proxies: Arc::new(proxies), ..self }
    }

    /// The same for what is spoken with a place.
    #[must_use]
    pub(super) fn speaking(self, scheme: Scheme) -> Self {
        Self { speaks: Some(scheme), ..self }
    }

    /// The same without its exceptions, for hosts that are none: a client's resolver does not learn the port, so an
    /// exception for one port would be one for all.
    pub fn strict(&self) -> Self {
        Self { exempt: Arc::default(), ..self.clone() }
    }

    /// The guard for a client that talks to this URL's host and to no other.
    pub(super) fn for_host_of(&self, url: &Url) -> Result<Self, Trouble> {
        self.allows(url)?;
        let exempt = match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => self.is_exempt(host, port),
            _ => false,
        };
        Ok(if exempt { self.clone() } else { self.strict() })
    }

    /// Whether a host is an exception at this port.
    pub fn is_exempt(&self, host: &str, port: u16) -> bool {
        self.exempt.contains(&(host.to_ascii_lowercase(), port))
    }

    /// Whether a URL may be asked, as far as it can be seen without resolving its host's name.
    pub fn allows(&self, url: &Url) -> Result<(), Trouble> {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(Trouble::rejected("the URL names no host"));
        };
        self.allows_host(host, port)
    }

    /// The same for a host and port.
    pub fn allows_host(&self, host: &str, port: u16) -> Result<(), Trouble> {
        if self.is_exempt(host, port) {
            return Ok(());
        }
        // A client resolves a proxy's name to whatever address it has.
        let is_proxy = self.proxies.contains(&host.trim_end_matches('.').to_ascii_lowercase());
        if is_own(host) || is_proxy {
            return Err(refused(host));
        }
        Ok(())
    }

    /// Whether a client of this guard may be redirected to a URL.
    pub(super) fn allows_redirect(&self, url: &Url) -> Result<(), Trouble> {
        self.allows(url)?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        if !self.is_exempt(host, port) && self.is_exempt_elsewhere(host) {
            return Err(refused(host));
        }
        match Location::parse(url.as_str())? {
            Location::Remote(remote) => self.listed(remote),
            Location::Host(_) => Err(Trouble::rejected("the URL names no host")),
        }
    }

    /// Whether the lists let a place be used, under its own name or under the one of what is spoken.
    fn listed(&self, remote: Remote) -> Result<(), Trouble> {
        let Some(refusal) = self.lists.refusal(&remote) else { return Ok(()) };
        let spoken = self.speaks.filter(|scheme| matches!(scheme, Scheme::Webdav | Scheme::Webdavs | Scheme::Drs));
        let spoken = spoken.map(|scheme| {
            let key = percent_decode_str(remote.key.trim_start_matches('/')).decode_utf8_lossy().into_owned();
            Remote { scheme, key, ..remote.clone() }
        });
        let denied = Storage { deny: self.lists.deny.clone(), ..Storage::default() }.refusal(&remote).is_some();
        match spoken {
            Some(spoken) if !denied && self.lists.refusal(&spoken).is_none() => Ok(()),
            Some(_) | None => Err(Trouble::rejected(refusal)),
        }
    }

    /// The addresses of a host that may be connected to.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Trouble> {
        self.allows_host(host, port)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await;
        let found = found.map_err(|error| Trouble::unavailable(format!("the host `{host}` is not known: {error}")))?;
        let exempt = self.is_exempt(host, port);
        let allowed: Vec<_> = found.filter(|address| exempt || !is_forbidden(address.ip())).collect();
        if allowed.is_empty() { Err(refused(host)) } else { Ok(allowed) }
    }

    /// Resolves names for an HTTP client as this guard allows.
    pub fn resolver(&self) -> impl Resolve + use<> {
        GuardedResolver(self.clone())
    }

    /// An exception at another port: the resolver would let it pass.
    fn is_exempt_elsewhere(&self, host: &str) -> bool {
        self.exempts_name(host) && host.parse::<IpAddr>().is_err()
    }

    fn exempts_name(&self, host: &str) -> bool {
        self.exempt.iter().any(|(exempt, _)| exempt.eq_ignore_ascii_case(host))
    }
}

/// The names of the proxies that the environment asks for.
fn environment_proxies() -> BTreeSet<String> {
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.filter_map(|value| proxy_host(&value)).collect()
}

/// The host of a proxy, which may be written without a protocol.
fn proxy_host(proxy: &str) -> Option<String> {
    let url = if proxy.contains("://") { Url::parse(proxy) } else { Url::parse(&format!("http://{proxy}")) };
    Some(url.ok()?.host_str()?.trim_end_matches('.').to_ascii_lowercase())
}

/// Whether a host as a URL writes it is plainly this machine, its link or a cloud's own service.
pub(super) fn is_own(host: &str) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    literal.is_ok_and(is_forbidden) || is_own_name(host)
}

fn refused(host: &str) -> Trouble {
    Trouble::rejected(format!(
        "the host `{host}` has an address of this machine or of its network's own services, which tasks may not use"
    ))
}

/// Names that mean this machine or a cloud's own services wherever they are asked.
fn is_own_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host == "metadata" || host == "metadata.google.internal"
}

/// Loopback, link-local, unspecified, and the metadata services of clouds.
fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => is_forbidden_v6(v6),
    }
}

fn is_forbidden_v4(v4: Ipv4Addr) -> bool {
    // Alibaba's and Oracle's metadata services lie outside of the link-local range.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
    v4.is_loopback()
        || v4.is_link_local()
        || v4.octets()[0] == 0
        || v4.is_broadcast()
        || v4.is_multicast()
        || METADATA.contains(&v4)
}

fn is_forbidden_v6(v6: Ipv6Addr) -> bool {
    let segments = v6.segments();
    // The services of AWS and of Google for what runs in them.
    let metadata = matches!(segments, [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..]);
    // An IPv4 address in another dress: mapped, compatible, NAT64, 6to4.
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let embedded = match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(last(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x64, 0xff9b, 1, ..] => return translated(v6).any(|v4| v4.octets()[0] != 0 && is_forbidden_v4(v4)),
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    };
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || segments[0] & 0xffc0 == 0xfe80
        || metadata
        || embedded.is_some_and(is_forbidden_v4)
}

/// The IPv4 addresses that a network's own NAT64 may see in an address of `64:ff9b:1::/48`: where it lies depends on
/// the length of the network's prefix (RFC 6052: 48, 56, 64, 96; the ninth octet is skipped).
fn translated(v6: Ipv6Addr) -> impl Iterator<Item = Ipv4Addr> {
    let octets = v6.octets();
    [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]]
        .into_iter()
        .map(move |places| Ipv4Addr::from(places.map(|place: usize| octets[place])))
}

/// Resolves names for an HTTP client, and leaves forbidden addresses out.
#[derive(Debug, Clone)]
pub(super) struct GuardedResolver(pub(super) Guard);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.0.clone();
        Box::pin(async move {
            let host = name.as_str();
            // The port is not told here; that it is the right one was looked at with the URL.
            let exempt = guard.exempts_name(host) || guard.proxies.contains(&host.to_ascii_lowercase());
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            let allowed: Vec<_> = found.into_iter().filter(|address| exempt || !is_forbidden(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Refused(refused(host).message).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// What a guarded resolver says when every address is forbidden; found again among an error's causes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

#[cfg(test)]
mod tests;
