//! The storage suite against Azure Blob, and what Azure alone has to show.

use std::io::Write;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use reqsign_core::hash::base64_hmac_sha256;
use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::checksum::Algorithm;
use tessera_runtime::storage::location::Location;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::source::Source;
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Span, Store};
use tessera_runtime::storage::trouble::{Trouble, Why};

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::proxy::{self, Fault, Proxy};
use crate::rig::{Azure, Rig};

/// Three blocks.
const LARGE: usize = 17 * 1024 * 1024;

fn owner(azure: &Azure) -> Rule {
    Rule { account_key: Some(Secret::new(&azure.key)), ..nobody(azure) }
}

/// Asks without credentials.
fn nobody(azure: &Azure) -> Rule {
    Rule {
        prefix: "azureblob://".to_owned(),
        endpoint: Some(azure.endpoint.clone()),
        account: Some(azure.account.clone()),
        anonymous: true,
        ..Rule::default()
    }
}

/// The rule for both forms of URL.
fn storages(rule: Rule) -> Storages {
    let short = Rule { prefix: "az://".to_owned(), ..rule.clone() };
    Storages::new(&Storage { rules: vec![rule, short], ..Storage::default() }, IMPATIENT)
}

/// The store of a URL, and the key in it.
fn open(rule: Rule, url: &str) -> (Arc<dyn Store>, String) {
    let Location::Remote(remote) = Location::parse(url).unwrap() else { panic!("{url}") };
    storages(rule).open(&remote).unwrap()
}

/// The container, seen through a proxy.
async fn proxied(azure: &Azure) -> (Proxy, Arc<dyn Store>) {
    let (host, path) = azure.endpoint.rsplit_once('/').unwrap();
    let proxy = Proxy::before(host).await;
    let rule = Rule { endpoint: Some(format!("{}/{path}", proxy.url())), ..owner(azure) };
    (proxy, open(rule, &format!("az://{}/", azure.container)).0)
}

fn source(content: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Source::new(file).unwrap()
}

async fn content(store: &Arc<dyn Store>, key: &str) -> Result<Vec<u8>, Trouble> {
    let pieces: Vec<_> = store.read(key, Span::WHOLE, None).await?.body.try_collect().await?;
    Ok(pieces.concat())
}

/// A key that is this run's alone.
fn key(name: &str) -> String {
    format!("azblob-{}/{name}", std::process::id())
}

/// A signature that allows these things in the whole account.
fn access(azure: &Azure, permissions: &str) -> String {
    let (expires, version) = ("2099-01-01T00:00:00Z", "2020-12-06");
    let lines = [&azure.account, permissions, "b", "co", "", expires, "", "", version, "", ""];
    let key = BASE64_STANDARD.decode(&azure.key).unwrap();
    let signature = base64_hmac_sha256(&key, lines.join("\n").as_bytes());
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("sv={version}&ss=b&srt=co&sp={permissions}&se={}&sig={signature}", expires.replace(':', "%3A"))
}

#[tokio::test]
async fn azure_blob_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let azure = &rig.azure;
    let strangers = Rule { account_key: Some(Secret::new("bm90LXRoZS1rZXk=")), ..owner(azure) };
    conformance::all(&Ground {
        storages: storages(owner(azure)),
        base: format!("azureblob://{}/{}/conformance-{}", azure.account, azure.container, std::process::id()),
        strangers: Some(storages(strangers)),
        nowhere: Some(format!("azureblob://{}/there-is-no-such-container/x", azure.account)),
        secrets: vec![azure.key.clone(), "bm90LXRoZS1rZXk=".to_owned(), "SharedKey".to_owned()],
        features: Features { directories: false, slashes: true, backslashes: false, many: 5050 },
    })
    .await;
}

#[tokio::test]
async fn a_small_file_costs_one_request() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.azure).await;
    let key = key("one");
    store.write(&key, &source(b"x")).await.unwrap();
    assert_eq!(content(&store, &key).await.unwrap(), b"x");
    let seen = store.stat(&key).await.unwrap().unwrap();
    let methods: Vec<_> = proxy.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["PUT", "GET", "HEAD"]);
    // The service keeps the checksum of what came in one piece.
    let md5 = source(b"x").checksum(Algorithm::Md5, 0, 1).await.unwrap();
    let part = store.read(&key, Span { from: 0, length: Some(1) }, None).await.unwrap();
    assert_eq!((seen.checksums, part.object.checksums), (vec![md5.clone()], vec![md5]));
}

#[tokio::test]
async fn a_signature_in_the_url_opens_what_it_says() {
    let Some(rig) = Rig::find() else { return };
    let azure = &rig.azure;
    let (owned, key) = open(owner(azure), &format!("az://{}/{}", azure.container, key("signed a+b%")));
    owned.write(&key, &source(b"x")).await.unwrap();
    let written = "signed%20a+b%25";
    let url = |query: &str| {
        let name = key.replace("signed a+b%", written);
        format!("https://{}.blob.core.windows.net/{}/{name}?{query}", azure.account, azure.container)
    };

    // It counts for more than a rule that asks without credentials.
    let all = access(azure, "rwl");
    let (signed, same) = open(nobody(azure), &url(&all));
    assert_eq!(same, key);
    assert_eq!(content(&signed, &key).await.unwrap(), b"x");
    signed.write(&key, &source(&[5; LARGE])).await.unwrap();
    let directory = key.split('/').next().unwrap();
    let found = signed.list(directory, None).await.unwrap().entries;
    assert!(found.iter().any(|entry| entry.name == "signed a+b%" && entry.object.size == Some(LARGE as u64)));

    let reading = access(azure, "r");
    let (signed, _) = open(nobody(azure), &url(&reading));
    assert!(content(&signed, &key).await.unwrap() == [5; LARGE]);
    for trouble in [
        signed.write(&key, &source(b"y")).await.unwrap_err(),
        signed.write(&key, &source(&[6; LARGE])).await.unwrap_err(),
        signed.list(directory, None).await.unwrap_err(),
    ] {
        assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
        assert!(!trouble.message.contains("sig") || !trouble.message.contains("sv="), "{}", trouble.message);
    }
    let (forged, _) = open(nobody(azure), &url(&reading.replace("sp=r", "sp=rw")));
    let trouble = forged.read(&key, Span::WHOLE, None).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
    assert!(!trouble.message.contains("sv="), "{}", trouble.message);
}

#[tokio::test]
async fn nobody_is_told_that_nobody_asked() {
    let Some(rig) = Rig::find() else { return };
    let azure = &rig.azure;
    let (owned, key) = open(owner(azure), &format!("az://{}/{}", azure.container, key("closed")));
    owned.write(&key, &source(b"x")).await.unwrap();
    let (store, _) = open(nobody(azure), &format!("az://{}/{key}", azure.container));
    let trouble = store.read(&key, Span::WHOLE, None).await.unwrap_err();
    assert!(trouble.message.contains("without credentials"), "{}", trouble.message);
}

#[tokio::test]
async fn what_is_garbled_on_the_way_is_sent_again() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.azure).await;
    for (name, wanted) in [("garbled/small", vec![1; 1000]), ("garbled/large", vec![2; LARGE])] {
        proxy.forget();
        proxy.rules([proxy::Rule::new(Fault::FlipInRequest(500)).method("PUT").times(1)]);
        let key = key(name);
        store.write(&key, &source(&wanted)).await.unwrap();
        let refused = proxy.asked().iter().filter(|asked| asked.status() == Some(400)).count();
        assert_eq!(refused, 1, "{:?}", proxy.asked());
        assert!(content(&store, &key).await.unwrap() == wanted);
    }
}

#[tokio::test]
async fn a_block_that_breaks_off_is_sent_again_and_no_other() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.azure).await;
    proxy.rules([proxy::Rule::new(Fault::CutRequest(1024 * 1024)).path("comp=block&").times(1)]);
    let key = key("cut");
    store.write(&key, &source(&[3; LARGE])).await.unwrap();
    assert_eq!((proxy.count("PUT", "comp=block&"), proxy.count("PUT", "comp=blocklist")), (4, 1));
    assert!(content(&store, &key).await.unwrap() == [3; LARGE]);
}

#[tokio::test]
async fn a_lost_list_costs_no_blocks() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.azure).await;
    proxy.rules([proxy::Rule::new(Fault::HangUp).path("comp=blocklist").times(1)]);
    let key = key("lost");
    store.write(&key, &source(&[4; LARGE])).await.unwrap();
    assert_eq!((proxy.count("PUT", "comp=block&"), proxy.count("PUT", "comp=blocklist")), (3, 2));
    assert!(content(&store, &key).await.unwrap() == [4; LARGE]);
}

#[tokio::test]
async fn a_busy_service_is_asked_again_for_writing_only() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.azure).await;
    let key = key("busy");
    proxy.rules([proxy::Rule::status(503).times(2)]);
    store.write(&key, &source(b"x")).await.unwrap();
    proxy.rules([proxy::Rule::status(503)]);
    let trouble = store.read(&key, Span::WHOLE, None).await.unwrap_err();
    assert_eq!((trouble.class, trouble.why), (FaultClass::Unavailable, Why::Other));
    assert_eq!(proxy.count("GET", ""), 1);
}
