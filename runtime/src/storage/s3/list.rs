//! Listings.

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::storage::store::{Listed, Object, Page, Tag};
use crate::storage::trouble::Trouble;

/// How long a page may be: a thousand of the longest keys, every byte of them encoded.
pub(super) const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// One page, as the service writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    is_truncated: bool,
    next_continuation_token: Option<String>,
    encoding_type: Option<String>,
    #[serde(default)]
    contents: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    size: Option<u64>,
    #[serde(rename = "ETag")]
    tag: Option<String>,
    last_modified: Option<String>,
}

/// What every key below a directory begins with.
pub(super) fn prefix(directory: &str) -> String {
    match directory {
        "" => String::new(),
        _ if directory.ends_with('/') => directory.to_owned(),
        _ => format!("{directory}/"),
    }
}

/// What is asked for.
pub(super) fn query(prefix: &str, page: Option<&str>) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("list-type", "2".to_owned()),
        // Keys may hold what XML cannot.
        ("encoding-type", "url".to_owned()),
        ("max-keys", "1000".to_owned()),
        ("prefix", prefix.to_owned()),
    ];
    query.extend(page.map(|page| ("continuation-token", page.to_owned())));
    query
}

/// Reads a page.
pub(super) fn page(what: &str, body: &[u8], prefix: &str, asked: Option<&str>) -> Result<Page, Trouble> {
    let answer: Answer = quick_xml::de::from_reader(body)
        .map_err(|error| Trouble::unavailable(format!("{what}: the answer is not a listing: {error}")))?;
    let encoded = answer.encoding_type.as_deref() == Some("url");
    let mut entries = Vec::with_capacity(answer.contents.len());
    for entry in answer.contents {
        let key = if encoded { decoded(what, &entry.key)? } else { entry.key.clone() };
        entries.extend(listed(entry, &key, prefix));
    }
    let next = answer.next_continuation_token.filter(|_| answer.is_truncated);
    if answer.is_truncated && (next.is_none() || next.as_deref() == asked) {
        return Err(Trouble::rejected(format!("{what}: the server says there is more and not where it begins")));
    }
    Ok(Page { entries, next })
}

/// As forms are encoded: a space is a plus.
fn decoded(what: &str, key: &str) -> Result<String, Trouble> {
    let spaced = key.replace('+', " ");
    let key = percent_decode_str(&spaced).decode_utf8();
    Ok(key.map_err(|_| Trouble::rejected(format!("{what}: it holds a key that is not UTF-8")))?.into_owned())
}

/// `None` for the directory itself.
fn listed(entry: Entry, key: &str, prefix: &str) -> Option<Listed> {
    let name = key.strip_prefix(prefix).filter(|name| !name.is_empty())?;
    // What consoles and file systems put there in the place of a directory.
    let marker = name.strip_suffix('/').filter(|name| !name.is_empty() && entry.size == Some(0));
    if let Some(name) = marker {
        let object = Object { directory: true, ..Object::default() };
        return Some(Listed { name: name.to_owned(), object });
    }
    let quoted = |tag: String| if tag.starts_with('"') { tag } else { format!("\"{tag}\"") };
    let object = Object {
        directory: false,
        size: entry.size,
        tag: entry.tag.filter(|tag| !tag.is_empty()).map(|tag| Tag(quoted(tag))),
        modified: entry.last_modified.and_then(|text| text.parse::<Timestamp>().ok()),
        ..Object::default()
    };
    Some(Listed { name: name.to_owned(), object })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::FaultClass;

    const HEAD: &str =
        r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">"#;

    fn read(inner: &str, prefix: &str) -> Result<Page, Trouble> {
        page("cannot list", format!("{HEAD}{inner}</ListBucketResult>").as_bytes(), prefix, Some("asked"))
    }

    #[test]
    fn a_page() {
        let inner = "<Name>b</Name><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>\
            <Contents><Key>d%2F</Key><Size>0</Size></Contents>\
            <Contents><Key>d%2Fa+b%2B%25%C3%A4%0A</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
            <ETag>&quot;x&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>\
            <Contents><Key>d%2Fe%2F</Key><Size>0</Size></Contents>\
            <Contents><Key>d/%2Fy</Key><Size>1</Size><ETag>bare</ETag></Contents>\
            <NextContinuationToken>to&amp;ken</NextContinuationToken>";
        let Page { entries, next } = read(inner, "d/").unwrap();
        assert_eq!(next.as_deref(), Some("to&ken"));
        let names: Vec<_> = entries.iter().map(|entry| (&*entry.name, entry.object.directory)).collect();
        assert_eq!(names, [("a b+%ä\n", false), ("e", true), ("/y", false)]);
        let first = &entries[0].object;
        assert_eq!((first.size, first.tag.clone()), (Some(7), Some(Tag("\"x\"".to_owned()))));
        assert_eq!(first.modified, Some("2026-01-02T03:04:05Z".parse().unwrap()));
        assert_eq!(entries[2].object.tag, Some(Tag("\"bare\"".to_owned())));
    }

    #[test]
    fn keys_that_are_not_encoded_stay_as_they_are() {
        let found = read("<Contents><Key>a+b%20c</Key></Contents>", "").unwrap();
        assert_eq!(found.entries[0].name, "a+b%20c");
        assert_eq!(found.next, None);
        assert_eq!(read("", "").unwrap(), Page::default());
    }

    #[test]
    fn pages_that_lead_nowhere() {
        for inner in ["", "<NextContinuationToken>asked</NextContinuationToken>"] {
            let trouble = read(&format!("<IsTruncated>true</IsTruncated>{inner}"), "").unwrap_err();
            assert_eq!(trouble.class, FaultClass::Rejected);
        }
        assert_eq!(page("", b"<html>", "", None).unwrap_err().class, FaultClass::Unavailable);
    }

    #[test]
    fn rule_9_5_prefixes_end_at_a_boundary() {
        assert_eq!((prefix("").as_str(), prefix("chr1").as_str(), prefix("chr1/").as_str()), ("", "chr1/", "chr1/"));
    }
}
