//! DRS: what identifiers lead to. Nothing can be written there, so the common suite does not fit.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use serde_json::json;
use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::checksum::{Algorithm, Hasher};
use tessera_runtime::storage::location::Location;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Span, Store};
use tessera_runtime::storage::trouble::{Trouble, Why};

use crate::conformance::{self, IMPATIENT};
use crate::rig::Rig;

/// The service, and the web server that its objects lie on.
fn settings(rig: &Rig) -> Storage {
    let service =
        Rule { prefix: "drs://".to_owned(), endpoint: Some(format!("http://{}", rig.drs.http)), ..Rule::default() };
    let web = Rule { prefix: rig.web.http.clone(), internal: true, ..Rule::default() };
    Storage { rules: vec![service, web], ..Storage::default() }
}

fn opened(storage: &Storage, id: &str) -> (Arc<dyn Store>, String) {
    conformance::opened(&Storages::new(storage, IMPATIENT), &format!("drs://rig/{id}"))
}

async fn read(storage: &Storage, id: &str) -> Result<Vec<u8>, Trouble> {
    let (store, key) = opened(storage, id);
    let pieces: Vec<_> = store.read(&key, Span { from: 2, length: None }, None).await?.body.try_collect().await?;
    Ok(pieces.concat())
}

/// An id that is this run's alone.
fn id(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// A file on the web server; its URL.
fn put(rig: &Rig, name: &str, content: &str) -> String {
    fs::write(rig.web.folder.join(name), content).unwrap();
    format!("{}{name}", rig.web.http)
}

#[tokio::test]
async fn an_address_an_access_and_a_header() {
    let Some(rig) = Rig::find() else { return };
    let name = id("drs-plain");
    let url = put(&rig, &name, "plain");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"plain");
    let sum = hasher.finish();
    rig.drs.publish(
        &name,
        &json!({
            "id": name, "size": 5, "checksums": [{"type": "sha-256", "checksum": sum.hex()}],
            // What cannot be opened is passed over.
            "access_methods": [{"type": "s3", "access_url": {"url": "htsget://h/x"}},
                {"type": "globus", "access_id": "g"}, {"type": "https", "access_url": {"url": url}}],
        }),
    );
    let settings = settings(&rig);
    assert_eq!(read(&settings, &name).await.unwrap(), b"ain");
    let (store, key) = opened(&settings, &name);
    let seen = store.stat(&key).await.unwrap().unwrap();
    assert_eq!((seen.size, &seen.demanded), (Some(5), &vec![sum.clone()]));
    assert_eq!(store.read(&key, Span::WHOLE, None).await.unwrap().object.demanded, [sum]);

    let (private, open) = (id("drs-private"), id("drs-open"));
    let url = put(&rig, &format!("private/{private}"), "private");
    let login = BASE64_STANDARD.encode(format!("{}:{}", rig.web.user, rig.web.password));
    let ways = json!([{"type": "https", "access_id": "a b"}]);
    rig.drs.publish(&private, &json!({"id": private, "access_methods": ways}));
    let access = json!({"url": url, "headers": [format!("Authorization: Basic {login}")]});
    rig.drs.publish_access(&private, "a b", &access);
    assert_eq!(read(&settings, &private).await.unwrap(), b"ivate");
    // The header is for that object, and for no other.
    rig.drs.publish(&open, &json!({"id": open, "access_methods": [{"type": "https", "access_url": {"url": url}}]}));
    let trouble = read(&settings, &open).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
    assert!(trouble.message.contains("drs://rig/drs-open"), "{}", trouble.message);
}

#[tokio::test]
async fn a_bundle_is_a_directory() {
    let Some(rig) = Rig::find() else { return };
    let (leaf, inner, outer) = (id("drs-leaf"), id("drs-inner"), id("drs-outer"));
    let url = put(&rig, &leaf, "leaf");
    rig.drs.publish(
        &leaf,
        &json!({"id": leaf, "size": 4, "access_methods":
        [{"type": "https", "access_url": {"url": url}}]}),
    );
    rig.drs.publish(
        &inner,
        &json!({"id": inner, "contents": [{"name": "deep.txt", "drs_uri":
        [format!("drs://rig/{leaf}")]}]}),
    );
    rig.drs.publish(
        &outer,
        &json!({"id": outer, "contents": [{"name": "a.txt", "id": leaf},
        {"name": "sub", "id": inner}]}),
    );
    let settings = settings(&rig);
    let (store, key) = opened(&settings, &outer);
    assert!(store.stat(&key).await.unwrap().unwrap().directory);
    assert_eq!(store.read(&key, Span::WHOLE, None).await.unwrap_err().why, Why::Directory);
    let mut found = conformance::files(&*store, &key).await.unwrap();
    found.sort();
    assert_eq!(found, ["a.txt", "sub/deep.txt"]);
    // By a store that has listed nothing.
    assert_eq!(read(&settings, &format!("{outer}/sub/deep.txt")).await.unwrap(), b"af");
    let trouble = read(&settings, &format!("{outer}/missing")).await.unwrap_err();
    assert_eq!(trouble.why, Why::Absent, "{}", trouble.message);
    let trouble = conformance::files(&*opened(&settings, "nowhere").0, "nowhere").await.unwrap_err();
    assert_eq!(trouble.why, Why::Absent, "{}", trouble.message);
}

#[tokio::test]
async fn lists_and_guards_hold_for_what_it_leads_to() {
    let Some(rig) = Rig::find() else { return };
    let url = put(&rig, &id("drs-guarded"), "guarded");
    let settings = settings(&rig);
    let denied = Storage { deny: vec![rig.web.http.clone()], ..settings.clone() };
    let guarded = Storage { rules: settings.rules[..1].to_vec(), ..Storage::default() };
    let elsewhere = rig.web.other_http.clone();
    for (name, url, settings, words) in [
        ("denied", url.as_str(), &denied, "may not use"),
        ("guarded", &elsewhere, &guarded, "which tasks may not use"),
        ("file", "file:///etc/passwd", &settings, "a file of this host"),
        ("path", "/etc/passwd", &settings, "a file of this host"),
        ("again", "drs://rig/other", &settings, "another identifier"),
    ] {
        let id = id(&format!("drs-{name}"));
        let ways = json!([{"type": "https", "access_url": {"url": url}}]);
        rig.drs.publish(&id, &json!({"id": id, "access_methods": ways}));
        let trouble = read(settings, &id).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected, "{name}: {}", trouble.message);
        assert!(trouble.message.contains(words), "{name}: {}", trouble.message);
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_said() {
    let Some(rig) = Rig::find() else { return };
    let settings = settings(&rig);
    let storages = Storages::new(&settings, IMPATIENT);
    for url in ["drs://dg.4503:abc-def", "drs://dg.4503:12", "drs://dg.4503:abc/x"] {
        let Location::Remote(remote) = Location::parse(url).unwrap() else { panic!("{url}") };
        let trouble = storages.open(&remote).unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        assert!(trouble.message.contains("compact identifiers"), "{}", trouble.message);
    }
    let (store, key) = opened(&settings, "x");
    assert_eq!(store.write(&key, &conformance::source(b"x")).await.unwrap_err().class, FaultClass::Rejected);
    let token = Rule { token: Some(Secret::new("SECRET")), ..settings.rules[0].clone() };
    let (store, key) = opened(&Storage { rules: vec![token], ..Storage::default() }, "missing");
    let trouble = store.read(&key, Span::WHOLE, None).await.unwrap_err();
    assert_eq!(trouble.why, Why::Absent);
    assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
}
