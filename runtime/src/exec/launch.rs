//! Finding a program and starting it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Access;
use rustix::process::Pid;

use crate::step::StepFile;

/// Where programs are looked for when the environment does not say; what engines set by default.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command that could not be started (TES contract 12.4).
#[derive(Debug)]
pub(super) struct NotStarted {
    /// 127: there is no such program. 126: there is, and it cannot be executed.
    pub(super) code: i32,
    pub(super) reason: String,
}

/// Starts a step's command in a process group of its own.
pub(super) fn launch(step: &StepFile, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<Pid, NotStarted> {
    let Some((name, arguments)) = step.command.split_first() else {
        return Err(NotStarted { code: 127, reason: "the command is empty".into() });
    };
    let path = match step.env.get("PATH") {
        Some(path) => Some(OsString::from(path)),
        None => std::env::var_os("PATH"),
    };
    let program = find(name, path.as_deref())?;
    let spawned = Command::new(&program)
        .arg0(name)
        .args(arguments)
        .envs(&step.env)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0)
        .spawn();
    let child = spawned.map_err(|error| cannot_execute(&program, &error))?;
    // Reaped with everyone else's orphans, so the handle itself is of no use.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| NotStarted { code: 126, reason: format!("`{name}` has an impossible process id") })
}

/// The program a name stands for, as `execvp` finds it.
fn find(name: &str, path: Option<&OsStr>) -> Result<PathBuf, NotStarted> {
    if name.contains('/') {
        let program = PathBuf::from(name);
        return match std::fs::metadata(&program) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_found(name)),
            Ok(_) | Err(_) => Ok(program),
        };
    }
    if name.is_empty() {
        return Err(not_found(name));
    }
    let path = path.filter(|path| !path.is_empty());
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut unusable = None;
    for directory in path.as_bytes().split(|byte| *byte == b':') {
        // An empty element is the working directory.
        let directory = if directory.is_empty() { b"." } else { directory };
        let program = Path::new(OsStr::from_bytes(directory)).join(name);
        if !std::fs::metadata(&program).is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        match rustix::fs::access(&program, Access::EXEC_OK) {
            Ok(()) => return Ok(program),
            Err(error) => unusable = unusable.or(Some((program, error))),
        }
    }
    Err(match unusable {
        Some((program, error)) => cannot_execute(&program, &error.into()),
        None => not_found(name),
    })
}

fn not_found(name: &str) -> NotStarted {
    NotStarted { code: 127, reason: format!("`{name}` was not found in the image") }
}

fn cannot_execute(program: &Path, error: &io::Error) -> NotStarted {
    // It is there, so what is missing is the interpreter or the loader it names.
    let why = if error.kind() == io::ErrorKind::NotFound {
        "the interpreter it names is missing".to_owned()
    } else {
        error.to_string()
    };
    NotStarted { code: 126, reason: format!("`{}` cannot be executed: {why}", program.display()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(directory: &Path, name: &str, mode: u32) {
        let path = directory.join(name);
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn rule_12_4_programs_are_found_as_execvp_does() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = OsString::from(format!("{}:{}", one.path().display(), two.path().display()));
        program(one.path(), "both", 0o644);
        program(two.path(), "both", 0o755);
        program(one.path(), "text", 0o644);
        std::fs::create_dir(one.path().join("directory")).unwrap();

        let found = |name: &str| find(name, Some(&path)).map_err(|error| error.code);
        assert_eq!(found("both"), Ok(two.path().join("both")));
        assert_eq!(found("text"), Err(126));
        assert_eq!(found("directory"), Err(127));
        assert_eq!(found("missing"), Err(127));
        assert_eq!(found(""), Err(127));
        assert_eq!(found("/no/such/program"), Err(127));
        let exact = two.path().join("both");
        assert_eq!(found(exact.to_str().unwrap()), Ok(exact));
    }

    #[test]
    fn without_a_path_the_usual_places_are_searched() {
        for path in [None, Some(OsStr::new(""))] {
            assert!(find("sh", path).unwrap().is_absolute());
        }
    }
}
