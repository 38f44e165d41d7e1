//! What a service answers.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::checksum::{Algorithm, Checksum};
use super::super::store::Object;

/// An object: something that can be fetched, or a bundle.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DrsObject {
    pub(super) id: String,
    pub(super) size: Option<u64>,
    #[serde(rename = "updated_time")]
    pub(super) updated: Option<String>,
    pub(super) checksums: Vec<DrsChecksum>,
    pub(super) access_methods: Vec<AccessMethod>,
    pub(super) contents: Vec<Content>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DrsChecksum {
    checksum: String,
    #[serde(rename = "type")]
    kind: String,
}

/// A way to the bytes of an object.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessMethod {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) access_url: Option<AccessUrl>,
    /// Asked for again, it gives an address.
    pub(super) access_id: Option<String>,
}

/// An address, with what has to be sent along.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessUrl {
    pub(super) url: String,
    pub(super) headers: Vec<String>,
}

impl std::fmt::Debug for AccessUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be signed.
        f.write_str("AccessUrl(…)")
    }
}

/// One thing in a bundle.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Content {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) drs_uri: Vec<String>,
}

impl DrsObject {
    pub(super) fn is_bundle(&self) -> bool {
        self.access_methods.is_empty() && !self.contents.is_empty()
    }

    /// Without a version: that is the storage's business.
    pub(super) fn object(&self) -> Object {
        if self.is_bundle() {
            return Object { directory: true, ..Object::default() };
        }
        let modified = self.updated.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        let checksums = self.checksums.iter().filter_map(DrsChecksum::known).collect();
        Object { size: self.size, modified, checksums, ..Object::default() }
    }

    /// The ways to its bytes, best first: those that can be checked and read in parts.
    pub(super) fn methods(&self) -> Vec<&AccessMethod> {
        let rank = |method: &&AccessMethod| {
            let order = ["s3", "gs", "https", "http", "ftp", "sftp"];
            order.iter().position(|kind| *kind == method.kind).unwrap_or(order.len())
        };
        let mut methods: Vec<_> = self.access_methods.iter().collect();
        methods.sort_by_key(rank);
        methods
    }
}

impl DrsChecksum {
    fn known(&self) -> Option<Checksum> {
        let kind: String = self.kind.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
        let algorithm = match kind.as_str() {
            "md5" => Algorithm::Md5,
            "sha1" => Algorithm::Sha1,
            "sha256" => Algorithm::Sha256,
            "crc32c" => Algorithm::Crc32c,
            _ => return None,
        };
        Checksum::from_hex(algorithm, &self.checksum)
    }
}

impl AccessUrl {
    /// The one header that is sent along.
    pub(super) fn authorization(&self) -> Option<&str> {
        let named = self.headers.iter().filter_map(|header| header.split_once(':'));
        let mut values = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("authorization"));
        values.next().map(|(_, value)| value.trim())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_with_its_ways() {
        let object: DrsObject = serde_json::from_value(json!({
            "id": "a", "size": 3, "updated_time": "2024-01-02T03:04:05Z", "self_uri": "drs://h/a", "more": {},
            "checksums": [{"type": "sha-256", "checksum": "00".repeat(32)}, {"type": "md5", "checksum": "short"},
                {"type": "trunc512", "checksum": "00"}],
            "access_methods": [
                {"type": "https", "access_url": {"url": "https://h/x?sig=1",
                    "headers": ["X-Other: no", "authorization:  Bearer abc "]}},
                {"type": "globus", "access_id": "g"},
                {"type": "s3", "access_id": "s"}],
        }))
        .unwrap();
        let known = object.object();
        assert_eq!((known.directory, known.size, known.checksums.len()), (false, Some(3), 1));
        assert_eq!(known.modified.unwrap().to_string(), "2024-01-02T03:04:05Z");
        let kinds: Vec<_> = object.methods().iter().map(|method| method.kind.as_str()).collect();
        assert_eq!(kinds, ["s3", "https", "globus"]);
        let url = object.methods()[1].access_url.clone().unwrap();
        assert_eq!(url.authorization(), Some("Bearer abc"));
        assert!(!format!("{object:?}").contains("sig="));
    }

    #[test]
    fn a_bundle() {
        let object: DrsObject =
            serde_json::from_value(json!({"id": "b", "contents": [{"name": "x", "id": "a", "drs_uri": []}]})).unwrap();
        assert!(object.is_bundle() && object.object().directory);
    }
}
