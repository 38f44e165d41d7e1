//! The storage suite against WebDAV, and what is WebDAV's own.

use std::fs;

use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::proxy::{Fault, Proxy, Rule as Broken};
use crate::rig::{Rig, WebDav};

fn rule(prefix: &str, dav: &WebDav, ca: Option<String>) -> Rule {
    Rule {
        prefix: prefix.to_owned(),
        username: Some(dav.user.clone()),
        password: Some(Secret::new(&dav.password)),
        ca,
        internal: true,
        ..Rule::default()
    }
}

fn storages(rule: Rule) -> Storages {
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

async fn conforms(base: &str, dav: &WebDav, ca: Option<String>) {
    let wrong = Rule { password: Some(Secret::new("not-the-password")), ..rule(base, dav, ca.clone()) };
    conformance::all(&Ground {
        storages: storages(rule(base, dav, ca)),
        base: format!("{base}/conformance-{}-{}", base.split(':').next().unwrap(), std::process::id()),
        strangers: Some(storages(wrong)),
        nowhere: None,
        secrets: vec![dav.password.clone(), "not-the-password".to_owned()],
        features: Features { directories: true, slashes: false, backslashes: true, many: 100 },
    })
    .await;
}

#[tokio::test]
async fn webdav_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let base = rig.webdav.url.trim_end_matches('/').replace("http://", "webdav://");
    conforms(&base, &rig.webdav, None).await;
}

#[tokio::test]
async fn webdavs_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let base = rig.webdavs.url.trim_end_matches('/').replace("https://", "webdavs://");
    conforms(&base, &rig.webdavs, Some(fs::read_to_string(&rig.ca).unwrap())).await;
}

#[tokio::test]
async fn a_server_that_does_not_move_is_sent_the_file_itself() {
    let Some(rig) = Rig::find() else { return };
    let proxy = Proxy::before(&rig.webdav.url).await;
    proxy.rules([Broken::status(405).method("MOVE")]);
    let base = proxy.url().trim_end_matches('/').replace("http://", "webdav://");
    let folder = format!("unmoved-{}", std::process::id());
    let storages = storages(rule(&base, &rig.webdav, None));
    let (store, key) = conformance::opened(&storages, &format!("{base}/{folder}/x"));
    store.write(&key, &conformance::source(b"direct")).await.unwrap();
    let folder = rig.webdav.folder.join(folder);
    assert_eq!(fs::read(folder.join("x")).unwrap(), b"direct");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "what was begun is left behind");
}

#[tokio::test]
async fn what_breaks_off_leaves_nothing() {
    let Some(rig) = Rig::find() else { return };
    let proxy = Proxy::before(&rig.webdav.url).await;
    proxy.rules([Broken::new(Fault::CutRequest(100_000)).method("PUT")]);
    let base = proxy.url().trim_end_matches('/').replace("http://", "webdav://");
    let folder = format!("broken-off-{}", std::process::id());
    let storages = storages(rule(&base, &rig.webdav, None));
    let (store, key) = conformance::opened(&storages, &format!("{base}/{folder}/x"));
    let trouble = store.write(&key, &conformance::source(&[7; 1 << 20])).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Unavailable, "{}", trouble.message);
    assert_eq!(fs::read_dir(rig.webdav.folder.join(folder)).unwrap().count(), 0);
}
