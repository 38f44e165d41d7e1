//! What the API server was asked, from its audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The file of `--audit-log-path`.
pub(crate) struct AuditLog(PathBuf);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
}

impl AuditLog {
    /// The one that is named.
    pub(crate) fn find() -> Result<Self> {
        let named = std::env::var_os("TESSERA_TEST_AUDIT_LOG");
        let path = named.context("TESSERA_TEST_AUDIT_LOG names no audit log; `cargo xtask bench --kubernetes` does")?;
        Ok(Self(path.into()))
    }

    /// Where it ends now.
    pub(crate) fn end(&self) -> Result<u64> {
        Ok(self.0.metadata().with_context(|| self.0.display().to_string())?.len())
    }

    /// Calls of this user whose events came later. A watch is one call, however many events it makes.
    pub(crate) fn since(&self, from: u64, user: &str) -> Result<Calls> {
        let mut file = File::open(&self.0)?;
        file.seek(SeekFrom::Start(from))?;
        let (mut seen, mut calls) = (BTreeSet::new(), Calls::default());
        for line in BufReader::new(file).lines() {
            let line = line?;
            let event: Event = serde_json::from_str(&line).with_context(|| line.clone())?;
            if event.user.username != user || !seen.insert(event.audit_id) {
                continue;
            }
            let Object { resource, subresource } = event.object_ref.unwrap_or_default();
            let what = if subresource.is_empty() { resource } else { format!("{resource}/{subresource}") };
            *calls.0.entry((event.verb, what)).or_default() += 1;
        }
        Ok(calls)
    }
}

/// How many, by verb and resource.
#[derive(Default)]
pub(crate) struct Calls(BTreeMap<(String, String), usize>);

impl Calls {
    /// All of them.
    pub(crate) fn all(&self) -> usize {
        self.0.values().sum()
    }

    /// Those with this verb.
    pub(crate) fn of(&self, verb: &str) -> usize {
        self.0.iter().filter(|((own, _), _)| own == verb).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|((verb, what), count)| writeln!(f, "  {verb:<8} {what:<16} {count:>8}"))
    }
}
