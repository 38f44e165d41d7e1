//! The storage suite against S3, and what is S3's own.

use std::fs;
use std::io::Write;
use std::sync::Arc;

use futures::TryStreamExt;
use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::checksum::Algorithm;
use tessera_runtime::storage::location::{Location, Remote};
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::source::Source;
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::{Span, Store};

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::proxy::{self, Fault, Proxy};
use crate::rig::{Rig, S3};

/// More than one part.
const LARGE: usize = 20 * 1024 * 1024;

/// The rig's owner, at its endpoint.
fn owner(s3: &S3) -> Rule {
    Rule {
        prefix: "s3://".to_owned(),
        endpoint: Some(s3.endpoint.clone()),
        region: Some(s3.region.clone()),
        access_key_id: Some(s3.access_key_id.clone()),
        secret_access_key: Some(Secret::new(&s3.secret_access_key)),
        ..Rule::default()
    }
}

fn storages(rule: Rule) -> Storages {
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

/// A bucket, opened with a rule.
fn bucket(rule: Rule, bucket: &str) -> Arc<dyn Store> {
    let Location::Remote(remote) = Location::parse(&format!("s3://{bucket}/")).unwrap() else { panic!() };
    let remote: Remote = remote;
    storages(rule).open(&remote).unwrap().0
}

async fn proxied(s3: &S3) -> (Proxy, Arc<dyn Store>) {
    let proxy = Proxy::before(&s3.endpoint).await;
    let rule = Rule { endpoint: Some(proxy.url().to_owned()), ..owner(s3) };
    (proxy, bucket(rule, &s3.bucket))
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
    format!("s3-{}/{name}", std::process::id())
}

#[tokio::test]
async fn s3_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let s3 = &rig.s3;
    conformance::all(&Ground {
        storages: storages(owner(s3)),
        base: format!("s3://{}/conformance-{}", s3.bucket, std::process::id()),
        strangers: Some(storages(Rule { secret_access_key: Some(Secret::new("not-the-secret")), ..owner(s3) })),
        nowhere: Some("s3://there-is-no-such-bucket/x".to_owned()),
        secrets: vec![s3.secret_access_key.clone(), "not-the-secret".to_owned(), "Signature=".to_owned()],
        // Its keys are paths of a file system.
        features: Features { directories: false, slashes: false, backslashes: true, many: 1500 },
    })
    .await;
}

#[tokio::test]
async fn a_small_file_costs_one_request() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.s3).await;
    let key = key("one");
    store.write(&key, &source(b"x")).await.unwrap();
    assert_eq!(content(&store, &key).await, b"x");
    store.stat(&key).await.unwrap();
    let methods: Vec<_> = proxy.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(methods, ["PUT", "GET", "HEAD"]);
}

#[tokio::test]
async fn a_large_file_is_proved_as_a_whole() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.s3).await;
    let (key, source) = (key("whole"), source(&[7; LARGE]));
    store.write(&key, &source).await.unwrap();
    assert_eq!((proxy.count("POST", ""), proxy.count("PUT", ""), proxy.asked().len()), (2, 2, 4));
    let sum = source.checksum(Algorithm::Crc32c, 0, LARGE as u64).await.unwrap();
    let (seen, read) = (store.stat(&key).await.unwrap().unwrap(), store.read(&key, Span::WHOLE, None).await.unwrap());
    assert_eq!((seen.checksums, read.object.checksums), (vec![sum.clone()], vec![sum]));
}

#[tokio::test]
async fn what_is_garbled_on_the_way_is_sent_again() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.s3).await;
    for (name, wanted) in [("garbled/small", vec![1; 1000]), ("garbled/large", vec![2; LARGE])] {
        proxy.forget();
        proxy.rules([proxy::Rule::new(Fault::FlipInRequest(500)).method("PUT").times(1)]);
        let key = key(name);
        store.write(&key, &source(&wanted)).await.unwrap();
        let refused = proxy.asked().iter().filter(|asked| asked.status() == Some(400)).count();
        assert_eq!(refused, 1, "{:?}", proxy.asked());
        assert!(content(&store, &key).await == wanted);
    }
}

#[tokio::test]
async fn a_part_that_breaks_off_is_sent_again_and_no_other() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.s3).await;
    proxy.rules([proxy::Rule::new(Fault::CutRequest(1024 * 1024)).path("partNumber=1&").times(1)]);
    let key = key("cut");
    store.write(&key, &source(&[3; LARGE])).await.unwrap();
    assert_eq!((proxy.count("PUT", "partNumber=1&"), proxy.count("PUT", "partNumber=2&")), (2, 1));
    assert!(content(&store, &key).await == [3; LARGE]);
}

#[tokio::test]
async fn a_lost_last_answer_costs_no_upload() {
    let Some(rig) = Rig::find() else { return };
    let (proxy, store) = proxied(&rig.s3).await;
    proxy.rules([proxy::Rule::new(Fault::CutAnswer(0)).method("POST").path("uploadId=").times(1)]);
    let key = key("lost");
    store.write(&key, &source(&[4; LARGE])).await.unwrap();
    assert_eq!((proxy.count("POST", "uploadId="), proxy.count("PUT", "")), (2, 2));
    assert!(content(&store, &key).await == [4; LARGE]);
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    let Some(rig) = Rig::find() else { return };
    // A bucket of its own: what lies in it is this test's.
    let name = format!("given-up-{}", std::process::id());
    let folder = rig.s3.folder.join(&name);
    fs::create_dir(&folder).unwrap();
    let proxy = Proxy::before(&rig.s3.endpoint).await;
    let store = bucket(Rule { endpoint: Some(proxy.url().to_owned()), ..owner(&rig.s3) }, &name);
    proxy.rules([proxy::Rule::status(403).path("partNumber=2&")]);
    let trouble = store.write("k", &source(&[5; LARGE])).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured);
    assert_eq!(proxy.asked().last().unwrap().method, "DELETE");
    let uploads = folder.join(".sgwtmp/multipart");
    let left = fs::read_dir(&uploads).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{}", uploads.display());
}

#[tokio::test]
async fn public_buckets_need_nobody() {
    let Some(rig) = Rig::find() else { return };
    let s3 = &rig.s3;
    fs::write(s3.folder.join(&s3.public_bucket).join("s3.txt"), "public").unwrap();
    let anonymous = Rule { access_key_id: None, secret_access_key: None, anonymous: true, ..owner(s3) };
    assert_eq!(content(&bucket(anonymous.clone(), &s3.public_bucket), "s3.txt").await, b"public");
    let trouble = bucket(anonymous, &s3.bucket).read("s3.txt", Span::WHOLE, None).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured);
    assert!(trouble.message.contains("not signed"), "{}", trouble.message);
}

#[tokio::test]
async fn who_may_only_read_is_told() {
    let Some(rig) = Rig::find() else { return };
    let rule = Rule { endpoint: Some(rig.s3.read_only_endpoint.clone()), ..owner(&rig.s3) };
    let store = bucket(rule, &rig.s3.bucket);
    for size in [1, LARGE] {
        let trouble = store.write(&key("denied"), &source(&vec![6; size])).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Misconfigured);
        assert!(trouble.message.contains("AccessDenied"), "{}", trouble.message);
    }
}

#[tokio::test]
async fn a_wrong_region_is_put_right() {
    let Some(rig) = Rig::find() else { return };
    let store = bucket(Rule { region: Some("eu-west-3".to_owned()), ..owner(&rig.s3) }, &rig.s3.bucket);
    store.write(&key("region"), &source(b"x")).await.unwrap();
    assert_eq!(content(&store, &key("region")).await, b"x");
}

/// Run by the next one, each time in surroundings of its own.
#[tokio::test]
#[ignore = "only in surroundings that the_surroundings_say_who_we_are makes"]
async fn whoever_the_surroundings_say() {
    let rig = Rig::find().unwrap();
    let store = bucket(Rule::default(), &rig.s3.bucket);
    let (key, known) = (std::env::var("RIG_KEY").unwrap(), std::env::var("RIG_KNOWN").is_ok());
    match store.write(&key, &source(key.as_bytes())).await {
        Ok(()) => assert!(known && content(&store, &key).await == key.as_bytes()),
        Err(trouble) => {
            assert!(!known && trouble.class == FaultClass::Misconfigured, "{}", trouble.message);
            assert!(trouble.message.contains("no credentials are configured or were found"), "{}", trouble.message);
        }
    }
}

#[tokio::test]
async fn the_surroundings_say_who_we_are() {
    let Some(rig) = Rig::find() else { return };
    let (s3, home) = (&rig.s3, tempfile::tempdir().unwrap());
    let file = home.path().join("credentials");
    let (id, secret) = (s3.access_key_id.as_str(), s3.secret_access_key.as_str());
    fs::write(&file, format!("[lab]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")).unwrap();
    let file = file.to_str().unwrap();
    for (name, variables) in [
        ("variables", vec![("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret), ("RIG_KNOWN", "")]),
        ("profile", vec![("AWS_SHARED_CREDENTIALS_FILE", file), ("AWS_PROFILE", "lab"), ("RIG_KNOWN", "")]),
        ("nobody", vec![]),
    ] {
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        again.args(["s3::whoever_the_surroundings_say", "--exact", "--ignored", "--nocapture"]);
        again.env_clear().env("HOME", home.path()).env("RIG_KEY", key(&format!("surroundings/{name}")));
        again.env("TESSERA_STORAGE_RIG", std::env::var_os("TESSERA_STORAGE_RIG").unwrap());
        again.env("AWS_ENDPOINT_URL_S3", &s3.endpoint).env("AWS_REGION", &s3.region).envs(variables);
        let ran = again.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("1 passed"), "{name}: {said}");
    }
}
