//! The storage suite against Google Cloud Storage, and what it alone has to show.
//!
//! The emulator takes the question how far an upload came for its end, so that resuming is proved where it is written
//! (`gcs/session.rs`), against a server of the test's own.

use std::io::Write;
use std::sync::Arc;

use futures::TryStreamExt;
use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::location::Location;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::source::Source;
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Span, Store};

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::proxy::{self, Fault, Proxy};
use crate::rig::{Gcs, Rig};

/// More than goes in one piece.
const LARGE: usize = 70 * 1024 * 1024;

fn storages(endpoint: &str) -> Storages {
    let endpoint = Some(endpoint.to_owned());
    let rule = Rule { prefix: "gs://".to_owned(), endpoint, anonymous: true, ..Rule::default() };
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

/// The bucket, seen through a proxy.
async fn proxied(gcs: &Gcs) -> (Proxy, Arc<dyn Store>) {
    let proxy = Proxy::before(&gcs.endpoint).await;
    let Location::Remote(remote) = Location::parse(&format!("gs://{}/", gcs.bucket)).unwrap() else { panic!() };
    let store = storages(proxy.url()).open(&remote).unwrap().0;
    (proxy, store)
}

fn source(content: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Source::new(file).unwrap()
}

async fn content(store: &Arc<dyn Store>, key: &str) -> Vec<u8> {
    let pieces: Vec<_> = store.read(key, Span::WHOLE, None).await.unwrap().body.try_collect().await.unwrap();
    pieces.concat()
}

/// A key that is this run's alone.
fn key(name: &str) -> String {
    format!("gcs-{}/{name}", std::process::id())
}

#[tokio::test]
async fn google_cloud_storage_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let gcs = &rig.gcs;
    conformance::all(&Ground {
        storages: storages(&gcs.endpoint),
        base: format!("gs://{}/conformance-{}", gcs.bucket, std::process::id()),
        strangers: None,
        nowhere: Some("gs://there-is-no-such-bucket/x".to_owned()),
        secrets: Vec::new(),
        features: Features { directories: false, slashes: true, backslashes: true, many: 1500 },
    })
    .await;
}

#[tokio::test]
async fn a_small_file_costs_one_request() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.gcs).await;
    let key = key("one");
    store.write(&key, &source(b"x")).await.unwrap();
    let read = store.read(&key, Span::WHOLE, None).await.unwrap().object;
    assert_eq!(store.stat(&key).await.unwrap().unwrap().checksums, read.checksums);
    assert!(!read.checksums.is_empty());
    let methods: Vec<_> = proxy.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["POST", "GET", "GET"]);
}

#[tokio::test]
async fn a_large_file_goes_in_pieces() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.gcs).await;
    let key = key("large");
    store.write(&key, &source(&[7; LARGE])).await.unwrap();
    assert_eq!((proxy.count("POST", "uploadType=resumable"), proxy.asked().len() - 1 <= 2), (1, true));
    assert!(content(&store, &key).await == [7; LARGE]);
}

#[tokio::test]
async fn what_is_garbled_on_the_way_is_sent_again() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.gcs).await;
    let key = key("garbled");
    proxy.rules([proxy::Rule::new(Fault::FlipInRequest(500)).times(1)]);
    store.write(&key, &source(&[1; 1000])).await.unwrap();
    assert_eq!(proxy.count("POST", ""), 2);
    assert_eq!(content(&store, &key).await, [1; 1000]);
}

#[tokio::test]
async fn a_busy_service_is_asked_again_for_writing_only() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.gcs).await;
    let key = key("busy");
    proxy.rules([proxy::Rule::status(503).times(2)]);
    store.write(&key, &source(b"x")).await.unwrap();
    proxy.rules([proxy::Rule::status(429)]);
    let trouble = store.read(&key, Span::WHOLE, None).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Unavailable);
    assert_eq!(proxy.count("GET", ""), 1);
}
