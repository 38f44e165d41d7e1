//! The data folder.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use anyhow::Context;

use crate::config::Config;

/// Below the data folder: the attempts, a folder a backend.
pub(super) const WORK: &str = "work";
/// Below the data folder: what tasks print.
pub(super) const LOGS: &str = "logs";

/// The data folder, made if it is not there.
pub(super) fn open(config: &Config) -> anyhow::Result<PathBuf> {
    let data = &config.server.data_dir;
    // Task contents and logs are nobody else's business.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data).and_then(|()| data.canonicalize());
    made.with_context(|| format!("cannot use the data folder `{}`; choose another with --data", data.display()))
}
