//! Docker, Podman, a registry, the storages, through the scripts of `tests/engines`; and the test images.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{program, said, succeeds};
use crate::house;

/// A service of `tests/engines`; stopped when dropped, if it was started here.
pub(crate) struct Engine {
    script: &'static str,
    folder: PathBuf,
    /// What the script said: variables for whoever uses the service.
    pub(crate) variables: Vec<(String, String)>,
    keep: bool,
}

impl Engine {
    /// Starts it, or finds it running. What it needs lies in a folder of the command's own, so that an engine that
    /// another command has left running on purpose is nobody else's to stop.
    pub(crate) fn up(name: &'static str, command: &str) -> Result<Self> {
        let folder = house::folder(&format!("engines/{command}-{name}"))?;
        let script = match name {
            "docker" => "tests/engines/docker",
            "podman" => "tests/engines/podman",
            "storage" => "tests/engines/storage",
            _ => "tests/engines/registry",
        };
        // Left over from a run that was killed: stop that one first.
        succeeds(program(&[script, "down"]).arg(&folder));
        let answer = said(program(&[script, "up"]).arg(&folder)).with_context(|| format!("cannot start {name}"))?;
        let variables = answer.lines().filter_map(|line| line.split_once('='));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { script, folder, variables, keep: false })
    }

    /// Leaves it running when this is dropped.
    pub(crate) fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether it was started here, and not found running.
    pub(crate) fn is_ours(&self) -> bool {
        fs::read_dir(&self.folder)
            .is_ok_and(|all| all.flatten().any(|entry| entry.path().extension().is_some_and(|it| it == "pid")))
    }

    /// What stops it later.
    pub(crate) fn how_to_stop(&self) -> String {
        format!("{} down {}", self.script, self.folder.display())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.keep && !succeeds(program(&[self.script, "down"]).arg(&self.folder)) {
            eprintln!("xtask: `{} down {}` failed; look there", self.script, self.folder.display());
        }
    }
}

/// Builds the named test images, or all of them, in Docker.
pub(crate) fn images(names: &[&str]) -> Result<String> {
    said(program(&["tests/images/build"]).args(names)).context("cannot build the images")
}

/// Builds the named test images in Docker; one of them holds this runtime.
pub(crate) fn images_with(names: &[&str], runtime: &Path) -> Result<String> {
    let mut command = program(&["tests/images/build"]);
    said(command.args(names).env("TESSERA_RUNTIME_BIN", runtime)).context("cannot build the images")
}

/// Builds all test images in Podman.
pub(crate) fn images_in_podman(podman: &Engine) -> Result<String> {
    let cli = format!("{} cli {}", podman.script, podman.folder.display());
    // The script runs elsewhere.
    let cli = format!("{}/{cli}", house::root().display());
    said(program(&["tests/images/build"]).env("ENGINE", cli)).context("cannot build the images in Podman")
}
