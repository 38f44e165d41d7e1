//! `[auth]`: who may call, and under which name.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Problems;
use super::secret::Secret;
use super::server::Server;

/// `[auth]`. With neither tokens nor users everybody is `anonymous`, on loopback only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Serve everybody also beyond loopback, when there are neither tokens nor users. Default false.
    pub allow_anonymous: bool,
    /// `[[auth.tokens]]`: static bearer tokens. Default none.
    pub tokens: Vec<Token>,
    /// `[[auth.users]]`: users with passwords (Basic). Default none.
    pub users: Vec<User>,
}

/// One bearer token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whom tasks created with it belong to. Several tokens may share a name.
    pub name: String,
    /// The token.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    /// A file that holds the token instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// One user with a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user name, and whom tasks belong to.
    pub name: String,
    /// The password.
    #[serde(default, skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    /// A file that holds the password instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

impl Auth {
    /// Whether callers have to say who they are.
    pub fn is_required(&self) -> bool {
        !self.tokens.is_empty() || !self.users.is_empty()
    }

    /// Whether somebody can log in under this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        let tokens = self.tokens.iter().map(|token| &token.name);
        tokens.chain(self.users.iter().map(|user| &user.name)).any(|known| known == name)
    }

    pub(super) fn check(&self, server: &Server, problems: &mut Problems) {
        if !server.listen.ip().is_loopback() && !self.is_required() && !self.allow_anonymous {
            problems.add(
                "server.listen",
                format!(
                    "{} can be reached from other machines and nobody has to log in; add [[auth.tokens]] or \
                     [[auth.users]], or serve everybody with --allow-anonymous",
                    server.listen
                ),
            );
        }
        if self.allow_anonymous && self.is_required() {
            problems.add("auth.allow_anonymous", "contradicts [[auth.tokens]] and [[auth.users]]; keep one of them");
        }
        let mut tokens = BTreeSet::new();
        for (index, entry) in self.tokens.iter().enumerate() {
            check_name(&entry.name, &format!("auth.tokens[{index}].name"), problems);
            let at = format!("auth.tokens[{index}].token");
            match Secret::resolve(&entry.token, entry.token_file.as_deref()) {
                Ok(secret) if !tokens.insert(secret.expose().to_owned()) => problems.add(&at, "given twice"),
                Ok(_) => {}
                Err(reason) => problems.add(&at, reason),
            }
        }
        let mut users = BTreeSet::new();
        for (index, entry) in self.users.iter().enumerate() {
            check_name(&entry.name, &format!("auth.users[{index}].name"), problems);
            if entry.name.contains(':') {
                problems.add(&format!("auth.users[{index}].name"), "a Basic user name cannot hold `:`");
            }
            if !users.insert(&entry.name) {
                problems.add(&format!("auth.users[{index}].name"), format!("`{}` is there twice", entry.name));
            }
            if let Err(reason) = Secret::resolve(&entry.password, entry.password_file.as_deref()) {
                problems.add(&format!("auth.users[{index}].password"), reason);
            }
        }
    }
}

fn check_name(name: &str, at: &str, problems: &mut Problems) {
    if name.is_empty() || name.chars().any(char::is_control) {
        problems.add(at, "must be a name without control characters; it becomes the owner of tasks");
    }
    if name == "anonymous" {
        problems.add(at, "`anonymous` is the owner on a server without logins; choose another name");
    }
}
