//! What may be used: by everybody, and by a caller.

use serde::{Deserialize, Serialize};

use super::Storage;
use super::prefix::{Prefix, overlap};
use crate::config::auth::Auth;
use crate::config::problem::Problems;

/// `[[storage.callers]]`: lists for one caller, within the general ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caller {
    /// The caller, as `[auth]` names them; `anonymous` where nobody logs in.
    pub name: String,
    /// URL prefixes that the caller's tasks may use, within `storage.allow`. Default none: as everybody.
    pub allow: Vec<String>,
    /// URL prefixes that the caller's tasks may not use, besides `storage.deny`. Default none.
    pub deny: Vec<String>,
}

/// Canonical prefixes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Lists {
    /// Empty: all.
    pub(super) allow: Vec<String>,
    /// Even if allowed.
    pub(super) deny: Vec<String>,
}

impl Lists {
    /// What cannot be read is left out; it has been refused before.
    fn new(allow: &[String], deny: &[String]) -> Self {
        Self { allow: canonical(allow), deny: canonical(deny) }
    }

    /// Everybody's lists.
    pub(super) fn general(storage: &Storage) -> Self {
        Self::new(&storage.allow, &storage.deny)
    }

    /// The lists that hold for a caller: what both allow, and what either denies.
    pub(super) fn narrowed(&self, caller: &Caller) -> Self {
        let mut own = Self::new(&caller.allow, &caller.deny);
        own.deny.extend(self.deny.iter().cloned());
        own.allow = match (self.allow.is_empty(), own.allow.is_empty()) {
            (true, _) => own.allow,
            (false, true) => self.allow.clone(),
            (false, false) => common(&self.allow, &own.allow),
        };
        own
    }

    /// Whether anything below a canonical prefix may be used.
    pub(super) fn leave_some_of(&self, prefix: &str) -> bool {
        let denied = self.deny.iter().any(|denied| super::prefix::contains(denied, prefix));
        !denied && (self.allow.is_empty() || self.allow.iter().any(|allowed| overlap(allowed, prefix)))
    }
}

fn canonical(texts: &[String]) -> Vec<String> {
    texts.iter().filter_map(|text| Prefix::read(text).ok()).map(|prefix| prefix.canonical).collect()
}

/// Of each pair in which one lies within the other, the inner one.
fn common(some: &[String], others: &[String]) -> Vec<String> {
    let pairs = some.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
    let inner = |(one, other): (&String, &String)| {
        let within = if super::prefix::contains(one, other) { other } else { one };
        overlap(one, other).then(|| within.clone())
    };
    let mut found: Vec<String> = pairs.filter_map(inner).collect();
    found.sort();
    found.dedup();
    found
}

pub(super) fn check(storage: &Storage, auth: &Auth, problems: &mut Problems) {
    check_prefixes("storage.allow", &storage.allow, problems);
    check_prefixes("storage.deny", &storage.deny, problems);
    let general = Lists::general(storage);
    for (index, caller) in storage.callers.iter().enumerate() {
        let at = format!("storage.callers[{index}]");
        if !knows(auth, &caller.name) {
            let wrong =
                format!("`{}` is no caller that [auth] knows, so that the lists would hold for nobody", caller.name);
            problems.add(&format!("{at}.name"), wrong);
        } else if storage.callers[..index].iter().any(|earlier| earlier.name == caller.name) {
            problems.add(&format!("{at}.name"), format!("`{}` is there twice", caller.name));
        }
        check_prefixes(&format!("{at}.allow"), &caller.allow, problems);
        check_prefixes(&format!("{at}.deny"), &caller.deny, problems);
        for (entry, text) in caller.allow.iter().enumerate() {
            let outside = |prefix: &Prefix| {
                !general.allow.is_empty() && !general.allow.iter().any(|allowed| overlap(allowed, &prefix.canonical))
            };
            if Prefix::read(text).is_ok_and(|prefix| outside(&prefix)) {
                problems.add(&format!("{at}.allow[{entry}]"), format!("`{text}` lies outside storage.allow"));
            }
        }
    }
}

fn check_prefixes(key: &str, texts: &[String], problems: &mut Problems) {
    for (index, text) in texts.iter().enumerate() {
        if let Err(reason) = Prefix::read(text) {
            problems.add(&format!("{key}[{index}]"), reason);
        }
    }
}

fn knows(auth: &Auth, name: &str) -> bool {
    match auth.is_required() {
        true => auth.tokens.iter().any(|token| token.name == name) || auth.users.iter().any(|user| user.name == name),
        false => name == "anonymous",
    }
}
