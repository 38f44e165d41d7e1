//! Where things lie.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

use anyhow::{Context, Result};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"))
}

/// Cargo's target folder, wherever the developer keeps it.
pub(crate) fn target() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    })
}

/// A folder of ours below the target folder, made when it is missing: logs, environments, scratch.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let folder = target().join("xtask").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The static runtime: the one that is named, otherwise the one that building the server has left (see build.rs).
pub(crate) fn runtime() -> Option<PathBuf> {
    if let Some(named) = env::var_os("TESSERA_RUNTIME_BIN").filter(|path| !path.is_empty()) {
        return Some(named.into());
    }
    let built = |libc: &str| {
        let triple = format!("{}-unknown-linux-{libc}", env::consts::ARCH);
        target().join("embedded-runtime").join(triple).join("runtime/tessera-runtime")
    };
    ["musl", "gnu"].map(built).into_iter().find(|path| path.is_file())
}

/// A folder that is empty now and gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Self> {
        Ok(Self(folder(&format!("scratch/{name}-{}", std::process::id()))?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
