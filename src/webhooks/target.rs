//! Whom to tell, and what.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;
use sha2::{Digest as _, Sha256};

use super::sign::SigningKey;
use crate::store::Change;
use crate::task::{Owner, Phase};

/// A target of webhooks.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is.
    pub url: Url,
    /// How what is sent is signed.
    pub key: SigningKey,
    /// The phases it is told of.
    pub phases: BTreeSet<Phase>,
    /// Whose tasks; empty is everybody's.
    pub owners: BTreeSet<Owner>,
    /// It may have an address of this machine or of its network's own services.
    pub internal: bool,
    /// How old an event may become before it is given up.
    pub give_up_after: Duration,
    /// How long one try may take.
    pub timeout: Duration,
    /// How tries follow each other.
    pub pace: Pace,
}

/// How tries follow each other: each waits twice as long as the one before, up to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Before the second try, milliseconds.
    pub first_ms: u64,
    /// At most, milliseconds.
    pub most_ms: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_ms: 1_000, most_ms: 300_000 }
    }
}

impl Target {
    /// Its name in the store: a digest, for an address may hold a secret.
    pub fn name(&self) -> String {
        Sha256::digest(self.url.as_str()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its name in the log: the host alone, for the same reason.
    pub fn shown(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it is told of a change.
    pub fn wants(&self, change: &Change) -> bool {
        self.phases.contains(&change.phase) && (self.owners.is_empty() || self.owners.contains(&change.owner))
    }
}
