//! What `docs/storage.md` shows is what the server reads.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use crate::config::Config;
use crate::config::tests::{parsed, problems};

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/storage.md")).unwrap()
}

/// The configurations of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").expect("a block ends").0).collect()
}

#[test]
fn every_configuration_shown_is_one() {
    let host = tempfile::tempdir().unwrap();
    let at = |name: &str| host.path().join(name);
    fs::create_dir_all(at("etc")).unwrap();
    fs::create_dir_all(at("srv/shared")).unwrap();
    fs::create_dir_all(at("srv/jobstore")).unwrap();
    for (name, text) in [
        ("secret", "hunter2\n"),
        ("account.key", "a2V5\n"),
        ("sas", "sv=2024-11-04&sig=c2ln\n"),
        ("google.json", "{\"type\": \"service_account\"}\n"),
        ("id_ed25519", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
        ("known_hosts", "login.cluster.example.org ssh-ed25519 AAAA\n"),
        ("ca.pem", include_str!("tests/authority.pem")),
    ] {
        fs::write(at("etc").join(name), text).unwrap();
    }
    let here = |text: &str| {
        let text = text.replace("/etc/tessera", at("etc").to_str().unwrap());
        text.replace("/srv/", &format!("{}/", at("srv").display()))
    };
    let page = page();
    let mut schemes = Vec::new();
    for block in blocks(&page) {
        // Giving files away takes root, which a test need not be.
        let block = match rustix::process::geteuid().is_root() {
            true => here(block),
            false => here(block).replace("owner = \"1000:1000\"", ""),
        };
        let Config { storage, .. } = parsed(&block).unwrap_or_else(|problems| panic!("{problems}\n{block}"));
        let places = storage.places(Path::new("/data")).unwrap();
        assert_ne!(places.everybody, Config::default().storage.places(Path::new("/data")).unwrap().everybody);
        schemes.extend(storage.rules.iter().map(|rule| rule.prefix.split("://").next().unwrap().to_owned()));
    }
    for scheme in ["https", "s3", "gs", "az", "azureblob", "ftp", "ftps", "sftp", "webdav", "webdavs", "drs"] {
        assert!(schemes.iter().any(|shown| shown == scheme), "no rule for `{scheme}://` is shown");
    }
}

#[test]
fn every_key_of_a_rule_is_spoken_of() {
    // serde's own refusal lists all the keys there are.
    let all = problems("[[storage.rules]]\nno-such-key = 1", &[]).concat();
    let keys: Vec<&str> = all.split_once("expected").unwrap().1.split('`').skip(1).step_by(2).collect();
    assert!(keys.len() > 20, "{keys:?}");
    let page = page();
    for key in keys {
        let key = key.trim_end_matches("_file");
        assert!(page.contains(key), "docs/storage.md does not speak of `{key}`");
    }
}
