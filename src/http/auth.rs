//! Who calls (TES contract 17.4, 17.5).

use axum::http::{HeaderMap, header};
use base64::Engine as _;

use super::error::ApiError;
use super::settings::Secret;
use crate::task::Owner;

/// Who may call.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Everybody, as [`Owner::anonymous`]; an `Authorization` header is ignored, whatever it holds (17.4).
    #[default]
    Open,
    /// Who knows a token or a password.
    Required(Credentials),
}

/// What callers may show.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Bearer tokens; several may belong to one name.
    pub tokens: Vec<Token>,
    /// Basic users.
    pub users: Vec<User>,
}

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whom tasks created with it belong to.
    pub name: String,
    /// The token.
    pub token: Secret,
}

/// A Basic user.
#[derive(Debug, Clone)]
pub struct User {
    /// The user name, and whom tasks belong to.
    pub name: String,
    /// The password.
    pub password: Secret,
}

impl Access {
    /// The caller, or 401.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Owner, ApiError> {
        let known = match self {
            Self::Open => return Ok(Owner::anonymous()),
            Self::Required(known) => known,
        };
        let Some(shown) = headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::unauthorized("log in with a Bearer token, or with a Basic user and password"));
        };
        let name = known.name_of(shown.as_bytes());
        name.map(|name| Owner(name.to_owned())).ok_or_else(|| ApiError::unauthorized("unknown token, user or password"))
    }
}

impl Credentials {
    fn name_of(&self, shown: &[u8]) -> Option<&str> {
        let space = shown.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = (&shown[..space], shown[space..].trim_ascii());
        if scheme.eq_ignore_ascii_case(b"bearer") {
            self.bearer(rest)
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            self.basic(rest)
        } else {
            None
        }
    }

    // Both go through all of the list, so that the time does not tell how far a guess came.

    fn bearer(&self, shown: &[u8]) -> Option<&str> {
        let shown = Secret::of_bytes(shown);
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.token.is(&shown)) {
                found = Some(known.name.as_str());
            }
        }
        found
    }

    fn basic(&self, shown: &[u8]) -> Option<&str> {
        let pair = base64::prelude::BASE64_STANDARD.decode(shown).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let (name, password) = (Secret::of_bytes(&pair[..colon]), Secret::of_bytes(&pair[colon + 1..]));
        let mut found = None;
        for known in &self.users {
            if bool::from(Secret::new(&known.name).is(&name) & known.password.is(&password)) {
                found = Some(known.name.as_str());
            }
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn access() -> Access {
        Access::Required(Credentials {
            tokens: vec![Token { name: "ci".to_owned(), token: Secret::new("s3cret") }],
            users: vec![User { name: "ada".to_owned(), password: Secret::new("pass:word") }],
        })
    }

    fn headers(authorization: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
    }

    #[test]
    fn rule_17_5_bearer_and_basic_name_the_owner() {
        for (shown, owner) in [
            ("Bearer s3cret".to_owned(), Some("ci")),
            ("bearer  s3cret".to_owned(), Some("ci")),
            ("Bearer s3cre".to_owned(), None),
            ("Bearer".to_owned(), None),
            (basic("ada:pass:word"), Some("ada")),
            (basic("ada:pass"), None),
            (basic("ci:s3cret"), None),
            (basic("ada"), None),
            ("Basic !!".to_owned(), None),
            ("Digest s3cret".to_owned(), None),
        ] {
            let caller = access().caller(&headers(&shown)).ok();
            assert_eq!(caller.map(|owner| owner.0).as_deref(), owner, "{shown}");
        }
        assert!(access().caller(&HeaderMap::new()).is_err());
    }

    #[test]
    fn rule_17_4_an_open_server_ignores_the_header() {
        for shown in [basic("None:None"), basic(":"), "nonsense".to_owned()] {
            assert_eq!(Access::Open.caller(&headers(&shown)).unwrap(), Owner::anonymous());
        }
    }

    #[test]
    fn secrets_never_print() {
        let printed = format!("{:?}", access());
        assert!(!printed.contains("s3cret") && !printed.contains("pass:word"), "{printed}");
    }
}
