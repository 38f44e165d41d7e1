//! What a URL means (TES contract 9.2, 9.3).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use reqwest::Url;

use super::trouble::Trouble;

/// Where an input comes from or an output goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    Host(HostPath),
    Web(Url),
}

/// A path of the host, in the two ways that a `file://` URL can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPath {
    /// As it was written.
    raw: PathBuf,
    /// With percent signs decoded; `None` where that is the same.
    decoded: Option<PathBuf>,
}

/// What is encoded in a path that becomes part of a URL.
const IN_PATH: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}');

impl Location {
    pub(super) fn parse(url: &str) -> Result<Self, Trouble> {
        if url.starts_with('/') {
            return Ok(Self::Host(HostPath { raw: PathBuf::from(url), decoded: None }));
        }
        let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("file") => Ok(Self::Host(host_path(url)?)),
            Some("http" | "https") => match Url::parse(url) {
                Ok(parsed) if parsed.has_host() => Ok(Self::Web(parsed)),
                Ok(_) => Err(Trouble::rejected(format!("`{}` names no host", redacted(url)))),
                Err(error) => Err(Trouble::rejected(format!("`{}` is not a URL: {error}", redacted(url)))),
            },
            Some(scheme) => Err(Trouble::rejected(format!(
                "`{}` cannot be reached: no storage is configured for `{scheme}:`",
                redacted(url)
            ))),
            None => Err(Trouble::rejected(format!("`{}` is neither a URL nor an absolute path", redacted(url)))),
        }
    }
}

fn host_path(url: &str) -> Result<HostPath, Trouble> {
    let rest = &url["file:".len()..];
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        let message = format!("`{}` names another host", redacted(url));
        return Err(Trouble::rejected(message));
    }
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    let decoded = (bytes != path.as_bytes()).then(|| PathBuf::from(OsStr::from_bytes(&bytes)));
    if bytes.contains(&0) {
        let message = format!("`{}` holds a NUL", redacted(url));
        return Err(Trouble::rejected(message));
    }
    Ok(HostPath { raw: PathBuf::from(path), decoded })
}

impl HostPath {
    /// The path to read: as written if that exists, otherwise decoded (TES contract 9.3).
    pub(super) fn to_read(&self) -> &Path {
        match &self.decoded {
            Some(decoded) if self.raw.symlink_metadata().is_err() => decoded,
            Some(_) | None => &self.raw,
        }
    }

    /// The path to write to: decoded, unless what is written, or the directory around it, exists as it is written
    /// and not decoded.
    pub(super) fn to_write(&self) -> &Path {
        let Some(decoded) = &self.decoded else {
            return &self.raw;
        };
        let around = |path: &Path| path.parent().is_some_and(Path::exists);
        let raw = self.raw.symlink_metadata().is_ok() || around(&self.raw) && !around(decoded);
        if raw { &self.raw } else { decoded }
    }
}

/// A URL that may be shown: without user, password, query and fragment.
pub(super) fn redacted(url: &str) -> String {
    let shown = match url.find(['?', '#']) {
        // In a bare path these are ordinary characters.
        Some(at) if !url.starts_with('/') => &url[..at],
        Some(_) | None => url,
    };
    let Some((scheme, rest)) = shown.split_once("://") else {
        return shown.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The URL of something below a directory's URL, which may end in `/` or not; queries stay where they are.
pub(super) fn join(url: &str, below: &Path) -> String {
    let below = below.as_os_str().as_bytes();
    if url.starts_with('/') {
        let below = String::from_utf8_lossy(below);
        return format!("{}/{below}", url.trim_end_matches('/'));
    }
    let below = percent_encode(below, IN_PATH);
    let (directory, query) = match url.find('?') {
        Some(at) if !url.starts_with("file:") => url.split_at(at),
        Some(_) | None => (url, ""),
    };
    format!("{}/{below}{query}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::report::FaultClass;

    fn paths(url: &str) -> (String, Option<String>) {
        match Location::parse(url).unwrap() {
            Location::Host(HostPath { raw, decoded }) => {
                (raw.to_string_lossy().into_owned(), decoded.map(|path| path.to_string_lossy().into_owned()))
            }
            Location::Web(url) => panic!("{url}"),
        }
    }

    #[test]
    fn paths_of_the_host() {
        let both = |raw: &str, decoded: &str| (raw.to_owned(), Some(decoded.to_owned()));
        let one = |raw: &str| (raw.to_owned(), None);
        assert_eq!(paths("/a b%20"), one("/a b%20"));
        assert_eq!(paths("file:///a/b"), one("/a/b"));
        assert_eq!(paths("file:/a/b"), one("/a/b"));
        assert_eq!(paths("FILE://localhost/a"), one("/a"));
        assert_eq!(paths("file:///a%20b"), both("/a%20b", "/a b"));
        assert_eq!(paths("file:///100%"), one("/100%"));
    }

    #[test]
    fn what_cannot_be_reached_is_named_without_secrets() {
        for (url, words) in [
            ("s3://bucket/key?sig=SECRET", "`s3://bucket/key`"),
            ("ftp://user:SECRET@host/x", "`ftp://host/x`"),
            ("relative/path", "`relative/path`"),
            ("file://other/x", "another host"),
            ("file:///a%00b", "NUL"),
            ("http://?SECRET", "not a URL"),
        ] {
            let trouble = Location::parse(url).unwrap_err();
            assert_eq!(trouble.class, FaultClass::Rejected);
            assert!(trouble.message.contains(words), "{}", trouble.message);
            assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
        }
    }

    #[test]
    fn names_as_written_win_where_they_exist() {
        let root = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("file://{}/{name}", root.path().display());
        let host = |name: &str| match Location::parse(&url(name)).unwrap() {
            Location::Host(path) => path,
            Location::Web(url) => panic!("{url}"),
        };
        assert!(host("a%20b").to_read().ends_with("a b"));
        assert!(host("a%20b").to_write().ends_with("a b"));
        std::fs::write(root.path().join("a%20b"), "").unwrap();
        assert!(host("a%20b").to_read().ends_with("a%20b"));
        assert!(host("a%20b").to_write().ends_with("a%20b"));
        std::fs::create_dir(root.path().join("d%41")).unwrap();
        assert!(host("d%41/new").to_write().ends_with("d%41/new"));
    }

    #[test]
    fn joined_urls() {
        for (url, below, expected) in [
            ("/out/", "a b/c", "/out/a b/c"),
            ("file:///out", "a b%", "file:///out/a%20b%25"),
            ("http://h/d/?sig=1", "x", "http://h/d/x?sig=1"),
            ("http://h/d", "ä", "http://h/d/%C3%A4"),
        ] {
            assert_eq!(join(url, Path::new(below)), expected);
        }
    }
}
