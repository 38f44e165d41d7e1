//! The storage suite against SFTP, and what is SFTP's own.

use std::fs;

use tessera_runtime::report::FaultClass;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::{Rule, Storage};
use tessera_runtime::storage::storages::Storages;

use crate::conformance::{self, Features, Ground, IMPATIENT};
use crate::rig::{Rig, Sftp};

fn rule(sftp: &Sftp) -> Rule {
    Rule {
        prefix: format!("sftp://{}", sftp.address),
        username: Some(sftp.user.clone()),
        private_key: Some(Secret::new(fs::read_to_string(&sftp.private_key).unwrap())),
        known_hosts: Some(fs::read_to_string(&sftp.known_hosts).unwrap()),
        internal: true,
        ..Rule::default()
    }
}

fn storages(rule: Rule) -> Storages {
    Storages::new(&Storage { rules: vec![rule], ..Storage::default() }, IMPATIENT)
}

#[tokio::test]
async fn sftp_is_a_storage() {
    let Some(rig) = Rig::find() else { return };
    let sftp = &rig.sftp;
    let wrong = Rule { private_key: None, password: Some(Secret::new("not-the-password")), ..rule(sftp) };
    conformance::all(&Ground {
        storages: storages(rule(sftp)),
        base: format!("sftp://{}{}/conformance-{}", sftp.address, sftp.folder.display(), std::process::id()),
        strangers: Some(storages(wrong)),
        nowhere: None,
        secrets: vec![fs::read_to_string(&sftp.private_key).unwrap(), "not-the-password".to_owned()],
        features: Features { directories: true, slashes: false, backslashes: true, many: 100 },
    })
    .await;
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_what_would_make_it_known() {
    let Some(rig) = Rig::find() else { return };
    let sftp = &rig.sftp;
    let known = rule(sftp).known_hosts.unwrap();
    let other = known.replace(|c: char| c.is_ascii_digit(), "0");
    for lines in ["", "somebody ssh-ed25519 AAAA", &other] {
        let storages = storages(Rule { known_hosts: Some(lines.to_owned()), ..rule(sftp) });
        let (store, key) = conformance::opened(&storages, &format!("sftp://{}/x", sftp.address));
        let trouble = store.stat(&key).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Misconfigured);
        assert!(trouble.message.contains(known.trim()), "{}", trouble.message);
    }
}

#[tokio::test]
async fn links_are_what_they_lead_to() {
    let Some(rig) = Rig::find() else { return };
    let folder = rig.sftp.folder.join(format!("links-{}", std::process::id()));
    fs::create_dir_all(folder.join("real")).unwrap();
    fs::write(folder.join("real/x"), "x").unwrap();
    std::os::unix::fs::symlink("real", folder.join("linked")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.join("dangling")).unwrap();
    let storages = storages(rule(&rig.sftp));
    let url = |name: &str| format!("sftp://{}{}{name}", rig.sftp.address, folder.display());
    let (store, key) = conformance::opened(&storages, &url(""));
    let mut found = conformance::files(&*store, &key).await.unwrap();
    found.sort();
    assert_eq!(found, ["linked/x", "real/x"]);

    std::os::unix::fs::symlink("..", folder.join("real/circle")).unwrap();
    let trouble = conformance::files(&*store, &key).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Rejected);
    assert!(trouble.message.contains("circles"), "{}", trouble.message);
}
