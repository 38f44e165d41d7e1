//! `[[storage.rules]]`: how the URLs below a prefix are reached.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tessera_runtime::storage::{secret, settings};

use super::prefix::Prefix;
use crate::config::secret::Secret;

/// One rule. Which protocol knows which key stands in `fields.rs`. A secret is given as text or, better, by an
/// absolute path with `_file` at the key's end; what else is kept in files may be given by a file too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The URLs it holds for; see [`Storage`](super::Storage).
    pub prefix: String,
    /// Base URL of the service instead of the vendor's own; it may have any address. Default: the vendor's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `s3`: the region. Default: the service is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// `s3`: the bucket in the path (true) or in the host's name (false). Default: in the path for an endpoint of
    /// one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Requests carry no credentials at all, also none that the surroundings give. Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// `s3`: the access key, and below its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub secret_access_key: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key_file: Option<PathBuf>,
    /// `s3`: the token of a session, which goes with a key.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub session_token: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token_file: Option<PathBuf>,
    /// Azure: the storage account of `az://` and `azure://` URLs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Azure: the account's key, base64.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub account_key: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_key_file: Option<PathBuf>,
    /// Azure: a shared access signature, without the `?`.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub sas_token: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sas_token_file: Option<PathBuf>,
    /// `gs`: a service account's key, the JSON that Google gives out.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub service_account: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_file: Option<PathBuf>,
    /// `http`, `webdav`, `drs`: a bearer token. `gs`: an access token that somebody else renews.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub token: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// `http`, `webdav`, `drs`, `ftp`, `sftp`: the user, unless the URL names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's password.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub password: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// `sftp`: a private key in OpenSSH form, without a passphrase.
    #[serde(skip_serializing_if = "Secret::is_empty")]
    pub private_key: Secret,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key_file: Option<PathBuf>,
    /// `sftp`: lines of a `known_hosts` file. Hosts that are not in it are refused. Default: those of
    /// `~/.ssh/known_hosts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<PathBuf>,
    /// Certificates of authorities to trust besides the public ones, PEM. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    #[allow(missing_docs)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A proxy, `http://host:port`, with login if it wants one; empty: none. Default: `HTTP_PROXY`, `HTTPS_PROXY` and
    /// `NO_PROXY` of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// Hosts below this prefix may have loopback and link-local addresses, which tasks otherwise cannot reach.
    /// Default false.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
}

/// What was wrong with a key of a rule.
pub(super) type Wrong = (&'static str, String);

impl Rule {
    /// A key under the name by which it was given.
    pub(super) fn as_written(&self, key: &str) -> String {
        let files = [
            ("secret_access_key", &self.secret_access_key_file),
            ("session_token", &self.session_token_file),
            ("account_key", &self.account_key_file),
            ("sas_token", &self.sas_token_file),
            ("service_account", &self.service_account_file),
            ("token", &self.token_file),
            ("password", &self.password_file),
            ("private_key", &self.private_key_file),
            ("known_hosts", &self.known_hosts_file),
            ("ca", &self.ca_file),
        ];
        let by_file = files.iter().any(|(of, file)| *of == key && file.is_some());
        if by_file { format!("{key}_file") } else { key.to_owned() }
    }

    /// The rule in the words of the plan, its files read, and everything that was wrong with them.
    pub(super) fn read(&self) -> (settings::Rule, Vec<Wrong>) {
        let mut wrong = Vec::new();
        let prefix = match Prefix::read(&self.prefix) {
            Ok(prefix) => prefix.canonical,
            Err(reason) => {
                wrong.push(("prefix", reason));
                String::new()
            }
        };
        let mut secret = |key, text: &Secret, file: &Option<PathBuf>| match resolve(text, file.as_deref()) {
            Ok(found) => found.map(|found| secret::Secret::new(found.expose())),
            Err(reason) => {
                wrong.push((key, reason));
                None
            }
        };
        let plain = |text: &Option<String>| text.as_deref().map(Secret::new).unwrap_or_default();
        let shown = |found: Option<secret::Secret>| found.map(|found| found.expose().to_owned());
        let rule = settings::Rule {
            prefix,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
            anonymous: self.anonymous,
            access_key_id: self.access_key_id.clone(),
            secret_access_key: secret("secret_access_key", &self.secret_access_key, &self.secret_access_key_file),
            session_token: secret("session_token", &self.session_token, &self.session_token_file),
            account: self.account.clone(),
            account_key: secret("account_key", &self.account_key, &self.account_key_file),
            sas_token: secret("sas_token", &self.sas_token, &self.sas_token_file),
            service_account: secret("service_account", &self.service_account, &self.service_account_file),
            token: secret("token", &self.token, &self.token_file),
            username: self.username.clone(),
            password: secret("password", &self.password, &self.password_file),
            private_key: secret("private_key", &self.private_key, &self.private_key_file),
            known_hosts: shown(secret("known_hosts", &plain(&self.known_hosts), &self.known_hosts_file)),
            ca: shown(secret("ca", &plain(&self.ca), &self.ca_file)),
            proxy: self.proxy.as_ref().map(|proxy| secret::Secret::new(proxy.expose())),
            internal: self.internal,
        };
        (rule, wrong)
    }
}

/// A text that may be given by a file, or not at all.
fn resolve(text: &Secret, file: Option<&Path>) -> Result<Option<Secret>, String> {
    if text.is_empty() && file.is_none() {
        return Ok(None);
    }
    if let Some(path) = file.filter(|path| !path.is_absolute()) {
        return Err(format!("`{}` is not an absolute path", path.display()));
    }
    Secret::resolve(text, file).map(Some)
}
