//! The test programs of the workspace.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::command::{program, said};

/// One file or folder of a package's `tests/`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) package: String,
    pub(crate) name: String,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Every one of them, as cargo sees them.
pub(crate) fn all() -> Result<Vec<Suite>> {
    listed(&said(&mut program(&["cargo", "metadata", "--no-deps", "--format-version", "1"]))?)
}

fn listed(metadata: &str) -> Result<Vec<Suite>> {
    let metadata: Metadata = serde_json::from_str(metadata).context("cargo metadata")?;
    let mut suites = Vec::new();
    for package in metadata.packages {
        for target in package.targets.into_iter().filter(|target| target.kind.iter().any(|kind| kind == "test")) {
            suites.push(Suite { package: package.name.clone(), name: target.name });
        }
    }
    Ok(suites)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_are_listed() {
        let said = r#"{"packages": [{"name": "a", "targets": [
            {"name": "a", "kind": ["lib"]}, {"name": "crash", "kind": ["test"]}, {"name": "store", "kind": ["bench"]}]}]}"#;
        assert_eq!(listed(said).unwrap(), [Suite { package: "a".to_owned(), name: "crash".to_owned() }]);
    }
}
