//! `[events]`: what is kept for those who follow their tasks, and who is told by webhook.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize, Serializer};
use tessera_runtime::storage::guard::Guard;
use url::Url;

use super::auth::Auth;
use super::problem::Problems;
use super::secret::Secret;

/// `[events]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// How many changes of state are kept for clients and webhooks that come back; a task has about four. Default
    /// 1000000.
    pub keep: u64,
    /// `[[events.webhooks]]`: servers that are told of changes. Default none.
    pub webhooks: Vec<Webhook>,
}

/// A server that is told of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where it is: http or https, without a login.
    pub url: Address,
    /// What signs the messages: `whsec_` and Base64, or any other text.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub secret: Secret,
    /// A file that holds the secret instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The states it is told of. Default: the four in which a task ends.
    #[serde(default = "ends")]
    pub states: BTreeSet<HookState>,
    /// Whose tasks, by the names in `[auth]`. Default everybody's.
    #[serde(default)]
    pub owners: BTreeSet<String>,
    /// It may be this machine or a service of its network's own. Default false.
    #[serde(default)]
    pub internal: bool,
    /// How old an event may become before it is given up, seconds. Default 86400.
    #[serde(default = "a_day")]
    pub give_up_after_s: u64,
    /// How long one try may take, milliseconds. Default 10000.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
}

/// A URL whose path and query may be a secret. Read like any text; written, debugged and logged without them.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Url::parse(&self.0) {
            Ok(url) if url.has_host() => write!(f, "{}/…", url.origin().ascii_serialization()),
            Ok(_) | Err(_) => f.write_str("…"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A state, in the words that callers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum HookState {
    Queued,
    Initializing,
    Running,
    Paused,
    Preempted,
    Canceling,
    Complete,
    ExecutorError,
    SystemError,
    Canceled,
}

fn ends() -> BTreeSet<HookState> {
    [HookState::Complete, HookState::ExecutorError, HookState::SystemError, HookState::Canceled].into()
}

fn a_day() -> u64 {
    24 * 3_600
}

fn ten_seconds() -> u64 {
    10_000
}

impl Default for Events {
    fn default() -> Self {
        Self { keep: 1_000_000, webhooks: Vec::new() }
    }
}

impl Events {
    pub(super) fn check(&self, auth: &Auth, problems: &mut Problems) {
        if self.keep == 0 {
            problems.add("events.keep", "must be at least 1; who comes back would hear nothing");
        }
        let mut urls = BTreeSet::new();
        for (index, webhook) in self.webhooks.iter().enumerate() {
            let at = |key: &str| format!("events.webhooks[{index}].{key}");
            // As parsed, for so the store knows how far each was told.
            match webhook.place().map(|url| urls.insert(url)) {
                Ok(true) => {}
                Ok(false) => problems.add(&at("url"), "is there twice; name all states in one entry"),
                Err(reason) => problems.add(&at("url"), reason),
            }
            if let Some(nobody) = webhook.owners.iter().find(|name| auth.is_required() && !auth.knows(name)) {
                problems.add(&at("owners"), format!("`{nobody}` is no name of [[auth.tokens]] or [[auth.users]]"));
            }
            match Secret::resolve(&webhook.secret, webhook.secret_file.as_deref()) {
                Ok(secret) if !is_key(&secret) => problems.add(&at("secret"), "what follows `whsec_` is not Base64"),
                Ok(_) => {}
                Err(reason) => problems.add(&at("secret"), reason),
            }
            if webhook.states.is_empty() {
                problems.add(&at("states"), "names no state; leave it out for the four in which a task ends");
            }
            if webhook.timeout_ms == 0 {
                problems.add(&at("timeout_ms"), "must be at least 1");
            }
        }
    }
}

/// Whether a secret can sign: what says it is Base64 has to be.
fn is_key(secret: &Secret) -> bool {
    let encoded = secret.expose().strip_prefix("whsec_");
    encoded.is_none_or(|text| !text.is_empty() && BASE64_STANDARD.decode(text).is_ok())
}

impl Webhook {
    /// The address, as far as it can be judged without asking anybody; the error is a sentence.
    pub fn place(&self) -> Result<Url, String> {
        let url = Url::parse(&self.url.0).map_err(|error| format!("is no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("must be http://HOST/… or https://HOST/…".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("holds a login; messages are signed with `secret` instead".to_owned());
        }
        if !self.internal && Guard::default().allows(&url).is_err() {
            return Err("is an address of this machine or of its network's own services; set `internal = true` if \
                        it is meant"
                .to_owned());
        }
        Ok(url)
    }
}
