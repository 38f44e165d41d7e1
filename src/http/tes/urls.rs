//! URLs, as far as a request can be judged by them (TES contract 9.2, 9.3, 9.6, 9.7). Whether a storage exists and
//! answers is found out by the task, not here.

use percent_encoding::percent_decode_str;

use super::places::shown;
use crate::http::settings::Files;

/// A URL or a bare absolute path that a task may name; the error says what would be right.
pub fn allowed(url: &str, files: &Files) -> Result<(), String> {
    match parse(url)? {
        Place::Elsewhere => Ok(()),
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
            assert_eq!(allowed(url, &files).is_ok(), fits, "{url:?} {:?}", allowed(url, &files));
        }
    }

    #[test]
    fn without_roots_no_file_is_allowed() {
        assert!(allowed("file:///tmp/a", &Files::default()).is_err());
        assert!(allowed("s3://b/a", &Files::default()).is_ok());
        let whole = Files { roots: vec!["/".to_owned()], forbidden: vec![] };
        assert!(allowed("/anything", &whole).is_ok());
        assert!(allowed("/", &whole).is_ok());
    }
}
