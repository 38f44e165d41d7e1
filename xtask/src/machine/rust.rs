//! The static target.

use anyhow::Result;

use super::packages;
use crate::command::{logged, program, said};
use crate::house;

const MUSL: &str = "x86_64-unknown-linux-musl";

/// Adds the musl target where rustup manages the toolchain. Elsewhere the builds fall back to a static glibc.
pub(crate) fn ensure_musl() -> Result<()> {
    if !packages::found("rustup") || cfg!(not(target_arch = "x86_64")) {
        return Ok(());
    }
    let installed = said(&mut program(&["rustup", "target", "list", "--installed"]))?;
    if installed.lines().any(|line| line.trim() == MUSL) {
        return Ok(());
    }
    println!("  adding the Rust target {MUSL}");
    logged(&mut program(&["rustup", "target", "add", MUSL]), &house::folder("logs")?.join("install.log"))
}
