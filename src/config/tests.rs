//! What is written is what runs, and what is wrong is named.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use super::overrides::from_environment;
use super::*;

pub(super) fn parsed(text: &str) -> Result<Config, Problems> {
    with(text, &[])
}

/// Reads a file with this text, below these variables.
fn with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.toml");
    fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    read(Some(&file), from_environment(variables))
}

/// The problems, as `line|key|message`, the file's name left out.
pub(super) fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let found = with(text, variables).expect_err("it is wrong").found;
    let place = |it: &Problem| it.line.map_or(it.written.clone().unwrap_or_default(), |line| line.to_string());
    found.into_iter().map(|it| format!("{}|{}|{}", place(&it), it.key, it.message)).collect()
}

#[track_caller]
pub(super) fn assert_names(text: &str, variables: &[(&str, &str)], expected: &[&str]) {
    let found = problems(text, variables);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "`{found}` does not begin with `{expected}`");
    }
}

fn staged(path: &str) -> storage::Root {
    storage::Root { path: PathBuf::from(path), mode: storage::Mode::Stage }
}

fn example() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tessera.example.toml")).unwrap()
}

/// Every setting's key, `backends` left out: its names are the operator's.
fn keys(above: &str, table: &toml::Table) -> Vec<String> {
    let key = |name: &str| if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
    table
        .iter()
        .filter(|(name, _)| !above.is_empty() || *name != "backends")
        .flat_map(|(name, value)| match value.as_table() {
            Some(below) if !below.is_empty() => keys(&key(name), below),
            Some(_) | None => vec![key(name)],
        })
        .collect()
}

#[test]
fn nothing_written_is_the_default_with_one_docker_backend() {
    assert_eq!(parsed("").unwrap(), Config::default());
    assert_eq!(read(None, Vec::new()).unwrap().backends.0.keys().collect::<Vec<_>>(), ["docker"]);
}

#[test]
fn what_is_written_is_what_runs() {
    let config = parsed(
        "[server]\nlisten = '127.0.0.1:0'\nshutdown_grace_ms = 0\n[policy]\nlog_tail_bytes = 0\nstop_grace_ms = 0\n\
         missing_output = 'ignore'\n[service_info]\ndescription = ''\n[storage.file]\nroots = ['/usr']\n\
         [backends.fake]\nkind = 'scripted'",
    )
    .unwrap();
    assert_eq!(config.server.shutdown_grace_ms, 0);
    assert_eq!((config.policy.log_tail_bytes, config.policy.stop_grace_ms), (0, 0));
    assert_eq!(config.policy.missing_output, MissingOutput::Ignore);
    assert_eq!(config.storage.file.roots, [staged("/usr")]);
    // Backends that are written replace the default one.
    assert_eq!(config.backends.0.keys().collect::<Vec<_>>(), ["fake"]);
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let config = parsed(&example()).unwrap();
    let printed = toml::to_string(&config).unwrap();
    assert_eq!(parsed(&printed).unwrap(), config, "{printed}");
}

#[test]
fn what_cannot_be_a_server_among_several_is_named() {
    assert_names(
        "[replica]\nname = 'a/b'\naddress = 'b:1'\nlease_ms = 1\nabsent_after_ms = 0",
        &[],
        &["2|replica.name|", "3|replica.address|", "4|replica.lease_ms|", "5|replica.absent_after_ms|"],
    );
    assert!(parsed("[replica]\nname = 'node-1.example'\naddress = 'https://10.0.0.5:8000'").is_ok());
}

#[test]
fn variables_win_over_the_file_whatever_they_say() {
    let file = "[server]\nlisten = '127.0.0.1:1'\n[policy]\nshow_queued = true\n[storage.file]\nroots = ['/usr', '/etc']\n\
                [service_info]\nname = 'x'\n[backends.my-fake]\nkind = 'scripted'";
    let config = with(
        file,
        &[
            ("TESSERA_SERVER__LISTEN", "127.0.0.1:0"),
            ("TESSERA_POLICY__SHOW_QUEUED", "false"),
            ("TESSERA_POLICY__STOP_GRACE_MS", "0"),
            ("TESSERA_STORAGE__FILE__ROOTS", "['/tmp']"),
            ("TESSERA_SERVICE_INFO__NAME", "2024"),
            ("TESSERA_SERVICE_INFO__ENVIRONMENT", ""),
            ("TESSERA_BACKENDS__MY_FAKE__FOLDER", "/jobs"),
            // The command line's own, and other programs'.
            ("TESSERA_SERVER", "http://x"),
            ("OTHER__KEY", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 0);
    assert!(!config.policy.show_queued);
    assert_eq!(config.policy.stop_grace_ms, 0);
    assert_eq!(config.storage.file.roots, [staged("/tmp")]);
    assert_eq!(config.service_info.name, "2024");
    assert_eq!(config.service_info.environment, "");
    let Backend::Scripted(fake) = &config.backends.0["my-fake"] else { panic!("another kind") };
    assert_eq!(fake.folder.as_deref(), Some(Path::new("/jobs")));
}

#[test]
fn flags_win_over_variables() {
    let mut overrides = from_environment([("TESSERA_SERVER__LISTEN".to_owned(), "127.0.0.1:1".to_owned())]);
    overrides.push(Override::flag("--listen", &["server", "listen"], "127.0.0.1:2"));
    assert_eq!(read(None, overrides.clone()).unwrap().server.listen.port(), 2);
    overrides.push(Override::flag("--listen", &["server", "listen"], "0.0.0.0:1"));
    let problems = read(None, overrides).unwrap_err();
    assert_eq!(problems.found[0].written.as_deref(), Some("--listen"));
}

#[test]
fn every_wrong_key_and_value_is_named_at_once() {
    assert_names(
        "[server]\nlisten = 'nowhere'\nlisen = 1\n\n[policy]\nmissing_output = 'maybe'\nlog_tail_bytes = -1\n\
         [nonsense]\nx = 1\n[backends.a]\nkind = 'docker'\ncpu_core = 2\n[backends.b]\nkind = 'slurm'\n\
         [backends.c]\nfolder = 'x'\n[backends.D]\nkind = 'scripted'\n[backends.e]\nkind = 'docker'\njobs = 0",
        &[("TESSERA_ENGINE__NO_SUCH_KEY", "1")],
        &[
            "TESSERA_ENGINE__NO_SUCH_KEY|engine.no_such_key|unknown field",
            "2|server.listen|invalid socket address",
            "3|server.lisen|unknown field",
            "6|policy.missing_output|unknown variant `maybe`",
            "7|policy.log_tail_bytes|invalid value",
            "8|nonsense|unknown field",
            "12|backends.a.cpu_core|unknown field",
            "14|backends.b.kind|`slurm` is no kind",
            "15|backends.c.kind|missing",
            "17|backends.D|is no name",
            "21|backends.e.jobs|must be at least 1",
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_by_its_lines() {
    assert_names("[server]\nlisten = \n[policy\n", &[], &["2||", "3||"]);
    let missing = read(Some(Path::new("/no/such/file.toml")), Vec::new()).unwrap_err();
    assert!(missing.to_string().starts_with("/no/such/file.toml: cannot be read"), "{missing}");
}

#[test]
fn a_server_that_others_reach_wants_logins() {
    let open = "[server]\nlisten = '0.0.0.0:8000'\n";
    assert_names(open, &[], &["2|server.listen|0.0.0.0:8000 can be reached"]);
    assert!(parsed(&format!("{open}[auth]\nallow_anonymous = true")).is_ok());
    assert!(parsed(&format!("{open}[[auth.tokens]]\nname = 'ci'\ntoken = 't'")).is_ok());
    assert!(parsed("[server]\nlisten = '[::1]:8000'").is_ok());
}

#[test]
fn logins_are_checked_and_their_secrets_are_not_shown() {
    let text = "[[auth.tokens]]\nname = 'a'\ntoken = 'hunter2'\n[[auth.tokens]]\nname = ''\ntoken = 'hunter2'\n\
                [[auth.users]]\nname = 'b'\n[[auth.users]]\nname = 'c:d'\npassword = 'x'\npassword_file = '/x'";
    assert_names(
        text,
        &[],
        &[
            "5|auth.tokens[1].name|must be a name",
            "6|auth.tokens[1].token|given twice",
            "7|auth.users[0].password|missing or empty",
            "10|auth.users[1].name|a Basic user name",
            "11|auth.users[1].password|given both",
        ],
    );
    for wrong in ["31337", "3.1337", "true", "[31337]", "{a = 31337}"] {
        let token = format!("[[auth.tokens]]\nname = 'a'\ntoken = {wrong}");
        assert_names(&token, &[], &["3|auth.tokens[0].token|must be a text in quotes"]);
        let registry = format!(
            "[backends.docker]\nkind = 'docker'\nregistries = [{{server = 'r', username = 'u', password = {wrong}}}]"
        );
        assert_names(&registry, &[], &["3|backends.docker.registries[0].password|must be a text in quotes"]);
    }
    let config = parsed("[[auth.tokens]]\nname = 'a'\ntoken = 'hunter2'").unwrap();
    for printed in [format!("{config:?}"), toml::to_string(&config).unwrap(), serde_json::to_string(&config).unwrap()] {
        assert!(!printed.contains("hunter2") && printed.contains('…'), "{printed}");
    }
}

#[test]
fn webhooks_are_checked_and_their_secrets_are_not_shown() {
    let hook = |rest: &str| format!("[[events.webhooks]]\n{rest}");
    assert_names(
        &hook("url = 'http://localhost/x'\nsecret = 'whsec_!'\nstates = []\ntimeout_ms = 0"),
        &[],
        &[
            "2|events.webhooks[0].url|is an address of this machine",
            "3|events.webhooks[0].secret|what follows",
            "4|events.webhooks[0].states|names no state",
            "5|events.webhooks[0].timeout_ms|must be at least 1",
        ],
    );
    assert_names(&hook("url = 'https://u:p@x.org/'\nsecret = 's'"), &[], &["2|events.webhooks[0].url|holds a login"]);
    assert_names(&hook("url = 'ftp://x.org/'\nsecret = 's'"), &[], &["2|events.webhooks[0].url|must be http"]);
    assert_names(&hook("url = 'http://x.org/'\nsecret = 31337"), &[], &["3|events.webhooks[0].secret|must be a text"]);
    let twice = "url = 'https://X.org:443/a'\nsecret = 's'\n[[events.webhooks]]\nurl = 'https://x.org/a'\nsecret = 's'";
    assert_names(&hook(twice), &[], &["5|events.webhooks[1].url|is there twice"]);
    let logins = "\n[[auth.tokens]]\nname = 'ada'\ntoken = 't'\n[[auth.users]]\nname = 'eve'\npassword = 'p'";
    let owned = |owners: &str| hook(&format!("url = 'https://x.org/'\nsecret = 's'\nowners = [{owners}]{logins}"));
    assert_names(&owned("'ada', 'bob'"), &[], &["4|events.webhooks[0].owners|`bob` is no name"]);
    assert!(parsed(&owned("'ada', 'eve'")).is_ok());
    let own =
        parsed(&hook("url = 'http://127.0.0.1:81/hunter2?k=hunter2'\nsecret = 'hunter2'\ninternal = true")).unwrap();
    assert_eq!(own.events.webhooks[0].states.len(), 4);
    for printed in [format!("{own:?}"), toml::to_string(&own).unwrap()] {
        assert!(!printed.contains("hunter2") && printed.contains("http://127.0.0.1:81/…"), "{printed}");
    }
}

#[test]
fn the_example_is_complete_and_says_the_defaults() {
    let example = example();
    let written: toml::Table = toml::from_str(&example).unwrap();
    let all: toml::Table = toml::from_str(&toml::to_string(&Config::default()).unwrap()).unwrap();
    assert_eq!(keys("", &written), keys("", &all));
    assert_eq!(parsed(&example).unwrap(), Config::default());
}

#[test]
fn what_the_example_offers_behind_a_hash_is_valid_too() {
    let offered: String = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            Some(_) | None => format!("{line}\n"),
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "s").unwrap();
    let offered = offered.replace("/run/secrets/tessera", secret.to_str().unwrap());
    // The tables offered stand in place of the empty lists.
    let empty =
        ["tokens = []", "users = []", "registries = []", "rules = []", "callers = []", "webhooks = []", "owners = []"];
    let offered: String =
        offered.lines().filter(|line| !empty.contains(line)).map(|line| format!("{line}\n")).collect();
    let config = parsed(&offered).unwrap_or_else(|problems| panic!("{problems}\n{offered}"));
    assert!(config.auth.is_required() && config.backends.0.len() > 1);
    for (kind, name) in [("docker", "docker"), ("kubernetes", "cluster"), ("scripted", "fake")] {
        let shown = offered_table(&offered, name);
        assert_eq!(shown["kind"].as_str(), Some(kind));
        // serde's own refusal lists all the keys there are.
        let all = problems(&format!("[backends.x]\nkind = '{kind}'\nno-such-key = 1"), &[]);
        let all = all.iter().find_map(|problem| Some(problem.split_once("expected")?.1)).expect("a list of keys");
        for key in all.split('`').skip(1).step_by(2) {
            assert!(shown.contains_key(key), "the example does not show `{key}` of [backends.{name}]");
        }
    }
}

fn offered_table(example: &str, name: &str) -> toml::Table {
    let written: toml::Table = toml::from_str(example).unwrap();
    written["backends"][name].as_table().unwrap().clone()
}
