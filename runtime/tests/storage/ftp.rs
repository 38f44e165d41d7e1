//! The storage suite against FTP and FTPS, and what is FTP's own.

use std::fs;

use futures::TryStreamExt;
use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;
use tessera_runtime::storage::store::Span;

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::rig::{Ftp, Rig};

fn rule(prefix: &str, ftp: &Ftp, ca: Option<String>) -> Rule {
    Rule {
        prefix: prefix.to_owned(),
        username: Some(ftp.user.clone()),
        password: Some(Secret::new(&ftp.password)),
        ca,
        internal: true,
        ..Rule::default()
    }
}

fn storages(rule: Rule) -> Storages {
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

async fn conforms(base: &str, ftp: &Ftp, ca: Option<String>) {
    let wrong = Rule { password: Some(Secret::new("not-the-password")), ..rule(base, ftp, ca.clone()) };
    conformance::all(&Ground {
        storages: storages(rule(base, ftp, ca)),
        base: format!("{base}/conformance-{}", std::process::id()),
        strangers: Some(storages(wrong)),
        nowhere: None,
        secrets: vec![ftp.password.clone(), "not-the-password".to_owned()],
        features: Features { directories: true, slashes: false, backslashes: true, many: 100 },
    })
    .await;
}

#[tokio::test]
async fn ftp_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    conforms(&format!("ftp://{}", rig.ftp.address), &rig.ftp, None).await;
}

#[tokio::test]
async fn ftps_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let ca = fs::read_to_string(&rig.ca).unwrap();
    conforms(&format!("ftps://{}", rig.ftps.address), &rig.ftps, Some(ca)).await;
}

#[tokio::test]
async fn an_authority_that_nobody_trusts_is_refused() {
    let Some(rig) = Rig::find() else { return };
    let base = format!("ftps://{}", rig.ftps.address);
    let storages = storages(rule(&base, &rig.ftps, None));
    let (store, key) = conformance::opened(&storages, &format!("{base}/x"));
    let trouble = store.stat(&key).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
}

#[tokio::test]
async fn rule_9_2_a_bare_url_is_anonymous() {
    let Some(rig) = Rig::find() else { return };
    let base = format!("ftp://{}", rig.ftp.address);
    let name = format!("anonymous-{}", std::process::id());
    fs::write(rig.ftp.folder.join(&name), "for everybody").unwrap();
    let storages = storages(Rule { prefix: base.clone(), internal: true, ..Rule::default() });
    let (store, key) = conformance::opened(&storages, &format!("{base}/{name}"));
    let reading = store.read(&key, Span { from: 4, length: None }, None).await.unwrap();
    assert_eq!((reading.from, reading.object.size), (4, Some(13)));
    assert_eq!(reading.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"everybody");
    let trouble = store.write(&key, &conformance::source(b"theirs")).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
}
