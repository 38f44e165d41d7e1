//! What documents and headers say of an object.

use jiff::Timestamp;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use serde::Deserialize;

use crate::storage::checksum::{Algorithm, Checksum};
use crate::storage::store::{Listed, Object, Page, Tag};

/// An object, as documents describe it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Resource {
    name: String,
    size: Option<String>,
    generation: Option<String>,
    updated: Option<Timestamp>,
    md5_hash: Option<String>,
    crc32c: Option<String>,
}

impl Resource {
    pub(super) fn object(&self) -> Object {
        let sum = |algorithm, text: &Option<String>| Checksum::from_base64(algorithm, text.as_deref()?);
        let sums = [sum(Algorithm::Crc32c, &self.crc32c), sum(Algorithm::Md5, &self.md5_hash)];
        Object {
            directory: false,
            size: self.size.as_ref().and_then(|size| size.parse().ok()),
            tag: self.generation.clone().map(Tag),
            modified: self.updated,
            checksums: sums.into_iter().flatten().collect(),
            ..Object::default()
        }
    }

    pub(super) fn crc32c(&self) -> Option<Checksum> {
        Checksum::from_base64(Algorithm::Crc32c, self.crc32c.as_deref()?)
    }
}

/// Reads a page; names lose what they all begin with. `None` when it is no such page.
pub(super) fn page(json: &[u8], prefix: &str) -> Option<Page> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Objects {
        #[serde(default)]
        items: Vec<Resource>,
        next_page_token: Option<String>,
    }
    let objects: Objects = serde_json::from_slice(json).ok()?;
    let entries = objects.items.iter().filter_map(|resource| {
        let mut name = resource.name.strip_prefix(prefix)?.to_owned();
        let mut object = resource.object();
        // What stands for a directory, as tools make it that show a bucket as a file system.
        if name.ends_with('/') && object.size == Some(0) {
            object.directory = true;
            name.truncate(name.trim_end_matches('/').len());
        }
        (!name.is_empty()).then_some(Listed { name, object })
    });
    let entries = entries.collect();
    Some(Page { entries, next: objects.next_page_token.filter(|token| !token.is_empty()) })
}

/// What an answer's headers say beyond those of any answer.
pub(super) fn completed(headers: &HeaderMap, object: Object) -> Object {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let stored = text("x-goog-stored-content-length").and_then(|length| length.parse().ok());
    Object {
        size: stored.or(object.size),
        tag: text("x-goog-generation").map(|generation| Tag(generation.to_owned())),
        checksums: checksums(headers),
        ..object
    }
}

/// Of the whole object, also with a range; each on its own line or all in one.
fn checksums(headers: &HeaderMap) -> Vec<Checksum> {
    let lines = headers.get_all("x-goog-hash").iter().filter_map(|value| value.to_str().ok());
    let sums = lines.flat_map(|line| line.split(',')).filter_map(|sum| {
        let (name, value) = sum.trim().split_once('=')?;
        match name {
            "crc32c" => Checksum::from_base64(Algorithm::Crc32c, value),
            "md5" => Checksum::from_base64(Algorithm::Md5, value),
            _ => None,
        }
    });
    sums.collect()
}

/// Whether the bytes are those that are stored: the service may unpack or pack them on the way.
pub(super) fn as_stored(headers: &HeaderMap) -> bool {
    let coding = |name: &str| headers.get(name).map(|value| value.as_bytes()).filter(|coding| *coding != b"identity");
    match headers.get("x-goog-stored-content-encoding") {
        Some(_) => {
            coding("x-goog-stored-content-encoding").unwrap_or_default()
                == coding(CONTENT_ENCODING.as_str()).unwrap_or_default()
        }
        None => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_page() {
        let json = r#"{"kind": "storage#objects", "nextPageToken": "t", "items": [
            {"name": "d/", "size": "0"},
            {"name": "d/ a ", "size": "5", "generation": "17", "updated": "2024-01-02T03:04:05.678Z",
             "md5Hash": "XUFAKrxLKna5cZ2REBfFkg==", "crc32c": "mnG7TA=="},
            {"name": "d/marked/", "size": "0"}, {"name": "d/composed", "size": "1", "crc32c": "AAAAAA=="}]}"#;
        let page = page(json.as_bytes(), "d/").unwrap();
        let names: Vec<_> = page.entries.iter().map(|entry| (entry.name.as_str(), entry.object.directory)).collect();
        assert_eq!(names, [(" a ", false), ("marked", true), ("composed", false)]);
        let object = &page.entries[0].object;
        assert_eq!((object.size, object.tag.clone()), (Some(5), Some(Tag("17".to_owned()))));
        assert_eq!(object.modified.unwrap().to_string(), "2024-01-02T03:04:05.678Z");
        assert_eq!((object.checksums.len(), page.entries[2].object.checksums.len()), (2, 1));
        assert_eq!(page.next.as_deref(), Some("t"));
        assert_eq!(super::page(b"{\"kind\": \"storage#objects\"}", ""), Some(Page::default()));
        assert_eq!(super::page(b"<html>", ""), None);
    }

    #[test]
    fn checksums_of_headers() {
        for lines in [
            &[("x-goog-hash", "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg==")][..],
            &[("x-goog-hash", "crc32c=mnG7TA=="), ("x-goog-hash", "md5=XUFAKrxLKna5cZ2REBfFkg==")][..],
        ] {
            let names: Vec<_> = checksums(&headers(lines)).iter().map(|sum| sum.algorithm.name()).collect();
            assert_eq!(names, ["crc32c", "md5"]);
        }
        assert!(checksums(&headers(&[("x-goog-hash", "crc32c=short, sha=x")])).is_empty());
    }

    #[test]
    fn bytes_that_were_changed_on_the_way() {
        let (stored, coding) = ("x-goog-stored-content-encoding", "content-encoding");
        for (lines, same) in [
            (&[][..], true),
            (&[(stored, "identity")][..], true),
            (&[(stored, "gzip"), (coding, "gzip")][..], true),
            (&[(stored, "gzip")][..], false),
            (&[(stored, "identity"), (coding, "gzip")][..], false),
        ] {
            assert_eq!(as_stored(&headers(lines)), same, "{lines:?}");
        }
        let gzip = headers(&[(stored, "gzip"), (coding, "gzip"), ("x-goog-stored-content-length", "12")]);
        assert_eq!(completed(&gzip, Object::default()).size, Some(12));
    }
}
