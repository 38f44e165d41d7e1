//! What a service answers.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::super::checksum::{Algorithm, Checksum};
use super::super::store::Object;

/// Of ways, sums and headers no more than so many are looked at.
const FEW: usize = 16;
/// What a bundle itself may hold.
const MOST_CONTENTS: usize = 100_000;

/// An object: something that can be fetched, or a bundle.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct DrsObject {
    pub(super) id: String,
    pub(super) size: Option<u64>,
    #[serde(rename = "updated_time")]
    pub(super) updated: Option<String>,
    #[serde(deserialize_with = "few")]
    pub(super) checksums: Vec<DrsChecksum>,
    #[serde(deserialize_with = "few")]
    pub(super) access_methods: Vec<AccessMethod>,
    #[serde(deserialize_with = "contents")]
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
    #[serde(deserialize_with = "few")]
    pub(super) headers: Vec<String>,
}

impl fmt::Debug for AccessUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    #[serde(deserialize_with = "few")]
    pub(super) drs_uri: Vec<String>,
}

/// The first of a list; the rest is passed over.
fn few<'a, D: Deserializer<'a>, T: Deserialize<'a>>(told: D) -> Result<Vec<T>, D::Error> {
    told.deserialize_seq(Bounded { most: FEW, refuses: false, of: PhantomData })
}

/// The whole list: half a bundle would be another one.
fn contents<'a, D: Deserializer<'a>>(told: D) -> Result<Vec<Content>, D::Error> {
    told.deserialize_seq(Bounded { most: MOST_CONTENTS, refuses: true, of: PhantomData })
}

/// Reads a list no further than it may go.
struct Bounded<T> {
    most: usize,
    refuses: bool,
    of: PhantomData<T>,
}

impl<'a, T: Deserialize<'a>> Visitor<'a> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.most)
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut told: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while list.len() < self.most {
            match told.next_element()? {
                Some(one) => list.push(one),
                None => return Ok(list),
            }
        }
        while told.next_element::<IgnoredAny>()?.is_some() {
            if self.refuses {
                return Err(A::Error::custom(format!("a list is longer than {}", self.most)));
            }
        }
        Ok(list)
    }
}

impl DrsObject {
    pub(super) fn is_bundle(&self) -> bool {
        self.access_methods.is_empty() && !self.contents.is_empty()
    }

    /// Without a version: that is the storage's business. The sums are a promise of the record, so each is proved.
    pub(super) fn object(&self) -> Object {
        if self.is_bundle() {
            return Object { directory: true, ..Object::default() };
        }
        let modified = self.updated.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
        let demanded = self.checksums.iter().filter_map(DrsChecksum::known).collect();
        Object { directory: false, size: self.size, modified, demanded, ..Object::default() }
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
        assert_eq!((known.directory, known.size, known.demanded.len()), (false, Some(3), 1));
        assert_eq!(known.modified.unwrap().to_string(), "2024-01-02T03:04:05Z");
        let kinds: Vec<_> = object.methods().iter().map(|method| method.kind.as_str()).collect();
        assert_eq!(kinds, ["s3", "https", "globus"]);
        let url = object.methods()[1].access_url.clone().unwrap();
        assert_eq!(url.authorization(), Some("Bearer abc"));
        assert!(!format!("{object:?}").contains("sig="));
    }

    #[test]
    fn lists_are_read_as_far_as_they_may_go() {
        let read = |told: serde_json::Value| serde_json::from_value::<DrsObject>(told);
        let object = read(json!({"id": "a", "checksums": vec![json!({}); 20], "access_methods": vec![json!({}); 20]}));
        let object = object.unwrap();
        assert_eq!((object.checksums.len(), object.access_methods.len(), object.id.as_str()), (FEW, FEW, "a"));
        let whole = read(json!({"contents": vec![json!({}); MOST_CONTENTS], "id": "b"})).unwrap();
        assert_eq!((whole.contents.len(), whole.id.as_str()), (MOST_CONTENTS, "b"));
        let longer = read(json!({"contents": vec![json!({}); MOST_CONTENTS + 1]})).unwrap_err();
        assert!(longer.to_string().contains("longer than"), "{longer}");
    }

    #[test]
    fn a_bundle() {
        let object: DrsObject =
            serde_json::from_value(json!({"id": "b", "contents": [{"name": "x", "id": "a", "drs_uri": []}]})).unwrap();
        assert!(object.is_bundle() && object.object().directory);
    }
}
