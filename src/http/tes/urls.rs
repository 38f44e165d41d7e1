//! URLs, as far as a request can be judged by them (TES contract 9.2, 9.3, 9.6, 9.7). Whether a storage exists and
//! answers is found out by the task, not here; and the job looks at its URLs again, for what links, redirects and
//! identifiers lead to is known only there.

use percent_encoding::percent_decode_str;
use tessera_runtime::storage::location::{Location, redacted};
use tessera_runtime::storage::prefix::covers;

use super::places::shown;
use crate::http::settings::{Files, Lists};

/// A URL or a bare absolute path that a task may name; the error says what would be right.
pub fn allowed(url: &str, files: &Files, lists: &Lists) -> Result<(), String> {
    match parse(url)? {
        Place::Elsewhere if listed(url, lists) => Ok(()),
        Place::Elsewhere => Err(format!("{} lies outside the storages that you may use on this server", harmless(url))),
        Place::Here { path, encoded } => {
            let raw = path.as_bytes();
            // 9.3: which of the two is meant is decided where the file is looked for, so both must be allowed.
            let decoded: Vec<u8> = if encoded { percent_decode_str(path).collect() } else { raw.to_vec() };
            if decoded.contains(&0) {
                return Err(format!("{} holds an encoded NUL; no file has that name", shown(url)));
            }
            if confined(raw, files) && confined(&decoded, files) { Ok(()) } else { Err(outside(url, files)) }
        }
    }
}

enum Place<'a> {
    /// A file of this host.
    Here { path: &'a str, encoded: bool },
    /// Any other storage, also one that nobody has heard of (9.6).
    Elsewhere,
}

fn parse(url: &str) -> Result<Place<'_>, String> {
    if url.starts_with('/') {
        return Ok(Place::Here { path: url, encoded: false });
    }
    let unreadable = || {
        format!("{} is no URL; write `scheme://…`, `file:///…` or an absolute path of the server's host", shown(url))
    };
    let (scheme, rest) = url.split_once(':').ok_or_else(unreadable)?;
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !scheme_fits || rest.bytes().any(|b| b.is_ascii_control()) {
        return Err(unreadable());
    }
    if scheme.eq_ignore_ascii_case("file") && rest.starts_with('/') && !rest.starts_with("//") {
        return Ok(Place::Here { path: rest, encoded: true });
    }
    let rest = rest.strip_prefix("//").filter(|rest| !rest.is_empty()).ok_or_else(unreadable)?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !scheme.eq_ignore_ascii_case("file") {
        let needs_host = ["http", "https", "ftp", "s3", "gs"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        return if needs_host && host.is_empty() { Err(unreadable()) } else { Ok(Place::Elsewhere) };
    }
    match host {
        "" | "localhost" => Ok(Place::Here { path, encoded: true }),
        // The files of another host are a storage that is not reachable, and that is not refused here (9.6).
        _ => Ok(Place::Elsewhere),
    }
}

/// Whether a caller's lists have room for a URL, in the one form that all its spellings share.
fn listed(url: &str, lists: &Lists) -> bool {
    let canonical = match Location::parse(url) {
        Ok(Location::Remote(remote)) => remote.canonical(),
        // Nobody has heard of it (9.6), so that it lies in no list: not in what is refused, not in what is allowed.
        Ok(Location::Host(_)) | Err(_) => return lists.allow.is_empty(),
    };
    let within = |list: &[String]| list.iter().any(|prefix| covers(prefix, &canonical));
    !within(&lists.deny) && (lists.allow.is_empty() || within(&lists.allow))
}

/// A URL as a message shows it: without login and signature.
fn harmless(url: &str) -> String {
    shown(&redacted(url))
}

fn confined(path: &[u8], files: &Files) -> bool {
    let path = normal(path);
    let below = |directory: &String| path.starts_with(&normal(directory.as_bytes()));
    files.roots.iter().any(below) && !files.forbidden.iter().any(below)
}

/// The names in a path, `..` taken back; what climbs above `/` stays there.
fn normal(path: &[u8]) -> Vec<&[u8]> {
    let mut names = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names
}

fn outside(url: &str, files: &Files) -> String {
    if files.roots.is_empty() {
        return format!("{} is a file of the server's host, and this server allows none", shown(url));
    }
    format!("{} lies outside what this server allows: {}", shown(url), files.roots.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_9_2_every_form_of_url() {
        let files = Files { roots: vec!["/shared".to_owned()], forbidden: vec!["/shared/tessera-data".to_owned()] };
        for (url, fits) in [
            ("s3://bucket/key with space", true),
            ("gs://bucket", true),
            ("az://account/container/blob", true),
            ("https://host:8080/a?b=c&d=e#f", true),
            ("ftp://host/%7Euser/x", true),
            ("drs://unheard/of", true),
            ("file:///shared", true),
            ("file:///shared/", true),
            ("file:///shared/a%20b", true),
            ("file:///shared/a b?c#d", true),
            ("file:/shared/a", true),
            ("FILE://localhost/shared/a", true),
            ("file://elsewhere/etc/passwd", true),
            ("/shared/a", true),
            ("/shared/a/../b", true),
            ("//shared/./a", true),
            ("/shared/100%", true),
            ("/sharedx", false),
            ("/shared/../etc/passwd", false),
            ("file:///", false),
            ("file:///shared/%2e%2e/etc/passwd", false),
            ("file:///shared/a%00", false),
            ("file://localhost", false),
            ("file://", false),
            ("/shared/tessera-data/tessera.db", false),
            ("file:///shared/tessera%2ddata", false),
            ("/", false),
            ("", false),
            ("relative/path", false),
            ("s3:bucket", false),
            ("s3://", false),
            ("s3:///key", false),
            ("https://", false),
            ("https:///x", false),
            ("1s3://bucket/x", false),
            ("s3://bucket/\n", false),
            ("://x", false),
        ] {
            assert_eq!(
                allowed(url, &files, &Lists::default()).is_ok(),
                fits,
                "{url:?} {:?}",
                allowed(url, &files, &Lists::default())
            );
        }
    }

    #[test]
    fn rule_9_3_and_9_7_a_name_must_be_allowed_both_raw_and_decoded() {
        let forbidden = vec!["/shared/a b".to_owned(), "/shared/%41".to_owned()];
        let files = Files { roots: vec!["/shared".to_owned()], forbidden };
        for (url, fits) in [
            ("file:///shared/a b/c", false),
            ("file:///shared/a%20b/c", false),
            ("file:///shared/%41/c", false),
            ("file:///shared/A/c", true),
            ("file:///shared/100%", true),
            // A bare path has one meaning.
            ("/shared/a%20b/c", true),
            ("/shared/%41/c", false),
            ("/shared/%2e%2e/etc", true),
            ("file:///shared/%2e%2e/etc", false),
        ] {
            assert_eq!(allowed(url, &files, &Lists::default()).is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn without_roots_no_file_is_allowed() {
        assert!(allowed("file:///tmp/a", &Files::default(), &Lists::default()).is_err());
        assert!(allowed("s3://b/a", &Files::default(), &Lists::default()).is_ok());
        let whole = Files { roots: vec!["/".to_owned()], forbidden: vec![] };
        assert!(allowed("/anything", &whole, &Lists::default()).is_ok());
        assert!(allowed("/", &whole, &Lists::default()).is_ok());
    }

    fn lists(allow: &[&str], deny: &[&str]) -> Lists {
        let owned = |list: &[&str]| list.iter().map(|prefix| (*prefix).to_owned()).collect();
        Lists { allow: owned(allow), deny: owned(deny) }
    }

    #[test]
    fn rule_9_2_lists_hold_for_every_spelling_of_a_url() {
        let denied = lists(&[], &["https://host/secret/", "s3://b/secret", "ftp://h/x/", "azureblob://acc/c/"]);
        for (url, fits) in [
            ("https://host/secret/a", false),
            ("https://host/secret", false),
            ("HTTPS://HOST/secret/a", false),
            ("https://host:443/secret/a", false),
            ("https://ada:word@host/secret/a", false),
            ("https://host/%73ecret/a", false),
            ("https://host/open/../secret/a", false),
            ("https://host/open/%2e%2E/secret/a", false),
            ("https://host/secret/a?x=1#y", false),
            ("https://host/secrets", true),
            ("https://host/open/secret/a", true),
            ("https://host:8443/secret/a", true),
            ("http://host/secret/a", true),
            ("s3://b/secret", false),
            ("S3://b/secret/a", false),
            ("s3://b/secret#md5=0123456789abcdef0123456789abcdef", false),
            ("s3://b/secret2", true),
            ("s3://b/%73ecret", true),
            ("ftp://ada@H/%78/y", false),
            ("https://acc.blob.core.windows.net/c/k?sig=s", false),
            ("azureblob://acc/c/k", false),
            ("azureblob://acc/c2/k", true),
        ] {
            assert_eq!(allowed(url, &Files::default(), &denied).is_ok(), fits, "{url}");
        }
    }

    #[test]
    fn rule_9_6_outside_the_allowed_storages_is_refused_and_the_unknown_is_not() {
        let some = lists(&["s3://b/run1/", "s3://lab-*", "https://host/"], &["s3://lab-secret/"]);
        for (url, fits) in [
            ("s3://b/run1/a", true),
            ("s3://b/run1", true),
            // A name like any other: URLs hold no wildcards.
            ("s3://b/run1/*", true),
            ("s3://b/*", false),
            ("s3://b/run10/a", false),
            ("s3://lab-1/a", true),
            ("s3://lab-secret/a", false),
            ("https://host/a", true),
            ("https://host.evil/a", false),
            ("https://host@evil/a", false),
            ("gs://b/run1/a", false),
            ("unheard-of://x/a", false),
            ("file://elsewhere/a", false),
        ] {
            assert_eq!(allowed(url, &Files::default(), &some).is_ok(), fits, "{url}");
        }
        for url in ["unheard-of://x/a", "file://elsewhere/a", "sftp://nowhere/a", "az://c/a"] {
            assert!(allowed(url, &Files::default(), &lists(&[], &["s3://"])).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_refusal_shows_no_login_and_no_signature() {
        let refused = allowed("https://ada:SECRET@h/a?sig=SECRET", &Files::default(), &lists(&["s3://"], &[]));
        let sentence = refused.expect_err("it lies outside");
        assert!(sentence.contains("`https://h/a`") && !sentence.contains("SECRET"), "{sentence}");
    }

    #[test]
    fn rule_9_7_lists_say_nothing_of_files() {
        let files = Files { roots: vec!["/shared".to_owned()], forbidden: vec![] };
        assert!(allowed("file:///shared/a", &files, &lists(&["s3://"], &[])).is_ok());
        assert!(allowed("/etc/passwd", &files, &lists(&[], &[])).is_err());
    }
}
