//! Gives the server the static tool runtime that it carries inside itself.
//!
//! - `TESSERA_RUNTIME_BIN` names a file: that one is taken. Packagers and CI build it once and reuse it.
//! - Otherwise it is built here, by a cargo of its own in a target folder of its own (`<target>/embedded-runtime`),
//!   so that `cargo build`, `check`, `clippy` and `test` share one cached copy. About 5 MB; never above 20 MB.
//!
//! `src/embedded.rs` takes in `$OUT_DIR/tessera-runtime` and `$TESSERA_RUNTIME_SHA256`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// An embedded runtime above this size is a mistake: a debug build, or a dependency that grew.
const LARGEST_BYTES: usize = 20 * 1024 * 1024;

fn main() {
    println!("cargo::rerun-if-env-changed=TESSERA_RUNTIME_BIN");
    if let Err(reason) = embed() {
        // One error of cargo's own instead of a panic with a backtrace around it.
        for line in reason.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn embed() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR")?).join("tessera-runtime");
    let binary = match env::var_os("TESSERA_RUNTIME_BIN").filter(|path| !path.is_empty()) {
        Some(given) => {
            println!("cargo::rerun-if-changed={}", Path::new(&given).display());
            PathBuf::from(given)
        }
        None => build(&out)?,
    };
    let bytes = fs::read(&binary).map_err(|error| {
        format!("cannot read the tool runtime `{}` (TESSERA_RUNTIME_BIN): {error}", binary.display())
    })?;
    if !bytes.starts_with(b"\x7fELF") || bytes.len() > LARGEST_BYTES {
        return Err(format!(
            "`{}` ({} bytes) is not a tool runtime: a static ELF program below 20 MB is wanted",
            binary.display(),
            bytes.len()
        ));
    }
    // Written only when it differs: its time stamp decides whether the server is compiled again.
    if fs::read(&out).ok().as_deref() != Some(&bytes[..]) {
        fs::write(&out, &bytes).map_err(|error| format!("cannot write `{}`: {error}", out.display()))?;
    }
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=TESSERA_RUNTIME_SHA256={digest}");
    Ok(())
}

/// Builds the runtime for the server's own architecture and answers where it lies.
fn build(out: &Path) -> Result<PathBuf, String> {
    for input in ["runtime/src", "runtime/Cargo.toml", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    if !matches!(arch.as_str(), "x86_64" | "aarch64") {
        return Err(format!(
            "no static tool runtime is built for `{arch}`; name a prebuilt one with TESSERA_RUNTIME_BIN"
        ));
    }
    let (musl, gnu) = (format!("{arch}-unknown-linux-musl"), format!("{arch}-unknown-linux-gnu"));
    let target = if target_is_installed(&musl) { musl } else { gnu };

    let folder = target_folder(out).join("embedded-runtime");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo.current_dir(variable("CARGO_MANIFEST_DIR")?);
    cargo.args(["build", "--quiet", "--package", "tessera-runtime", "--bin", "tessera-runtime"]);
    cargo.args(["--profile", "runtime", "--target", &target, "--target-dir"]).arg(&folder);
    forget_the_outer_build(&mut cargo);
    if target.ends_with("-gnu") {
        // Static glibc: second best, for it may load NSS modules of the image it runs in. The explicit `--target`
        // keeps build scripts and procedural macros out of this flag.
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static");
    } else if let Some(compiler) = c_compiler(&target)? {
        cargo.env(format!("CC_{}", target.replace('-', "_")), compiler);
    }
    let ran = cargo.output().map_err(|error| format!("cannot start cargo to build the tool runtime: {error}"))?;
    if !ran.status.success() {
        return Err(format!(
            "the tool runtime could not be built for {target}.\n\
             It needs `rustup target add {arch}-unknown-linux-musl` and a C compiler (Debian: `apt-get install \
             musl-tools`), or a prebuilt one named by TESSERA_RUNTIME_BIN. Its build said:\n{}",
            String::from_utf8_lossy(&ran.stderr).trim_end()
        ));
    }
    Ok(folder.join(&target).join("runtime").join("tessera-runtime"))
}

fn target_is_installed(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let Ok(said) = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output() else {
        return false;
    };
    said.status.success() && Path::new(String::from_utf8_lossy(&said.stdout).trim()).is_dir()
}

/// The compiler for ring's C parts, if one has to be named: `cc` looks for `musl-gcc` by itself.
fn c_compiler(target: &str) -> Result<Option<&'static str>, String> {
    let named = [format!("CC_{target}"), format!("CC_{}", target.replace('-', "_")), "TARGET_CC".into(), "CC".into()];
    let answers = |compiler: &str| Command::new(compiler).arg("--version").output().is_ok_and(|it| it.status.success());
    if named.iter().any(|name| env::var_os(name).is_some()) || answers("musl-gcc") {
        return Ok(None);
    }
    if answers("cc") {
        // ring's C needs no libc of its own; the headers of this system's compiler are good enough.
        return Ok(Some("cc"));
    }
    Err("the tool runtime needs a C compiler: install musl-tools (Debian, Ubuntu), musl-gcc (Fedora) or gcc, or name \
         a prebuilt runtime with TESSERA_RUNTIME_BIN"
        .to_owned())
}

/// The outer build's target folder, which cargo marks; else a folder that this package alone has.
fn target_folder(out: &Path) -> &Path {
    let marked = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    marked.unwrap_or_else(|| out.parent().unwrap_or(out))
}

/// What the outer cargo told this script must not reach the inner one: flags, wrappers and lints of the outer
/// build would change what is built, or build it again for each of `build`, `check` and `clippy`. The job server
/// and how to reach registries stay.
fn forget_the_outer_build(cargo: &mut Command) {
    let stays = |name: &str| {
        ["CARGO_HOME", "CARGO_MAKEFLAGS"].contains(&name)
            || ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_"].iter().any(|p| name.starts_with(p))
    };
    let goes = |name: &str| {
        let outer = ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "CLIPPY_CONF_DIR", "TARGET", "HOST"];
        let script = ["OUT_DIR", "OPT_LEVEL", "DEBUG", "PROFILE", "NUM_JOBS", "LD_LIBRARY_PATH"];
        outer.contains(&name) || script.contains(&name) || (name.starts_with("CARGO_") && !stays(name))
    };
    let names: Vec<OsString> = env::vars_os().map(|(name, _)| name).collect();
    for name in names.iter().filter(|name| goes(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo did not set {name}: {error}"))
}
