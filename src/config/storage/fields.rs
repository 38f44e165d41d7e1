//! Which protocol knows which key of a rule, and what the keys look like.

use base64::Engine as _;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tessera_runtime::storage::location::Scheme;
use tessera_runtime::storage::settings::Rule;
use url::Url;

use super::prefix::Prefix;
use super::rule::Wrong;
use crate::config::problem::Problems;

/// The keys that a protocol knows besides `prefix`.
fn known(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Http | Scheme::Https | Scheme::Webdav | Scheme::Webdavs => {
            &["token", "username", "password", "ca", "proxy", "internal"]
        }
        Scheme::S3 => &[
            "endpoint",
            "region",
            "path_style",
            "anonymous",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "ca",
            "proxy",
        ],
        Scheme::Gs => &["endpoint", "anonymous", "service_account", "token", "ca", "proxy"],
        Scheme::Azblob => &["endpoint", "anonymous", "account", "account_key", "sas_token", "ca", "proxy"],
        Scheme::Ftp => &["anonymous", "username", "password", "internal"],
        Scheme::Ftps => &["anonymous", "username", "password", "ca", "internal"],
        Scheme::Sftp => &["username", "password", "private_key", "known_hosts", "internal"],
        Scheme::Drs => &["endpoint", "token", "username", "password", "ca", "proxy", "internal"],
    }
}

/// The keys that a rule sets.
fn set(rule: &Rule) -> Vec<&'static str> {
    let keys = [
        ("endpoint", rule.endpoint.is_some()),
        ("region", rule.region.is_some()),
        ("path_style", rule.path_style.is_some()),
        ("anonymous", rule.anonymous),
        ("access_key_id", rule.access_key_id.is_some()),
        ("secret_access_key", rule.secret_access_key.is_some()),
        ("session_token", rule.session_token.is_some()),
        ("account", rule.account.is_some()),
        ("account_key", rule.account_key.is_some()),
        ("sas_token", rule.sas_token.is_some()),
        ("service_account", rule.service_account.is_some()),
        ("token", rule.token.is_some()),
        ("username", rule.username.is_some()),
        ("password", rule.password.is_some()),
        ("private_key", rule.private_key.is_some()),
        ("known_hosts", rule.known_hosts.is_some()),
        ("ca", rule.ca.is_some()),
        ("proxy", rule.proxy.is_some()),
        ("internal", rule.internal),
    ];
    keys.into_iter().filter_map(|(key, set)| set.then_some(key)).collect()
}

/// Looks at all rules: each by itself, and whether two claim the same URLs.
pub(super) fn check(rules: &[super::Rule], problems: &mut Problems) {
    let mut seen: Vec<String> = Vec::new();
    for (index, written) in rules.iter().enumerate() {
        let at = format!("storage.rules[{index}]");
        let (rule, wrong) = written.read();
        let of_protocol = Prefix::read(&written.prefix).map(|prefix| of_protocol(prefix.scheme, &rule));
        // Half a pair is only half when the other half is not the one that could not be read.
        let pairs = if wrong.is_empty() { pairs(&rule) } else { Vec::new() };
        let found = wrong.into_iter().chain(of_protocol.unwrap_or_default()).chain(pairs).chain(forms(&rule));
        for (key, reason) in found {
            problems.add(&format!("{at}.{}", written.as_written(key)), reason);
        }
        let same = rule.prefix.trim_end_matches('/');
        if !same.is_empty() && seen.iter().any(|earlier| earlier == same) {
            problems.add(&format!("{at}.prefix"), format!("there is another rule for `{}`", rule.prefix));
        }
        seen.push(same.to_owned());
    }
}

fn of_protocol(scheme: Scheme, rule: &Rule) -> Vec<Wrong> {
    let known = known(scheme);
    let foreign = set(rule).into_iter().filter(|key| !known.contains(key));
    let reason = || format!("`{}` knows no such key; it knows {}", scheme.name(), known.join(", "));
    foreign.map(|key| (key, reason())).collect()
}

/// What only makes sense together, and what contradicts.
fn pairs(rule: &Rule) -> Vec<Wrong> {
    let set = set(rule);
    let is_set = |key: &str| set.contains(&key);
    let mut wrong = Vec::new();
    for (key, needs) in [
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
        ("session_token", "access_key_id"),
        ("password", "username"),
    ] {
        // A URL of SFTP may say who, and the rule how.
        let by_url = key == "password" && rule.prefix.starts_with("sftp:");
        if is_set(key) && !is_set(needs) && !by_url {
            wrong.push((key, format!("says nothing without `{needs}`")));
        }
    }
    // In the other forms of URL the account is part of the URL.
    let names_account = rule.prefix.strip_prefix("azureblob://").is_some_and(|rest| !rest.is_empty());
    if (is_set("account_key") || is_set("sas_token")) && !is_set("account") && !names_account {
        let key = if is_set("account_key") { "account_key" } else { "sas_token" };
        wrong.push((key, "says nothing without `account`".to_owned()));
    }
    for (key, other) in [("account_key", "sas_token"), ("token", "username"), ("token", "service_account")] {
        if is_set(key) && is_set(other) {
            wrong.push((key, format!("contradicts `{other}`; keep one of them")));
        }
    }
    let credentials = ["access_key_id", "account_key", "sas_token", "service_account", "token", "username"];
    if let Some(other) = credentials.into_iter().find(|key| is_set("anonymous") && is_set(key)) {
        wrong.push(("anonymous", format!("contradicts `{other}`; keep one of them")));
    }
    wrong
}

/// What the values look like. No sentence shows a secret.
fn forms(rule: &Rule) -> Vec<Wrong> {
    let looks: [(&'static str, Option<Result<(), String>>); 11] = [
        ("endpoint", rule.endpoint.as_deref().map(endpoint)),
        ("region", rule.region.as_deref().map(word)),
        ("access_key_id", rule.access_key_id.as_deref().map(word)),
        ("account", rule.account.as_deref().map(word)),
        ("username", rule.username.as_deref().map(|name| if name.is_empty() { word(name) } else { Ok(()) })),
        ("account_key", rule.account_key.as_ref().map(|key| account_key(key.expose()))),
        ("sas_token", rule.sas_token.as_ref().map(|token| signature(token.expose()))),
        ("service_account", rule.service_account.as_ref().map(|key| service_account(key.expose()))),
        ("private_key", rule.private_key.as_ref().map(|key| private_key(key.expose()))),
        ("known_hosts", rule.known_hosts.as_deref().map(known_hosts)),
        ("ca", rule.ca.as_deref().map(certificates)),
    ];
    let mut wrong: Vec<Wrong> = looks.into_iter().filter_map(|(key, look)| Some((key, look?.err()?))).collect();
    if let Some(Err(reason)) = rule.proxy.as_ref().map(|url| proxy(url.expose())) {
        wrong.push(("proxy", reason));
    }
    for (key, token) in [("token", &rule.token), ("session_token", &rule.session_token)] {
        if token.as_ref().is_some_and(|token| token.expose().bytes().any(|byte| !byte.is_ascii_graphic())) {
            wrong.push((key, "holds white space or characters that no header can carry".to_owned()));
        }
    }
    wrong
}

fn endpoint(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
        return Err("is no base URL; write `https://host` or `http://host:port`, without login and query".to_owned());
    }
    Ok(())
}

fn proxy(text: &str) -> Result<(), String> {
    let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host() && matches!(url.path(), "" | "/");
    if text.is_empty() || Url::parse(text).is_ok_and(|url| fits(&url)) {
        return Ok(());
    }
    Err("is no proxy; write `http://host:port`, or nothing for none".to_owned())
}

fn word(text: &str) -> Result<(), String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err("is empty or holds white space".to_owned()) }
}

fn account_key(text: &str) -> Result<(), String> {
    let read = base64::prelude::BASE64_STANDARD.decode(text);
    read.map(|_| ()).map_err(|_| "is not base64, as account keys are".to_owned())
}

fn signature(text: &str) -> Result<(), String> {
    if text.starts_with('?') {
        return Err("begins with `?`; leave that out".to_owned());
    }
    let signed = text.split('&').any(|pair| pair.starts_with("sig="));
    if signed { Ok(()) } else { Err("holds no `sig=`, so it is no shared access signature".to_owned()) }
}

fn service_account(text: &str) -> Result<(), String> {
    let read: serde_json::Value = serde_json::from_str(text).map_err(|_| "is not JSON, as key files are".to_owned())?;
    let kind = read.get("type").and_then(|kind| kind.as_str());
    if kind.is_some() { Ok(()) } else { Err("is no key file of Google's: it has no `type`".to_owned()) }
}

fn private_key(text: &str) -> Result<(), String> {
    let begins = text.trim_start().starts_with("-----BEGIN ");
    let fits = begins && text.contains("PRIVATE KEY-----") && text.trim_end().ends_with("-----");
    if fits { Ok(()) } else { Err("is no private key in OpenSSH form, which begins with `-----BEGIN`".to_owned()) }
}

fn known_hosts(text: &str) -> Result<(), String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut any = false;
    for line in lines {
        any = true;
        // Host, kind of key, key; markers such as `@revoked` come before.
        if line.split_whitespace().filter(|word| !word.starts_with('@')).count() < 3 {
            return Err("has a line that is not `host kind key`; `ssh-keyscan HOST` prints such lines".to_owned());
        }
    }
    if any { Ok(()) } else { Err("holds no line, so that every host would be refused".to_owned()) }
}

fn certificates(text: &str) -> Result<(), String> {
    let mut trusted = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("is not PEM: {error}"))?;
        trusted.add(certificate).map_err(|error| format!("holds something that is no certificate: {error}"))?;
    }
    if trusted.is_empty() { Err("holds no certificate in PEM form".to_owned()) } else { Ok(()) }
}
