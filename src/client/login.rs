//! Who is asking.

use std::fmt;

/// What is sent as `Authorization`. Its `Debug` shows no secret.
#[derive(Clone, Default)]
pub enum Login {
    /// Nothing.
    #[default]
    Anonymous,
    /// A bearer token.
    Bearer(String),
    /// A user with a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Bearer(_) => f.write_str("Bearer(…)"),
            Self::Basic { user, .. } => write!(f, "Basic({user:?}, …)"),
        }
    }
}

impl Login {
    /// Adds the header to a call.
    pub(super) fn sign(&self, call: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self {
            Self::Anonymous => call,
            Self::Bearer(token) => call.bearer_auth(token),
            Self::Basic { user, password } => call.basic_auth(user, Some(password)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let printed = format!(
            "{:?} {:?}",
            Login::Bearer("s3cret".to_owned()),
            Login::Basic { user: "ada".to_owned(), password: "s3cret".to_owned() }
        );
        assert_eq!(printed, "Bearer(…) Basic(\"ada\", …)");
    }
}
