//! The static tool runtime that this server carries inside itself (see `build.rs`), laid out on the disk.
//!
//! ```text
//! <data>/runtime/<sha256>/tessera-runtime
//! ```
//! Node processes run it and containers mount it, and both may outlive this server. So a file is written once, under
//! a temporary name, and never changed; another build has another name. An old one is removed when no attempt's
//! settings name it any more.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};
use tessera_runtime::node::attempt::{self, Attempt};
use tessera_runtime::node::settings::NodeSettings;

/// The program.
static RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tessera-runtime"));

/// Its lower-case hexadecimal SHA-256, which is also the name of its folder.
pub const RUNTIME_SHA256: &str = env!("TESSERA_RUNTIME_SHA256");

/// The program's name in its folder.
const NAME: &str = "tessera-runtime";

/// Why the runtime cannot be used from where it was laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The folder cannot be written.
    #[error(
        "cannot lay out the tool runtime at `{path}`: {error}; check that the data folder is writable and has room"
    )]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It lies there, and the system does not run it.
    #[error("the tool runtime `{path}` cannot be run: {reason}; {advice} or choose another data folder with --data")]
    NotRunnable {
        /// Where.
        path: PathBuf,
        /// What happened.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
}

/// Lays the runtime out below the data folder, unless it is there already and unharmed, and makes sure that it runs
/// from there. Answers where it lies.
pub fn lay_out(data: &Path) -> Result<PathBuf, LayoutError> {
    let folder = data.join("runtime").join(RUNTIME_SHA256);
    let path = folder.join(NAME);
    let unwritable = |error| LayoutError::Unwritable { path: path.clone(), error };
    if !is_unharmed(&path) {
        // A harmed file is replaced by a rename: whoever runs or mounts the old one keeps it.
        write_durably(&folder, &path).map_err(unwritable)?;
    }
    let path = path.canonicalize().map_err(unwritable)?;
    try_out(&path)?;
    Ok(path)
}

/// Removes the runtimes of former builds that no attempt below `work` names. An attempt that cannot be read may name
/// any, so that nothing is removed while there is one.
pub fn sweep(data: &Path, work: &Path) -> io::Result<()> {
    let old: Vec<PathBuf> = folders(&data.join("runtime"))?
        .into_iter()
        .filter(|folder| folder.file_name().is_some_and(|name| name != RUNTIME_SHA256))
        .collect();
    if old.is_empty() {
        return Ok(());
    }
    let mut named = BTreeSet::new();
    for backend in folders(work)? {
        for attempt in folders(&backend)? {
            match Attempt::at(&attempt).read::<NodeSettings>(attempt::SETTINGS) {
                Ok(Some(settings)) => named.extend(settings.runtime_binary.parent().map(Path::to_owned)),
                // Gone in the meantime names nothing.
                Ok(None) | Err(_) if !attempt.exists() => {}
                Ok(None) | Err(_) => return Ok(()),
            }
        }
    }
    for folder in old {
        if named.iter().all(|named| named.file_name() != folder.file_name()) {
            tracing::info!(folder = %folder.display(), "removing the tool runtime of a former build");
            fs::remove_dir_all(folder)?;
        }
    }
    Ok(())
}

fn folders(of: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether the file is what we carry. Read in small pieces: touching our own copy would keep it in memory.
fn is_unharmed(path: &Path) -> bool {
    let hash = || -> io::Result<String> {
        let mut file = File::open(path)?;
        if file.metadata()?.permissions().mode() & 0o555 != 0o555 {
            return Ok(String::new());
        }
        let mut hasher = Sha256::new();
        let mut piece = vec![0; 128 * 1024];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                n => hasher.update(&piece[..n]),
            }
        }
    };
    hash().is_ok_and(|hash| hash == RUNTIME_SHA256)
}

fn write_durably(folder: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{NAME}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(&temporary)?;
    file.write_all(RUNTIME)?;
    // Containers run it as any user, and the umask must not take that away.
    file.set_permissions(Permissions::from_mode(0o755))?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

/// Runs it once: a folder mounted `noexec`, another architecture or a security module show here and not in the
/// first task.
fn try_out(path: &Path) -> Result<(), LayoutError> {
    let not_runnable = |reason: String, advice| Err(LayoutError::NotRunnable { path: path.to_owned(), reason, advice });
    let ran = Command::new(path).arg("version").stdin(Stdio::null()).output();
    match ran {
        Ok(said) if said.status.success() => Ok(()),
        Ok(said) => not_runnable(
            format!("`version` ended with {}: {}", said.status, String::from_utf8_lossy(&said.stderr).trim()),
            "this build does not fit this machine; use one that does,",
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_noexec(path) => {
            not_runnable("its file system is mounted `noexec`".to_owned(), "mount it with `exec`")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            not_runnable(error.to_string(), "let the server run programs there (SELinux, AppArmor)")
        }
        Err(error) => not_runnable(error.to_string(), "use a build for this machine"),
    }
}

fn is_noexec(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_runtime_is_a_small_static_program() {
        assert!(RUNTIME.starts_with(b"\x7fELF"));
        assert!(RUNTIME.len() < 20 * 1024 * 1024, "{} bytes", RUNTIME.len());
        // No interpreter is named, so that nothing of the image is needed to start it.
        assert!(!RUNTIME.windows(9).any(|w| w == b"/lib64/ld"));
    }

    #[test]
    fn it_is_laid_out_once_and_a_harmed_file_is_replaced() {
        let data = tempfile::tempdir().unwrap();
        let path = lay_out(data.path()).unwrap();
        let first = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(lay_out(data.path()).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), first);

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        lay_out(data.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "short").unwrap();
        lay_out(data.path()).unwrap();
        assert!(is_unharmed(&path));
        let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn a_former_runtime_stays_while_an_attempt_names_it() {
        let data = tempfile::tempdir().unwrap();
        let path = lay_out(data.path()).unwrap();
        let former = data.path().join("runtime").join("aa");
        fs::create_dir(&former).unwrap();
        let work = data.path().join("work");
        let attempt = work.join("docker").join("t-1");
        fs::create_dir_all(&attempt).unwrap();

        // Nothing is known of this attempt yet.
        sweep(data.path(), &work).unwrap();
        assert!(former.exists());
        let settings = serde_json::json!({
            "version": 1, "backend": "docker", "installation": "i", "engine": {"host": "unix:///s"},
            "runtime_binary": former.join(NAME),
        });
        fs::write(attempt.join(attempt::SETTINGS), settings.to_string()).unwrap();
        sweep(data.path(), &work).unwrap();
        assert!(former.exists());
        fs::remove_dir_all(attempt).unwrap();
        sweep(data.path(), &work).unwrap();
        assert!(!former.exists() && path.exists());
    }
}
