//! No request to this machine or to a cloud's own services, unless an operator said so.
//!
//! A task names a URL, and the server's host fetches it: without a guard a task could read what only this host may
//! see. So names are resolved by us and forbidden addresses are left out; addresses that are written out are looked
//! at before, and both again after each redirect. What an operator has named (an endpoint, a proxy, a rule with
//! `internal`) is an exception: that host, at that port.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::trouble::Trouble;

/// Who may be talked to.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Hosts and ports that may have any address.
    exempt: Arc<BTreeSet<(String, u16)>>,
    /// Names of proxies: a client resolves them, a task's URL may not name them.
    proxies: Arc<BTreeSet<String>>,
}

impl Guard {
    /// A guard with exceptions: hosts as URLs write them, and ports.
    pub fn with_exceptions(exempt: impl IntoIterator<Item = (String, u16)>) -> Self {
        let exempt = exempt.into_iter().map(|(host, port)| (host.to_ascii_lowercase(), port));
        Self { exempt: Arc::new(exempt.collect()), proxies: Arc::new(environment_proxies()) }
    }

    /// The same without its exceptions, for hosts that are none: a client's resolver does not learn the port, so an
    /// exception for one port would be one for all.
    pub fn strict(&self) -> Self {
        Self { exempt: Arc::default(), proxies: Arc::clone(&self.proxies) }
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
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(is_forbidden) || is_own_name(host) || self.is_exempt_elsewhere(host) {
            return Err(refused(host));
        }
        Ok(())
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
    values.filter_map(|value| Some(Url::parse(&value).ok()?.host_str()?.to_ascii_lowercase())).collect()
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
    // AWS's metadata service.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    let segments = v6.segments();
    // An IPv4 address in another dress: mapped, compatible, NAT64, 6to4.
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    let embedded = match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(last(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    };
    v6.is_loopback()
        || v6.is_unspecified()
        || v6.is_multicast()
        || segments[0] & 0xffc0 == 0xfe80
        || v6 == METADATA
        || embedded.is_some_and(is_forbidden_v4)
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses() {
        for (address, forbidden) in [
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("0.0.0.0", true),
            ("169.254.169.254", true),
            ("100.100.100.200", true),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("fd00:ec2::254", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:169.254.169.254", true),
            ("64:ff9b::7f00:1", true),
            ("2002:7f00:1::", true),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("93.184.216.34", false),
            ("2606:2800::1", false),
            ("fd12::1", false),
        ] {
            assert_eq!(is_forbidden(address.parse().unwrap()), forbidden, "{address}");
        }
    }

    #[test]
    fn urls_that_write_an_address_out() {
        let guard = Guard::with_exceptions([("127.0.0.1".to_owned(), 9000), ("minio".to_owned(), 9000)]);
        for (url, allowed) in [
            ("http://127.0.0.1/", false),
            ("http://127.0.0.1:9000/x", true),
            ("http://127.0.0.1:9001/x", false),
            ("http://[::1]/", false),
            ("http://0x7f.1/", false),
            ("http://2130706433/", false),
            ("http://localhost/", false),
            ("http://a.localhost./", false),
            ("http://metadata.google.internal/", false),
            ("http://minio:9000/", true),
            ("http://minio:22/", false),
            ("https://example.org/", true),
        ] {
            assert_eq!(guard.allows(&Url::parse(url).unwrap()).is_ok(), allowed, "{url}");
        }
    }

    #[tokio::test]
    async fn names_are_resolved_by_us() {
        let guard = Guard::default();
        assert!(guard.resolve("localhost", 80).await.is_err());
        let open = Guard::with_exceptions([("localhost".to_owned(), 80)]);
        assert!(!open.resolve("localhost", 80).await.unwrap().is_empty());
        let resolver = GuardedResolver(guard);
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_err());
    }
}
