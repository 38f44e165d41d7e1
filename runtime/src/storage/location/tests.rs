#![allow(clippy::unwrap_used)]

use super::*;
use crate::report::FaultClass;

fn paths(url: &str) -> (String, Option<String>) {
    match Location::parse(url).unwrap() {
        Location::Host(HostPath { raw, decoded }) => {
            (raw.to_string_lossy().into_owned(), decoded.map(|path| path.to_string_lossy().into_owned()))
        }
        Location::Remote(remote) => panic!("{remote:?}"),
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
        ("gopher://bucket/key?sig=SECRET", "`gopher://bucket/key`"),
        ("ftp://user:SECRET@host/../x", "`ftp://host/../x`"),
        ("s3://?SECRET", "no bucket"),
        ("sftp://user:SECRET@/x", "no host"),
        ("https://h/a%2f..%2fb?SECRET", "holds `..`"),
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
        Location::Remote(remote) => panic!("{remote:?}"),
    };
    assert!(host("a%20b").to_read().ends_with("a b"));
    assert!(host("a%20b").to_write().ends_with("a b"));
    std::fs::write(root.path().join("a%20b"), "").unwrap();
    assert!(host("a%20b").to_read().ends_with("a%20b"));
    assert!(host("a%20b").to_write().ends_with("a%20b"));
    std::fs::create_dir(root.path().join("d%41")).unwrap();
    assert!(host("d%41/new").to_write().ends_with("d%41/new"));
}

fn remote(url: &str) -> (Scheme, String, String, Option<Secret>) {
    match Location::parse(url).unwrap() {
        Location::Remote(remote) => (remote.scheme, remote.authority, remote.key, remote.query),
        Location::Host(path) => panic!("{path:?}"),
    }
}

#[test]
fn rule_9_2_every_scheme() {
    for (url, scheme, authority, key, query) in [
        ("s3://bucket/a b%20?c#d+", Scheme::S3, "bucket", "a b%20?c#d+", None),
        ("S3://bucket//leading", Scheme::S3, "bucket", "/leading", None),
        ("s3://bucket", Scheme::S3, "bucket", "", None),
        ("gs://bucket/k/", Scheme::Gs, "bucket", "k/", None),
        ("az://container/k", Scheme::Azblob, "container", "k", None),
        ("azureblob://account/container/d/k", Scheme::Azblob, "account/container", "d/k", None),
        ("https://acc.blob.core.windows.net/c/d%20e?sig=x", Scheme::Azblob, "acc/c", "d e", Some("sig=x")),
        ("https://acc.blob.core.chinacloudapi.cn/c/d", Scheme::Azblob, "acc.blob.core.chinacloudapi.cn/c", "d", None),
        ("https://acc.z01.blob.storage.azure.net/c/d", Scheme::Azblob, "acc.z01.blob.storage.azure.net/c", "d", None),
        ("https://acc.blob.core.evil.org/c/d", Scheme::Https, "acc.blob.core.evil.org", "/c/d", None),
        ("https://Host:8443/a%20b?c=d#e", Scheme::Https, "host:8443", "/a%20b", Some("c=d")),
        ("http://host", Scheme::Http, "host", "/", None),
        ("ftp://user:p%40ss@Host:21/a%20b", Scheme::Ftp, "host", "a b", None),
        ("sftp://host//abs/x", Scheme::Sftp, "host", "/abs/x", None),
        ("webdavs://host/dav/x", Scheme::Webdavs, "host", "dav/x", None),
        ("drs://host/id", Scheme::Drs, "host", "id", None),
    ] {
        let expected = (scheme, authority.to_owned(), key.to_owned(), query.map(Secret::new));
        assert_eq!(remote(url), expected, "{url}");
    }
}

#[test]
fn a_fragment_may_say_what_is_expected() {
    let parsed = |url: &str| match Location::parse(url).unwrap() {
        Location::Remote(remote) => (remote.key, remote.expected.len()),
        Location::Host(path) => panic!("{path:?}"),
    };
    let md5 = "0123456789abcdef0123456789ABCDEF";
    assert_eq!(parsed(&format!("s3://b/k#md5={md5}")), ("k".to_owned(), 1));
    assert_eq!(parsed(&format!("s3://b/k#md5={md5}&sha256={md5}{md5}")), ("k".to_owned(), 2));
    assert_eq!(parsed("s3://b/k#md5=short"), ("k#md5=short".to_owned(), 0));
}

#[test]
fn what_lists_are_looked_up_by() {
    for (url, canonical) in [
        ("s3://b/k", "s3://b/k"),
        ("https://u:p@HOST:443/%61/b?x", "https://host/a/b"),
        ("ftp://u@h/a%62", "ftp://h/ab"),
        ("http://h/a/../b", "http://h/b"),
        ("http://h.:80//a//b/", "http://h/a/b/"),
        ("ftp://H.:21//a", "ftp://h/a"),
        ("sftp://h:22/x", "sftp://h/x"),
        ("webdavs://h:443/x", "webdavs://h/x"),
        ("webdavs://h:444/x", "webdavs://h:444/x"),
        ("webdavs://h%6Fst:0443/x", "webdavs://host/x"),
        ("sftp://h:080/x", "sftp://h:80/x"),
        ("sftp://h:/x", "sftp://h/x"),
        ("ftp://B\u{fc}cher.example./x", "ftp://xn--bcher-kva.example/x"),
        ("sftp://0x7f.1/x", "sftp://127.0.0.1/x"),
        ("sftp://[0::1]:22/x", "sftp://[::1]/x"),
        ("az://c/k", "az://c/k"),
        ("azureblob://a/c/k", "azureblob://a/c/k"),
        ("s3://b//k", "s3://b//k"),
    ] {
        match Location::parse(url).unwrap() {
            Location::Remote(remote) => assert_eq!(remote.canonical(), canonical),
            Location::Host(path) => panic!("{path:?}"),
        }
    }
}

#[test]
fn hosts_that_two_readers_would_read_differently_are_refused() {
    for host in ["h\\x", "h?x", "h#x", "a:b:c", "h:x", "h:65536", "h:-1", ".", "h\tx", "h%2fx", "[::1", "%00"] {
        let trouble = Location::parse(&format!("sftp://{host}/x")).unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected, "{host}");
    }
    assert!(Location::parse("http://./x").is_err());
}

#[test]
fn webdav_and_http_are_one_place() {
    for (url, other) in [
        ("http://h/a", "webdav://h/a"),
        ("https://h:8443/a", "webdavs://h:8443/a"),
        ("webdav://h/a", "http://h/a"),
        ("webdavs://h/a", "https://h/a"),
    ] {
        match Location::parse(url).unwrap() {
            Location::Remote(remote) => assert_eq!(remote.aliases(), [url, other]),
            Location::Host(path) => panic!("{path:?}"),
        }
    }
}

#[test]
fn joined_urls() {
    assert_eq!(join("s3://b/d/", Path::new("a b%")), "s3://b/d/a b%");
    for (url, below, expected) in [
        ("/out/", "a b/c", "/out/a b/c"),
        ("file:///out", "a b%", "file:///out/a%20b%25"),
        ("http://h/d/?sig=1", "x", "http://h/d/x?sig=1"),
        ("http://h/d", "ä", "http://h/d/%C3%A4"),
    ] {
        assert_eq!(join(url, Path::new(below)), expected);
    }
}
