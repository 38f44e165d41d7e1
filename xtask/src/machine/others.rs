//! The clients of `tests/clients/others` that have to be compiled first: a program of ours with the Rust crates, and
//! Sprocket, for minutes, once.

use std::fs;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};

use super::packages;
use crate::command::{logged, program};
use crate::house;

/// What is run; exact, for a client is part of what is tested.
const SPROCKET: &str = "0.33.0";

/// Goes on in the background.
pub(crate) struct Compiling(JoinHandle<Result<Programs>>);

/// Where they lie.
pub(crate) struct Programs {
    pub(crate) rust: PathBuf,
    pub(crate) sprocket: PathBuf,
}

/// Begins to compile what is missing, behind everything else that wants the processor.
pub(crate) fn compile() -> Compiling {
    Compiling(thread::spawn(|| {
        let log = house::folder("logs")?.join("install-others.log");
        compiled().with_context(|| format!("the Rust clients cannot be compiled; see {}", log.display()))
    }))
}

impl Compiling {
    /// Waits for the end of it.
    pub(crate) fn join(self) -> Result<Programs> {
        self.0.join().unwrap_or_else(|_| Err(anyhow!("the thread panicked")))
    }
}

fn compiled() -> Result<Programs> {
    packages::ensure(&[packages::CLIENTS])?;
    // One folder for both: they share what takes longest.
    let build = house::folder("others/build")?;
    cargo(&["build", "--locked", "--manifest-path", "tests/clients/others/rust-tes/Cargo.toml"], &build)?;
    let root = house::folder("others")?.join(format!("sprocket-{SPROCKET}"));
    let sprocket = root.join("bin/sprocket");
    if !sprocket.is_file() {
        let root = root.to_string_lossy();
        cargo(&["install", "--debug", "--locked", "--version", SPROCKET, "--root", &root, "sprocket"], &build)?;
    }
    Ok(Programs { rust: fs::canonicalize(build.join("debug/rust-tes"))?, sprocket })
}

fn cargo(words: &[&str], build: &PathBuf) -> Result<()> {
    let log = house::folder("logs")?.join("install-others.log");
    let mut command = program(&["nice", "-n", "15", "cargo"]);
    // Without debugging symbols it is faster, and half the size.
    command.args(words).env("CARGO_TARGET_DIR", build).env("CARGO_PROFILE_DEV_DEBUG", "0");
    logged(&mut command, &log)
}
