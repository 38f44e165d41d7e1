//! The URLs of a bucket and its objects.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::storage::location::Remote;
use crate::storage::settings::Rule;
use crate::storage::trouble::Trouble;

const PUBLIC: &str = "https://storage.googleapis.com";
/// What stays as it is. A name is one component of a path, so its slashes do not.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is told of an object.
const FIELDS: &str = "name,size,generation,updated,md5Hash,crc32c";

/// One bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// URL of the service, without a slash at its end.
    pub(super) service: String,
    bucket: String,
    /// An emulator that the environment names: nobody is asked who they are.
    pub(super) emulated: bool,
}

impl Address {
    /// `emulator` is what the environment names in place of Google.
    pub(super) fn new(remote: &Remote, rule: &Rule, emulator: Option<String>) -> Result<Self, Trouble> {
        let bucket = &remote.authority;
        if bucket.is_empty() || !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(Trouble::rejected(format!("`gs://{bucket}` is no bucket of Google Cloud Storage")));
        }
        let emulated = rule.endpoint.is_none() && emulator.is_some();
        let service = match rule.endpoint.clone().or(emulator) {
            // Google's own tools write an emulator without a scheme.
            Some(service) if !service.contains("://") => format!("http://{service}"),
            Some(service) => service,
            None => PUBLIC.to_owned(),
        };
        Ok(Self { service: service.trim_end_matches('/').to_owned(), bucket: bucket.clone(), emulated })
    }

    /// What is known of an object.
    pub(super) fn resource(&self, key: &str) -> Result<String, Trouble> {
        Ok(format!("{}?fields={}", self.object(key)?, encoded(FIELDS)))
    }

    /// An object's bytes, of one generation or of the present one.
    pub(super) fn media(&self, key: &str, generation: Option<&str>) -> Result<String, Trouble> {
        let generation = generation.map(|number| format!("&generation={}", encoded(number))).unwrap_or_default();
        Ok(format!("{}?alt=media{generation}", self.object(key)?))
    }

    /// A page of the objects whose names begin with this.
    pub(super) fn page(&self, prefix: &str, token: Option<&str>) -> String {
        let token = token.map(|token| format!("&pageToken={}", encoded(token))).unwrap_or_default();
        let fields = encoded(&format!("nextPageToken,items({FIELDS})"));
        let (service, bucket, prefix) = (&self.service, &self.bucket, encoded(prefix));
        format!("{service}/storage/v1/b/{bucket}/o?prefix={prefix}&fields={fields}{token}")
    }

    /// Where an object is written to; `kind` is `media` or `resumable`.
    pub(super) fn upload(&self, key: &str, kind: &str) -> Result<String, Trouble> {
        self.refuse_steps(key)?;
        let (service, bucket, name) = (&self.service, &self.bucket, encoded(key));
        Ok(format!("{service}/upload/storage/v1/b/{bucket}/o?uploadType={kind}&name={name}"))
    }

    /// How an object is named in messages.
    pub(super) fn shown(&self, key: &str) -> String {
        format!("gs://{}/{key}", self.bucket)
    }

    fn object(&self, key: &str) -> Result<String, Trouble> {
        self.refuse_steps(key)?;
        Ok(format!("{}/storage/v1/b/{}/o/{}", self.service, self.bucket, encoded(key)))
    }

    /// Names that a URL cannot hold, and Google allows nobody to give.
    fn refuse_steps(&self, key: &str) -> Result<(), Trouble> {
        let shown = self.shown(key);
        match key {
            "" => Err(Trouble::absent(format!("`{shown}` names a bucket, not a file in it"))),
            "." | ".." => Err(Trouble::rejected(format!("`{shown}` cannot be a name in Google Cloud Storage"))),
            _ => Ok(()),
        }
    }
}

fn encoded(text: &str) -> String {
    percent_encode(text.as_bytes(), PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::storage::location::Location;

    fn address(url: &str, rule: &Rule, emulator: Option<&str>) -> Result<Address, Trouble> {
        let Location::Remote(remote) = Location::parse(url).unwrap() else { panic!("{url}") };
        Address::new(&remote, rule, emulator.map(str::to_owned))
    }

    #[test]
    fn services() {
        let own = Rule { endpoint: Some("http://127.0.0.1:4443/".to_owned()), ..Rule::default() };
        let none = Rule::default();
        for (rule, emulator, service, emulated) in [
            (&none, None, "https://storage.googleapis.com", false),
            (&own, None, "http://127.0.0.1:4443", false),
            (&own, Some("http://other"), "http://127.0.0.1:4443", false),
            (&none, Some("localhost:9000"), "http://localhost:9000", true),
        ] {
            let address = address("gs://b/k", rule, emulator).unwrap();
            assert_eq!((address.service.as_str(), address.emulated), (service, emulated));
        }
        assert!(address("gs://b:c/k", &none, None).is_err());
    }

    #[test]
    fn names_go_as_they_are() {
        let address = address("gs://bucket/x", &Rule::default(), None).unwrap();
        let url = address.media("/a b//%+#?\\../ü", Some("17")).unwrap();
        let path = "%2Fa%20b%2F%2F%25%2B%23%3F%5C..%2F%C3%BC";
        assert_eq!(url, format!("https://storage.googleapis.com/storage/v1/b/bucket/o/{path}?alt=media&generation=17"));
        // No client on the way changes it.
        assert_eq!(reqwest::Url::parse(&url).unwrap().as_str(), url);
        assert!(address.upload("a/b", "media").unwrap().ends_with("/o?uploadType=media&name=a%2Fb"));
        for key in ["", ".", ".."] {
            assert!(address.resource(key).is_err() && address.upload(key, "media").is_err(), "{key}");
        }
        assert!(address.resource("a/..").is_ok());
    }
}
