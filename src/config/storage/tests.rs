#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use tessera_runtime::storage::location::{Location, Remote};
use tessera_runtime::storage::settings;

use crate::config::tests::{assert_names, parsed, problems};

/// A certificate that is good for nothing but being read.
const CERTIFICATE: &str = include_str!("tests/authority.pem");

fn remote(url: &str) -> Remote {
    match Location::parse(url).unwrap() {
        Location::Remote(remote) => remote,
        Location::Host(path) => panic!("{path:?}"),
    }
}

#[test]
fn lists_hold_prefixes_that_are_known() {
    assert_names(
        "[storage]\nallow = ['s3://b', 'bucket']\ndeny = ['gopher://x',\n 'https://host*']",
        &[],
        &[
            "2|storage.allow[1]|`bucket` is no URL prefix",
            "3|storage.deny[0]|`gopher://x` names no scheme",
            "4|storage.deny[1]|`https://host*` covers hosts of strangers",
        ],
    );
}

#[test]
fn each_key_of_a_rule_is_judged_by_its_protocol() {
    assert_names(
        "[[storage.rules]]\nprefix = 's3://b'\naccount = 'x'\n\
         [[storage.rules]]\nprefix = 's3://b/'\n\
         [[storage.rules]]\nprefix = 'sftp://h'\nproxy = 'http://p'\nregion = 'x'\n\
         [[storage.rules]]\nregion = 'x'\n\
         [[storage.rules]]\nprefix = 'azure://c'\ninternal = true\nnonsense = 1",
        &[],
        &[
            "3|storage.rules[0].account|`s3` knows no such key; it knows endpoint",
            "5|storage.rules[1].prefix|there is another rule",
            "8|storage.rules[2].proxy|`sftp` knows no such key",
            "9|storage.rules[2].region|`sftp` knows no such key",
            "10|storage.rules[3].prefix|`` is no URL prefix",
            "14|storage.rules[4].internal|`azureblob` knows no such key",
            "15|storage.rules[4].nonsense|unknown field",
        ],
    );
}

#[test]
fn half_a_pair_and_contradictions_are_named() {
    for (rule, named) in [
        ("prefix = 's3://'\naccess_key_id = 'k'", "access_key_id|says nothing without `secret_access_key`"),
        ("prefix = 's3://'\nsecret_access_key = 'k'", "secret_access_key|says nothing without `access_key_id`"),
        ("prefix = 's3://'\nsession_token = 'k'", "session_token|says nothing without `access_key_id`"),
        ("prefix = 'ftp://h'\npassword = 'k'", "password|says nothing without `username`"),
        ("prefix = 'az://'\naccount_key = 'a2V5'", "account_key|says nothing without `account`"),
        (
            "prefix = 'az://'\naccount = 'a'\naccount_key = 'a2V5'\nsas_token = 'sig=x'",
            "account_key|contradicts `sas_token`",
        ),
        ("prefix = 'https://h'\nusername = 'a'\ntoken = 't'", "token|contradicts `username`"),
        ("prefix = 's3://'\nanonymous = true\naccess_key_id = 'k'\nsecret_access_key = 's'", "anonymous|contradicts"),
        (
            "prefix = 's3://'\naccess_key_id = 'k'\nsecret_access_key = 's'\nsecret_access_key_file = '/x'",
            "secret_access_key_file|given both",
        ),
    ] {
        let found = problems(&format!("[[storage.rules]]\n{rule}"), &[]);
        assert!(found.iter().any(|it| it.contains(&format!("storage.rules[0].{named}"))), "{rule}: {found:#?}");
    }
    let names_account = "[[storage.rules]]\nprefix = 'azureblob://acc'\naccount_key = 'a2V5'";
    assert!(parsed(names_account).is_ok());
}

#[test]
fn values_are_looked_at_and_secrets_are_not_shown() {
    for (prefix, key, value, words) in [
        ("s3://", "endpoint", "minio:9000", "base URL"),
        ("s3://", "endpoint", "https://user:SECRET@h", "base URL"),
        ("s3://", "region", "", "empty"),
        ("https://h", "proxy", "SECRET", "no proxy"),
        ("https://h", "proxy", "socks5://SECRET", "no proxy"),
        ("https://h", "token", "SECRET\\nx", "white space"),
        ("https://h", "ca", "SECRET", "no certificate"),
        ("https://h", "ca", "-----BEGIN CERTIFICATE-----\\nU0VDUkVU\\n-----END CERTIFICATE-----", "no certificate"),
        ("azureblob://a", "account_key", "SECRET!", "base64"),
        ("azureblob://a", "sas_token", "?sig=SECRET", "begins with"),
        ("azureblob://a", "sas_token", "SECRET", "`sig=`"),
        ("gs://", "service_account", "SECRET", "JSON"),
        ("gs://", "service_account", "{\\\"key\\\": \\\"SECRET\\\"}", "`type`"),
        ("sftp://h", "known_hosts", "h SECRET", "host kind key"),
        ("sftp://h", "known_hosts", "# nobody", "no line"),
    ] {
        let text = format!("[[storage.rules]]\nprefix = \"{prefix}\"\n{key} = \"{value}\"");
        let found = problems(&text, &[]);
        assert_eq!(found.len(), 1, "{text} {found:#?}");
        assert!(found[0].starts_with(&format!("3|storage.rules[0].{key}|")), "{found:#?}");
        assert!(found[0].contains(words) && !found[0].contains("SECRET"), "{found:#?}");
    }
    for key in
        ["secret_access_key", "session_token", "account_key", "sas_token", "service_account", "proxy", "private_key"]
    {
        let text = format!("[[storage.rules]]\nprefix = 's3://'\n{key} = 31337");
        assert_names(&text, &[], &[&format!("3|storage.rules[0].{key}|must be a text in quotes")]);
    }
    let config = parsed(
        "[[storage.rules]]\nprefix = 's3://'\naccess_key_id = 'k'\nsecret_access_key = 'hunter2'\n\
         proxy = 'http://u:hunter2@p'\n[[storage.rules]]\nprefix = 'https://h'\ntoken = 'hunter2'",
    )
    .unwrap();
    for printed in [format!("{config:?}"), toml::to_string(&config).unwrap(), serde_json::to_string(&config).unwrap()] {
        assert!(!printed.contains("hunter2") && printed.contains('…'), "{printed}");
    }
    let places = config.storage.places(Path::new("/data")).unwrap();
    assert!(!format!("{places:?}").contains("hunter2"));
    assert_eq!(places.everybody.rules[0].secret_access_key.as_ref().unwrap().expose(), "hunter2");
}

#[test]
fn secrets_and_certificates_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (secret, ca) = (write("secret", "hunter2\n"), write("ca.pem", CERTIFICATE));
    let text = format!(
        "[[storage.rules]]\nprefix = 's3://'\naccess_key_id = 'k'\nsecret_access_key_file = '{secret}'\nca_file = '{ca}'"
    );
    let rule = parsed(&text).unwrap().storage.places(Path::new("/data")).unwrap().everybody.rules.remove(0);
    assert_eq!(rule.secret_access_key.unwrap().expose(), "hunter2");
    assert!(rule.ca.unwrap().ends_with("-----END CERTIFICATE-----"));
    for (path, words) in
        [("/no/such/file", "cannot read"), ("secret", "is not an absolute path"), (&*write("empty", ""), "empty")]
    {
        let text = format!("[[storage.rules]]\nprefix = 'https://h'\ntoken_file = '{path}'");
        let found = problems(&text, &[]);
        assert!(found.len() == 1 && found[0].starts_with("3|storage.rules[0].token_file|"), "{found:#?}");
        assert!(found[0].contains(words), "{found:#?}");
    }
}

#[test]
fn roots_are_paths_or_tables() {
    let config = parsed(
        "[storage.file]\nroots = ['/usr', { path = '/etc', mode = 'bind-rw' }, { path = '/var' }]\n\
         mode = '0640'\ndirectory_mode = '2750'\n[storage.cache]\nmax_bytes = 0",
    )
    .unwrap();
    let printed = toml::to_string(&config).unwrap();
    assert_eq!(parsed(&printed).unwrap(), config, "{printed}");
    let places = config.storage.places(Path::new("/data")).unwrap();
    assert_eq!(places.everybody.file_roots, ["/usr", "/etc", "/var"]);
    assert_eq!(places.everybody.file_bind_rw, ["/etc"]);
    assert_eq!(
        (places.everybody.ownership.mode, places.everybody.ownership.directory_mode),
        (Some(0o640), Some(0o2750))
    );
    assert_eq!((places.everybody.ownership.owner, places.everybody.cache), (None, None));
    assert_eq!(places.working[..3], ["file:///usr", "file:///etc", "file:///var"]);
    assert_names(
        "[storage.file]\nroots = [\n'relative', '/usr/../etc', '/no/such', { path = '/', mode = 'bind-rw' }, '/usr', '/usr']\n\
         owner = 'ada'\nmode = '0888'\ndirectory_mode = '17777'\n[storage.cache]\ndir = 'cache'",
        &[],
        &[
            "3|storage.file.roots[0]|`relative` is not an absolute path",
            "3|storage.file.roots[1]|`/usr/../etc` is not an absolute path",
            "3|storage.file.roots[2]|`/no/such` is no folder",
            "3|storage.file.roots[3]|is `/`",
            "3|storage.file.roots[5]|`/usr` is there twice",
            "4|storage.file.owner|`ada` is no owner",
            "5|storage.file.mode|`0888` is no mode",
            "6|storage.file.directory_mode|`17777` is no mode",
            "8|storage.cache.dir|`cache` is not an absolute path",
        ],
    );
    assert_names(
        "[storage.file]\nroots = [{ path = '/usr', mode = 'rw' }]",
        &[],
        &["2|storage.file.roots[0].mode|unknown variant `rw`"],
    );
    assert_names(
        "[storage.file]\nroots = [1]",
        &[],
        &["2|storage.file.roots[0]|invalid type: integer `1`, expected an absolute path"],
    );
}

#[test]
fn owners_are_numbers() {
    let owner = |text: &str| super::FileStorage { owner: text.to_owned(), ..super::FileStorage::default() }.ownership();
    assert_eq!(owner("1000:100").unwrap().owner, Some((1000, 100)));
    for wrong in ["1000", "1000:", ":1", "-1:1", "4294967295:1", "a:b"] {
        assert!(owner(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_cache_lies_out_of_the_tasks_reach() {
    let places = |text: &str| parsed(text).unwrap().storage.places(Path::new("/data")).unwrap().everybody;
    let default = places("");
    assert_eq!(default.cache.unwrap().dir, "/data/cache");
    assert_eq!(default.file_forbidden, ["/data"]);
    let elsewhere = places("[storage.cache]\ndir = '/tmp/tessera-cache'\nmax_bytes = 1");
    assert_eq!((elsewhere.cache.unwrap().max_bytes, &elsewhere.file_forbidden[1][..]), (1, "/tmp/tessera-cache"));
}

#[test]
fn callers_narrow_and_never_widen() {
    let logins = "[[auth.users]]\nname = 'ada'\npassword = 'p'\n[[auth.tokens]]\nname = 'ci'\ntoken = 't'\n";
    let config = parsed(&format!(
        "{logins}[storage]\nallow = ['s3://lab', 'gs://']\ndeny = ['s3://lab/old']\n\
         [[storage.rules]]\nprefix = 's3://lab/ada'\naccess_key_id = 'k'\nsecret_access_key = 's'\n\
         [[storage.rules]]\nprefix = 'gs://'\nanonymous = true\n\
         [[storage.rules]]\nprefix = 'https://elsewhere'\ntoken = 't'\n\
         [[storage.callers]]\nname = 'ada'\nallow = ['s3://lab/ada', 's3://']\ndeny = ['s3://lab/ada/x']\n\
         [[storage.callers]]\nname = 'ci'\ndeny = ['gs://']"
    ))
    .unwrap();
    let places = config.storage.places(Path::new("/data")).unwrap();
    let may = |storage: &settings::Storage, url: &str| storage.refusal(&remote(url)).is_none();
    let (ada, ci) = (&places.callers["ada"], &places.callers["ci"]);
    for (url, everybody, adas, cis) in [
        ("s3://lab/ada/a", true, true, true),
        ("s3://lab/ada/x", true, false, true),
        ("s3://lab/bob", true, true, true),
        ("s3://lab/old/a", false, false, false),
        ("s3://other/a", false, false, false),
        ("gs://b/a", true, false, false),
    ] {
        assert_eq!((may(&places.everybody, url), may(ada, url), may(ci, url)), (everybody, adas, cis), "{url}");
    }
    // Nobody holds a key for what may not be used.
    let rules = |storage: &settings::Storage| storage.rules.iter().map(|rule| rule.prefix.clone()).collect::<Vec<_>>();
    assert_eq!(rules(&places.everybody), ["s3://lab/ada", "gs://"]);
    assert_eq!((rules(ada), rules(ci)), (vec!["s3://lab/ada".to_owned()], vec!["s3://lab/ada".to_owned()]));
    assert_eq!(places.working, ["s3://lab/", "gs://"]);
}

#[test]
fn callers_are_known_and_stay_within() {
    assert_names(
        "[[auth.users]]\nname = 'ada'\npassword = 'p'\n[storage]\nallow = ['s3://lab']\n\
         [[storage.callers]]\nname = 'bob'\n[[storage.callers]]\nname = 'ada'\nallow = ['gs://x']\ndeny = ['x']\n\
         [[storage.callers]]\nname = 'ada'",
        &[],
        &[
            "7|storage.callers[0].name|`bob` is no caller",
            "10|storage.callers[1].allow[0]|`gs://x` lies outside storage.allow",
            "11|storage.callers[1].deny[0]|`x` is no URL prefix",
            "13|storage.callers[2].name|`ada` is there twice",
        ],
    );
    assert!(parsed("[[storage.callers]]\nname = 'anonymous'\nallow = ['s3://lab']").is_ok());
}

#[test]
fn rule_16_3_and_16_4_what_really_works_is_computed() {
    let working = |text: &str| parsed(text).unwrap().storage.places(Path::new("/data")).unwrap().working;
    let default = working("");
    for scheme in [
        "http://",
        "https://",
        "s3://",
        "gs://",
        "azureblob://",
        "ftp://",
        "ftps://",
        "webdav://",
        "webdavs://",
        "drs://",
    ] {
        assert!(default.iter().any(|it| it == scheme), "{scheme} {default:?}");
    }
    // Without an account, and without known hosts, these do not work.
    assert!(!default.iter().any(|it| it.starts_with("az://") || it.starts_with("sftp")), "{default:?}");
    let set = working(
        "[storage]\ndeny = ['ftp://', 'gs://b']\n[[storage.rules]]\nprefix = 'az://'\naccount = 'a'\n\
         [[storage.rules]]\nprefix = 'sftp://h/in'\nknown_hosts = 'h ssh-ed25519 AAAA'",
    );
    for (prefix, named) in
        [("az://", true), ("azure://", true), ("sftp://h/in/", true), ("ftp://", false), ("gs://", true)]
    {
        assert_eq!(set.iter().any(|it| it == prefix), named, "{prefix} {set:?}");
    }
    let listed =
        working("[storage]\nallow = ['s3://b', 's3://lab-*', 'az://c', 'https://h/x/']\ndeny = ['https://h/']");
    assert_eq!(listed, ["s3://b/", "s3://lab-"]);
}
