//! `[server]`: where it listens, where its data lies, how long a request may take.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::problem::Problems;

/// The least a body limit may be (TES contract 4.10).
const LEAST_BODY_LIMIT: u64 = 32 * 1024 * 1024;

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// IP address and port; port 0 takes a free one, which is printed. Default `127.0.0.1:8000`.
    pub listen: SocketAddr,
    /// Folder of everything the server remembers, made at the first start. Default `./tessera-data`.
    pub data_dir: PathBuf,
    /// Largest request body, bytes, at least 32 MiB; beyond it 413. Default 33554432.
    pub body_limit_bytes: u64,
    /// How long a body may take to arrive (408) and the store to answer a reader (503), milliseconds. Default 30000.
    pub request_timeout_ms: u64,
    /// How long requests may go on after SIGTERM, milliseconds. Running jobs go on in any case. Default 5000.
    pub shutdown_grace_ms: u64,
    /// Web sites (origins such as `https://portal.example.org`, or `*`) whose pages may call the API. Default none.
    pub cors_origins: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            data_dir: PathBuf::from("./tessera-data"),
            body_limit_bytes: LEAST_BODY_LIMIT,
            request_timeout_ms: 30_000,
            shutdown_grace_ms: 5_000,
            cors_origins: Vec::new(),
        }
    }
}

impl Server {
    pub(super) fn check(&self, problems: &mut Problems) {
        if self.data_dir.as_os_str().is_empty() {
            problems.add("server.data_dir", "empty; name a folder");
        }
        if self.body_limit_bytes < LEAST_BODY_LIMIT {
            problems.add(
                "server.body_limit_bytes",
                format!("{} is too small: at least {LEAST_BODY_LIMIT} (32 MiB)", self.body_limit_bytes),
            );
        }
        if self.request_timeout_ms == 0 {
            problems.add("server.request_timeout_ms", "0 would let no request end; 30000 is the default");
        }
        for (index, origin) in self.cors_origins.iter().enumerate() {
            if origin != "*" && !is_origin(origin) {
                problems.add(
                    &format!("server.cors_origins[{index}]"),
                    format!(
                        "`{origin}` is no origin; write `*` or scheme, host and port only: `https://portal.example.org`"
                    ),
                );
            }
        }
    }
}

/// Scheme, host and perhaps port, nothing after it: what a browser sends as `Origin`.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}
