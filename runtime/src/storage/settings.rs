//! How storages are reached. It travels in the plan, so a job holds what its own URLs need and nothing else.

use serde::{Deserialize, Serialize};

use super::location::Remote;
use super::prefix::{covers, most_specific};
use super::secret::Secret;

/// Which places a job may read from and write to, and how they are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    /// Host directories below which `file://` URLs and bare paths are allowed.
    pub file_roots: Vec<String>,
    /// Host directories that are refused even below a root: the server's own data.
    pub file_forbidden: Vec<String>,
    /// Settings by URL prefix; the most specific one holds for a URL, whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// URL prefixes that may be used; empty means all. Not for files of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// URL prefixes that may not be used, even if allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Those of the roots that are mounted read-write instead of being staged (TES contract 9.9).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub file_bind_rw: Vec<String>,
    /// Whose the files are that are delivered to the host.
    #[serde(skip_serializing_if = "Ownership::is_default")]
    pub ownership: Ownership,
    /// Where inputs are kept for the next task; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
}

/// Whose the files are that are delivered to the host, and who may do what with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ownership {
    /// User and group by number. Absent: the task's numeric `container_user`, where the server may give files away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
    /// Permission bits of files. Absent: as they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Permission bits of directories. Absent: as they were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory_mode: Option<u32>,
}

impl Ownership {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where inputs are kept on the node for the next task that asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// The folder, absolute.
    pub dir: String,
    /// How much it may hold, bytes.
    pub max_bytes: u64,
}

/// Settings for the URLs below one prefix. What a protocol does not know is ignored here; the server's configuration
/// refuses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rule {
    /// See [`prefix`](super::prefix).
    pub prefix: String,
    /// Base URL of the service, instead of the vendor's own (`s3`, `gs`, azure; `drs`: its API).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `s3`: region; asked of the service when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// `s3`: bucket in the path instead of the host's name. Absent: in the path for an endpoint of one's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// Whether requests carry no credentials at all.
    pub anonymous: bool,
    /// `s3`: access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// `s3`: its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret>,
    /// `s3`: token of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret>,
    /// Azure: storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Azure: its key, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_key: Option<Secret>,
    /// Azure: shared access signature, without `?`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sas_token: Option<Secret>,
    /// `gs`: a service account's key file, its JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<Secret>,
    /// `http`, `webdav`, `drs`: bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// `http`, `webdav`, `drs`, `ftp`, `sftp`: user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// `sftp`: private key in OpenSSH form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<Secret>,
    /// `sftp`: lines of a `known_hosts` file. Hosts that are not in it are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// Certificates of authorities to trust besides the public ones, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Proxy for `http` based protocols, instead of the environment's; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Secret>,
    /// Whether hosts below this prefix may have loopback or link-local addresses. A configured `endpoint` may anyway.
    pub internal: bool,
}

impl Storage {
    /// The settings that hold for a URL's canonical form.
    pub fn rule(&self, canonical: &str) -> Option<&Rule> {
        most_specific(&self.rules, |rule| rule.prefix.as_str(), canonical)
    }

    /// Why a place may not be used, if so; the sentence names neither list.
    pub fn refusal(&self, remote: &Remote) -> Option<String> {
        let canonical = remote.canonical();
        let listed = |list: &[String]| list.iter().any(|prefix| covers(prefix, &canonical));
        if remote.aliases().iter().any(|alias| self.deny.iter().any(|prefix| covers(prefix, alias))) {
            return Some(format!("`{canonical}` lies in a storage that tasks may not use on this server"));
        }
        if !self.allow.is_empty() && !listed(&self.allow) {
            return Some(format!("`{canonical}` lies outside the storages that tasks may use on this server"));
        }
        None
    }

    /// The same, with only what some URLs need: a job is not to hold other jobs' keys.
    pub fn only_for<'a>(&self, urls: impl IntoIterator<Item = &'a Remote>) -> Self {
        let mut needed = std::collections::BTreeSet::new();
        for remote in urls {
            // What an identifier leads to is known only once it was asked.
            if remote.scheme == super::location::Scheme::Drs {
                return self.clone();
            }
            needed.extend(self.rule(&remote.canonical()).map(|rule| rule.prefix.as_str()));
        }
        let rules = self.rules.iter().filter(|rule| needed.contains(rule.prefix.as_str())).cloned().collect();
        Self { rules, ..self.clone() }
    }
}
