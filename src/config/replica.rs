//! `[replica]`: this server among several on one store. Only where the store is shared.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::problem::Problems;

/// The longest name of a server.
const LONGEST_NAME: usize = 64;
/// A shorter lease would be over before the store has answered.
const LEAST_LEASE_MS: u64 = 500;

/// `[replica]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replica {
    /// This server's name among the others: its own, and the same after a restart. Letters, digits, `-`, `_` and `.`.
    /// Default: the name of the host.
    pub name: String,
    /// Where the other servers reach this one, such as `http://10.0.0.5:8000`: what only this server has (logs that it
    /// keeps) is asked for there. Default none.
    pub address: String,
    /// How long this server's word that it is there holds, milliseconds; it says so three times as often. After that the
    /// others take its tasks over. Default 15000.
    pub lease_ms: u64,
    /// How long this server waits for another machine that is away, milliseconds, before tasks on that machine's own
    /// backends (Docker) count as lost. Default 300000.
    pub absent_after_ms: u64,
}

impl Default for Replica {
    fn default() -> Self {
        Self { name: String::new(), address: String::new(), lease_ms: 15_000, absent_after_ms: 300_000 }
    }
}

impl Replica {
    /// How long a word holds.
    pub fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// How long a machine is waited for.
    pub fn absent_after(&self) -> Duration {
        Duration::from_millis(self.absent_after_ms)
    }

    /// Whether a text can be the name of a server: it stands in names of backends and of folders.
    pub fn is_name(text: &str) -> bool {
        text.len() <= LONGEST_NAME
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if !self.name.is_empty() && !Self::is_name(&self.name) {
            problems.add(
                "replica.name",
                format!("`{}` is no name: letters, digits, `-`, `_` and `.`, at most {LONGEST_NAME}", self.name),
            );
        }
        let is_address = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        if !self.address.is_empty() && !Url::parse(&self.address).is_ok_and(|url| is_address(&url)) {
            problems.add("replica.address", format!("`{}` is no address such as `http://10.0.0.5:8000`", self.address));
        }
        if self.lease_ms < LEAST_LEASE_MS {
            problems.add("replica.lease_ms", format!("{} is too short: at least {LEAST_LEASE_MS}", self.lease_ms));
        }
        if self.absent_after_ms < self.lease_ms {
            problems.add(
                "replica.absent_after_ms",
                format!("{} is too short: at least replica.lease_ms, {}", self.absent_after_ms, self.lease_ms),
            );
        }
    }
}
