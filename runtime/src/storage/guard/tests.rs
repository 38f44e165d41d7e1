#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn addresses() {
    for (address, forbidden) in [
        ("127.0.0.1", true),
        ("127.1.2.3", true),
        ("0.0.0.0", true),
        ("169.254.169.254", true),
        ("100.100.100.200", true),
        ("::1", true),
        ("::", true),
        ("fe80::1", true),
        ("fd00:ec2::254", true),
        ("::ffff:127.0.0.1", true),
        ("::ffff:169.254.169.254", true),
        ("64:ff9b::7f00:1", true),
        ("2002:7f00:1::", true),
        ("fd00:ec2::23", true),
        ("fd00:ec2:1::254", true),
        ("fd20:ce::254", true),
        ("64:ff9b:1::a9fe:a9fe", true),
        ("64:ff9b:1:a9fe:a9:fe00::", true),
        ("64:ff9b:1:0:7f:0:100::", true),
        ("64:ff9b:1::808:808", false),
        ("10.0.0.1", false),
        ("192.168.1.1", false),
        ("93.184.216.34", false),
        ("2606:2800::1", false),
        ("fd12::1", false),
    ] {
        assert_eq!(is_forbidden(address.parse().unwrap()), forbidden, "{address}");
    }
}

#[test]
fn urls_that_write_an_address_out() {
    let guard = Guard::with_exceptions([("127.0.0.1".to_owned(), 9000), ("minio".to_owned(), 9000)]);
    for (url, allowed) in [
        ("http://127.0.0.1/", false),
        ("http://127.0.0.1:9000/x", true),
        ("http://127.0.0.1:9001/x", false),
        ("http://[::1]/", false),
        ("http://0x7f.1/", false),
        ("http://2130706433/", false),
        ("http://localhost/", false),
        ("http://a.localhost./", false),
        ("http://metadata.google.internal/", false),
        ("http://minio:9000/", true),
        ("https://example.org/", true),
    ] {
        assert_eq!(guard.allows(&Url::parse(url).unwrap()).is_ok(), allowed, "{url}");
    }
}

#[test]
fn an_exception_at_one_port_closes_no_other() {
    let guard = Guard::with_exceptions([("minio".to_owned(), 9000)]);
    let [there, elsewhere] = ["http://minio:9000/", "https://minio/"].map(|url| Url::parse(url).unwrap());
    // A client for the other port has a resolver without exceptions.
    assert!(guard.for_host_of(&elsewhere).unwrap().exempt.is_empty());
    // The exception's own client would resolve it to anything.
    let own = guard.for_host_of(&there).unwrap();
    assert!(own.allows_redirect(&there).is_ok());
    assert!(own.allows_redirect(&elsewhere).is_err());
}

#[test]
fn a_proxy_is_named_by_no_url() {
    let guard = Guard::with_exceptions([("squid".to_owned(), 9000)]).with_proxy("http://u:p@Squid:3128");
    for (url, allowed) in
        [("http://squid/", false), ("http://squid:3128/", false), ("http://squid:9000/", true), ("http://s/", true)]
    {
        assert_eq!(guard.allows(&Url::parse(url).unwrap()).is_ok(), allowed, "{url}");
    }
    assert_eq!(proxy_host("squid.:3128").as_deref(), Some("squid"));
}

#[test]
fn lists_hold_after_a_redirect() {
    let lists = |allow: &[&str], deny: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|prefix| (*prefix).to_owned()).collect();
        let settings = Storage { allow: owned(allow), deny: owned(deny), ..Storage::default() };
        Guard::default().with_settings(&settings)
    };
    let open = lists(&[], &["https://h/secret"]);
    let narrow = lists(&["https://h/public", "https://acc.example"], &[]);
    let dav = lists(&["webdavs://h/public"], &["https://h/public/not"]);
    let spoken = dav.clone().speaking(Scheme::Webdavs);
    for (guard, url, allowed) in [
        (&open, "https://h/x", true),
        (&open, "https://h/secret/x", false),
        (&open, "https://h/s%65cret/x", false),
        (&narrow, "https://h/public/x?sig=1", true),
        (&narrow, "https://h/private/x", false),
        (&narrow, "https://other/public/x", false),
        (&narrow, "https://h/public/a%2f..%2fb", false),
        (&narrow, "http://127.0.0.1/public/x", false),
        (&dav, "https://h/public/x", false),
        (&spoken, "https://h/p%75blic/x", true),
        (&spoken, "https://h/public/not/x", false),
        (&spoken, "https://h/private/x", false),
    ] {
        assert_eq!(guard.allows_redirect(&Url::parse(url).unwrap()).is_ok(), allowed, "{url}");
    }
}

#[tokio::test]
async fn names_are_resolved_by_us() {
    let guard = Guard::default();
    assert!(guard.resolve("localhost", 80).await.is_err());
    let open = Guard::with_exceptions([("localhost".to_owned(), 80)]);
    assert!(!open.resolve("localhost", 80).await.unwrap().is_empty());
    let resolver = GuardedResolver(guard);
    assert!(resolver.resolve("localhost".parse().unwrap()).await.is_err());
}
