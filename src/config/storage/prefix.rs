//! URL prefixes in their canonical form, the one that a task's URL is looked up by.

use std::borrow::Cow;

use tessera_runtime::storage::location::{Location, Remote, Scheme, redacted};
use tessera_runtime::storage::prefix::covers;

/// The schemes, as they are written, and what they are called in canonical forms.
const SCHEMES: &[(&str, Scheme)] = &[
    ("http", Scheme::Http),
    ("https", Scheme::Https),
    ("s3", Scheme::S3),
    ("gs", Scheme::Gs),
    ("az", Scheme::Azblob),
    ("azure", Scheme::Azblob),
    ("azureblob", Scheme::Azblob),
    ("ftp", Scheme::Ftp),
    ("ftps", Scheme::Ftps),
    ("sftp", Scheme::Sftp),
    ("webdav", Scheme::Webdav),
    ("webdavs", Scheme::Webdavs),
    ("drs", Scheme::Drs),
];

/// A prefix that has been understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    /// Its protocol.
    pub(super) scheme: Scheme,
    /// What URLs are compared with.
    pub(super) canonical: String,
}

impl Prefix {
    /// Reads a prefix; the error is a sentence without secrets.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (closed, open) = text.strip_suffix('*').map_or((text, ""), |closed| (closed, "*"));
        if closed.contains('*') {
            return Err(format!("`{}` holds a `*` that is not its end", redacted(text)));
        }
        let Some((name, rest)) = closed.split_once("://") else {
            return Err(format!("`{}` is no URL prefix; write `s3://bucket/folder` or `s3://`", redacted(text)));
        };
        let known = SCHEMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        let Some(&(name, scheme)) = known else {
            let names = SCHEMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(format!("`{}` names no scheme that is known: {names}", redacted(text)));
        };
        if rest.is_empty() {
            let name = if matches!(name, "az" | "azure") { "az" } else { scheme.name() };
            return Ok(Self { scheme, canonical: format!("{name}://") });
        }
        if !open.is_empty() && is_host(scheme) && !rest.contains('/') {
            return Err(format!("`{}` covers hosts of strangers: a `*` may not follow a host", redacted(text)));
        }
        let (remote, canonical) = canonical(name, rest)?;
        if remote.login.is_some() || remote.query.is_some() || !remote.expected.is_empty() {
            let text = redacted(text);
            return Err(format!("`{text}` holds a login, a query or a checksum, which is no part of a prefix"));
        }
        // What continues an open prefix begins where it was written to end.
        let canonical =
            if open.is_empty() || rest.ends_with('/') { &canonical } else { canonical.trim_end_matches('/') };
        Ok(Self { scheme: remote.scheme, canonical: format!("{canonical}{open}") })
    }
}

/// Whether what stands behind the scheme is a host and not a bucket.
fn is_host(scheme: Scheme) -> bool {
    !matches!(scheme, Scheme::S3 | Scheme::Gs | Scheme::Azblob)
}

fn canonical(name: &str, rest: &str) -> Result<(Remote, String), String> {
    // An account of Azure is no location of its own, so that it is asked about with a container in it.
    let host = rest.trim_end_matches('/');
    if !host.contains('/') && name != "az" && name != "azure" {
        let remote = remote(&format!("{name}://{host}/c"))?;
        if let Some(account) = remote.canonical().strip_suffix("c/")
            && remote.scheme == Scheme::Azblob
        {
            return Ok((remote.clone(), account.to_owned()));
        }
    }
    let remote = remote(&format!("{name}://{rest}"))?;
    let canonical = remote.canonical();
    Ok((remote, canonical))
}

fn remote(url: &str) -> Result<Remote, String> {
    match Location::parse(url) {
        Ok(Location::Remote(remote)) => Ok(remote),
        Ok(Location::Host(_)) => Err("names files of this host; their folders are `storage.file.roots`".to_owned()),
        Err(trouble) => Err(trouble.message),
    }
}

/// Whether all that one canonical prefix covers is covered by another.
pub(super) fn contains(outer: &str, inner: &str) -> bool {
    match inner.strip_suffix('*') {
        None => covers(outer, inner),
        Some(open) => {
            let outer = match outer.strip_suffix('*') {
                Some(outer) => Cow::Borrowed(outer),
                None if outer.ends_with('/') => Cow::Borrowed(outer),
                None => Cow::Owned(format!("{outer}/")),
            };
            open.starts_with(&*outer)
        }
    }
}

/// Whether two canonical prefixes have anything in common: they are a tree, so that one lies within the other.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    contains(one, other) || contains(other, one)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_one_form() {
        for (text, canonical) in [
            ("s3://", "s3://"),
            ("S3://b", "s3://b/"),
            ("s3://b/", "s3://b/"),
            ("s3://b/a b?c#d", "s3://b/a b?c#d"),
            ("s3://lab-*", "s3://lab-*"),
            ("s3://b/x/*", "s3://b/x/*"),
            ("s3://b/*", "s3://b/*"),
            ("https://Host:443/%61/", "https://host/a/"),
            ("https://host/a*", "https://host/a*"),
            ("az://", "az://"),
            ("azure://c/d", "az://c/d"),
            ("azureblob://account", "azureblob://account/"),
            ("azureblob://account/c/d", "azureblob://account/c/d"),
            ("https://acc.blob.core.windows.net", "azureblob://acc/"),
            ("https://acc.blob.core.windows.net/c/d", "azureblob://acc/c/d"),
            ("sftp://h/a", "sftp://h/a"),
        ] {
            assert_eq!(Prefix::read(text).unwrap().canonical, canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_said_without_secrets() {
        for (text, words) in [
            ("bucket", "no URL prefix"),
            ("", "no URL prefix"),
            ("s3:/b", "no URL prefix"),
            ("gopher://h", "no scheme"),
            ("file:///x", "no scheme"),
            ("*", "no URL prefix"),
            ("s3://*/x", "not its end"),
            ("https://host*", "strangers"),
            ("https://user:SECRET@host/x", "login"),
            ("https://host/x?sig=SECRET", "query"),
            ("ftp://user:SECRET@host/../x", "`..`"),
            ("s3:///x", "no bucket"),
        ] {
            let reason = Prefix::read(text).unwrap_err();
            assert!(reason.contains(words) && !reason.contains("SECRET"), "{text}: {reason}");
        }
    }

    #[test]
    fn which_lies_within_which() {
        for (outer, inner, within) in [
            ("s3://", "s3://b/", true),
            ("s3://b/", "s3://b/x", true),
            ("s3://b/x", "s3://b/xy", false),
            ("s3://lab-*", "s3://lab-1/", true),
            ("s3://lab-*", "s3://lab-1*", true),
            ("s3://b/x", "s3://b/x*", false),
            ("s3://b/x", "s3://b/x/*", true),
            ("s3://b/x", "s3://b/", false),
            ("gs://", "s3://", false),
        ] {
            assert_eq!(contains(outer, inner), within, "{outer} {inner}");
        }
        assert!(overlap("s3://b/x", "s3://b/") && !overlap("s3://b/x", "s3://b/y"));
    }
}
