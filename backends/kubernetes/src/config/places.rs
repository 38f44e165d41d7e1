//! What our own containers are given, and those of tasks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::security::Security;

/// A folder in our own containers: a volume claim, or a folder of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Where it is in our containers; absolute. It must lie below a root of `storage.file.roots` to be of use.
    pub path: String,
    /// A PersistentVolumeClaim of the namespace.
    #[serde(default)]
    pub claim: Option<String>,
    /// Instead: an absolute folder of each node, the same everywhere.
    #[serde(default)]
    pub host_path: Option<String>,
    /// Nothing is ever written there. Default: false.
    #[serde(default)]
    pub read_only: bool,
}

/// The containers that bring inputs in and deliver outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ours {
    /// Cores that each asks for. Default: 0.1.
    pub cpu_cores: f64,
    /// Cores that each may use at most. Default: no limit.
    pub cpu_cores_most: Option<f64>,
    /// GiB of memory that each asks for. Default: 0.125.
    pub ram_gb: f64,
    /// GiB of memory that each may use at most. Default: 1.
    pub ram_gb_most: f64,
    /// Their environment, such as where a cloud's identity is found. Not for passwords: whoever may read pods reads it.
    pub env: BTreeMap<String, String>,
    /// As whom and how closed in they run. Default: root without capabilities but those to read and to give away
    /// whatever user's files (`CHOWN`, `DAC_OVERRIDE`, `FOWNER`), on a read-only root file system.
    pub security: Security,
}

impl Default for Ours {
    fn default() -> Self {
        Self {
            cpu_cores: 0.1,
            cpu_cores_most: None,
            ram_gb: 0.125,
            ram_gb_most: 1.0,
            env: BTreeMap::new(),
            security: Security::default(),
        }
    }
}

/// The containers of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tasks {
    /// As whom and how closed in they run. Default: as the image says, without the capabilities `AUDIT_WRITE`,
    /// `MKNOD`, `NET_RAW`, `SETFCAP` and `SETPCAP`.
    pub security: Security,
}

/// A token of the pod's service account at `/.tessera/identity/token`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Whom it is for: `sts.amazonaws.com`, `api://AzureADTokenExchange`.
    pub audience: String,
    /// Seconds for which it is good; it is made anew before. Default: 3600.
    #[serde(default = "an_hour")]
    pub expiration_s: u32,
}

fn an_hour() -> u32 {
    3_600
}

/// A Secret of the namespace as a folder in our own containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitySecret {
    /// The Secret.
    pub name: String,
    /// The absolute folder in our containers; each key of the Secret is a file there.
    pub path: String,
}
