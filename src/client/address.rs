//! Where a server is.

use std::fmt;

use url::Url;

use super::error::ClientError;

/// The prefix that the specification names (TES contract 3.2).
const PREFIX: &str = "/ga4gh/tes/v1";
/// Where Tessera has its own API.
const OWN: &str = "/api/v1";

/// The base of a TES API: `http://host:8000` is completed with the specified prefix; an address that already ends
/// in `/v1` is taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    base: Url,
}

impl Address {
    /// Reads an address; without a scheme it is `http`.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let unusable =
            |reason: String| ClientError::Unusable(format!("`{text}` is no address of a TES server: {reason}"));
        let complete = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let mut base = Url::parse(&complete).map_err(|error| unusable(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(unusable("write http://HOST:PORT or https://HOST".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            // The address is shown in messages; what is in it would be shown with it.
            return Err(ClientError::Unusable(
                "write no user or password into the server's address; use TESSERA_USER and TESSERA_PASSWORD".to_owned(),
            ));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&if path.ends_with("/v1") { path } else { format!("{path}{PREFIX}") });
        base.set_query(None);
        base.set_fragment(None);
        Ok(Self { base })
    }

    /// The URL of a path below the API; each piece is one segment, escaped where needed.
    pub(super) fn at(&self, pieces: &[&str]) -> Url {
        below(self.base.clone(), pieces)
    }

    /// The URL of a path below the server's own API, which lies beside its TES API; whether it has one is not known.
    pub fn own(&self, pieces: &[&str]) -> Url {
        let mut url = self.base.clone();
        let path = url.path();
        let root = path.strip_suffix(PREFIX).or_else(|| path.strip_suffix("/v1")).unwrap_or(path);
        url.set_path(&format!("{root}{OWN}"));
        below(url, pieces)
    }
}

fn below(mut url: Url, pieces: &[&str]) -> Url {
    if let Ok(mut path) = url.path_segments_mut() {
        path.extend(pieces);
    }
    url
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.base.as_str();
        f.write_str(shown.strip_suffix(PREFIX).unwrap_or(shown))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_gets_the_specified_prefix_and_a_full_one_stays() {
        let url = |text: &str| Address::parse(text).unwrap().at(&["tasks"]).to_string();
        assert_eq!(url("localhost:8000"), "http://localhost:8000/ga4gh/tes/v1/tasks");
        assert_eq!(url("https://tes.example.org/"), "https://tes.example.org/ga4gh/tes/v1/tasks");
        assert_eq!(url("https://tes.example.org/v1"), "https://tes.example.org/v1/tasks");
        assert_eq!(url("http://x/ga4gh/tes/v1/"), "http://x/ga4gh/tes/v1/tasks");
        assert_eq!(url("http://x/proxy"), "http://x/proxy/ga4gh/tes/v1/tasks");
    }

    #[test]
    fn our_own_api_lies_beside() {
        let url = |text: &str| Address::parse(text).unwrap().own(&["events"]).to_string();
        assert_eq!(url("localhost:8000"), "http://localhost:8000/api/v1/events");
        assert_eq!(url("https://tes.example.org/v1"), "https://tes.example.org/api/v1/events");
        assert_eq!(url("http://x/proxy/ga4gh/tes/v1/"), "http://x/proxy/api/v1/events");
    }

    #[test]
    fn an_id_cannot_leave_its_segment() {
        let address = Address::parse("http://x").unwrap();
        assert_eq!(address.at(&["tasks", "a/../b?c"]).path(), "/ga4gh/tes/v1/tasks/a%2F..%2Fb%3Fc");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in ["", "ftp://x", "http://", "http://user:secret@x", "http://x:99999"] {
            let error = Address::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
