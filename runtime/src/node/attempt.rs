//! The attempt's directory: where the server and its node meet, and all that either remembers of a job.
//!
//! ```text
//! <work>/<job>/
//!   plan.json  node.json    what to do, and where
//!   lock                    held while a node lives; its process id
//!   boot                    which boot of the host the inputs were brought in under
//!   cancel                  the durable request to stop
//!   staged                  the inputs lie in the tree
//!   progress.json           what has been done so far
//!   report.json             how it ended; nothing of the job's commands is left when it can be read
//!   clean                   no container of the job is left either
//!   starts.json             how often a node was started (the server's own count)
//!   node.log                what the node had to say to an operator
//!   tree/                   the task's files
//!   steps/<n>/              one step directory an executor, see [`crate::step`]
//! ```
//! Both sides only ever add or replace whole files, so each may die between any two lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Name of the plan.
pub const PLAN: &str = "plan.json";
/// Name of the node's settings.
pub const SETTINGS: &str = "node.json";
/// Name of the lock.
pub const LOCK: &str = "lock";
/// Name of the request to stop.
pub const CANCEL: &str = "cancel";
/// Name of the boot the attempt belongs to.
pub const BOOT: &str = "boot";
/// Name of the mark that the inputs lie in the tree.
pub const STAGED: &str = "staged";
/// Name of the progress.
pub const PROGRESS: &str = "progress.json";
/// Name of the report.
pub const REPORT: &str = "report.json";
/// Name of the mark that no container is left.
pub const CLEAN: &str = "clean";
/// Name of the server's count of starts.
pub const STARTS: &str = "starts.json";
/// Name of the node's own log.
pub const NODE_LOG: &str = "node.log";
/// Name of the task's tree.
pub const TREE: &str = "tree";
/// Name of the folder of step directories.
pub const STEPS: &str = "steps";

/// One attempt's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    dir: PathBuf,
}

impl Attempt {
    /// The attempt that lives in `dir`.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The task's tree.
    pub fn tree(&self) -> PathBuf {
        self.dir.join(TREE)
    }

    /// The directory of one step.
    pub fn step(&self, step: u32) -> PathBuf {
        self.dir.join(STEPS).join(step.to_string())
    }

    /// Whether a file of that name is there.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match fs::symlink_metadata(self.file(name)) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// A JSON file; `None` when it is not there.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let bytes = match fs::read(self.file(name)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {e}")))
    }

    /// A JSON file that is kept lightly: what a power loss left of it, empty or in pieces, counts as absent.
    pub fn read_light<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        match self.read(name) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(None),
            read => read,
        }
    }

    /// Replaces a JSON file in one move. A reader sees the former text or the new one, never half of it.
    pub fn replace<T: Serialize>(&self, name: &str, value: &T, keep: Keep) -> io::Result<()> {
        let text = serde_json::to_vec(value).map_err(io::Error::other)?;
        let temporary = self.file(&format!(".{name}.new"));
        let mut file = create_private(&temporary)?;
        file.write_all(&text)?;
        if keep == Keep::Durably {
            file.sync_all()?;
        }
        fs::rename(&temporary, self.file(name))
    }

    /// Makes an empty file that says something by being there, durably.
    pub fn make_mark(&self, name: &str) -> io::Result<()> {
        create_private(&self.file(name))?.sync_all()?;
        sync_dir(&self.dir)
    }

    /// The directory of a step with all that its container finds there, made if it is not. The container's
    /// user may be anyone, so anyone may write; nobody else gets past the directories above.
    pub fn prepare_step(&self, file: &crate::step::StepFile) -> io::Result<StepDir> {
        let dir = self.step(file.step);
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777))?;
        let text = serde_json::to_vec(file).map_err(io::Error::other)?;
        let described = dir.join(crate::step::STEP_FILE);
        let already = fs::read(&described).is_ok_and(|there| there == text);
        if !already {
            let temporary = dir.join(".step.new");
            fs::write(&temporary, text)?;
            fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644))?;
            fs::rename(&temporary, &described)?;
        }
        let bell = dir.join(crate::step::BELL);
        match rustix::fs::mkfifoat(rustix::fs::CWD, &bell, Mode::from_raw_mode(0o666)) {
            Ok(()) => fs::set_permissions(&bell, fs::Permissions::from_mode(0o666))?,
            Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        self.open_step(file.step)
    }

    /// The directory of a step that is there.
    pub fn open_step(&self, step: u32) -> io::Result<StepDir> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(self.step(step), flags, Mode::empty())?;
        Ok(StepDir { fd: File::from(fd) })
    }
}

/// Whether a replaced file must outlive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is on the disk when the call returns.
    Durably,
    /// A crash of the machine may take it back.
    Lightly,
}

/// A step's directory as the reader sees it. The other side is the user's command: no link is followed, only
/// regular files are read, and never more than a bound.
#[derive(Debug)]
pub struct StepDir {
    fd: File,
}

/// What a step's mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// There is none.
    None,
    /// The wrapper made it, at that time: the command was started.
    Started(jiff::Timestamp),
    /// It was made so that the command never starts.
    Never,
}

/// What stands in a mark that forbids; the wrapper leaves its own empty.
const FORBIDDEN: &[u8] = b"never";
/// The name under which such a mark is made.
const FORBIDDING: &str = ".mark.new";
/// Bytes of the largest record that is read.
const RECORD_BOUND: u64 = 1024 * 1024;

impl StepDir {
    /// What the mark says.
    pub fn mark(&self) -> io::Result<Mark> {
        let file = match self.open_regular(crate::step::MARK) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Mark::None),
            Err(e) => return Err(e),
        };
        let made = file.metadata()?.modified()?;
        let mut text = Vec::new();
        file.take(FORBIDDEN.len() as u64).read_to_end(&mut text)?;
        if text == FORBIDDEN {
            return Ok(Mark::Never);
        }
        Ok(Mark::Started(jiff::Timestamp::try_from(made).unwrap_or_else(|_| jiff::Timestamp::now())))
    }

    /// Makes the mark in the wrapper's place, so that a command that has not been started never will be.
    /// False: it has been started.
    pub fn forbid(&self) -> io::Result<bool> {
        // Made under another name and linked: a mark that is there always says whose it is.
        match rustix::fs::unlinkat(&self.fd, FORBIDDING, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::openat(&self.fd, FORBIDDING, flags, Mode::from_raw_mode(0o644))?);
        file.write_all(FORBIDDEN)?;
        let linked = rustix::fs::linkat(&self.fd, FORBIDDING, &self.fd, crate::step::MARK, AtFlags::empty());
        let _ = rustix::fs::unlinkat(&self.fd, FORBIDDING, AtFlags::empty());
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(self.mark()? == Mark::Never),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes a mark back that only forbade: the step has not been started, and now may be.
    pub fn allow(&self) -> io::Result<()> {
        if self.mark()? == Mark::Never {
            rustix::fs::unlinkat(&self.fd, crate::step::MARK, AtFlags::empty())?;
        }
        Ok(())
    }

    /// The record, if the step has ended with one.
    pub fn record(&self) -> io::Result<Option<crate::step::StepRecord>> {
        let Some(file) = self.open_regular(crate::step::RECORD)? else {
            return Ok(None);
        };
        let size = file.metadata()?.len();
        if size > RECORD_BOUND {
            return Err(invalid(format!("the record of the step is {size} bytes long")));
        }
        let mut text = Vec::new();
        file.take(RECORD_BOUND).read_to_end(&mut text)?;
        let record: crate::step::StepRecord = serde_json::from_slice(&text)
            .map_err(|e| invalid(format!("the record of the step cannot be read: {e}")))?;
        if record.version > crate::step::STEP_VERSION {
            return Err(invalid(format!("the record of the step has version {}", record.version)));
        }
        Ok(Some(record))
    }

    /// A regular file of it; `None` when it is not there.
    pub fn open_regular(&self, name: &str) -> io::Result<Option<File>> {
        // NONBLOCK: a FIFO of that name must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => {
                return Err(io::Error::new(io::Error::from(e).kind(), format!("{name}: {e}")));
            }
        };
        if !file.metadata()?.is_file() {
            return Err(invalid(format!("{name} of the step is not a regular file")));
        }
        Ok(Some(file))
    }

    /// The bell, open for both ends so that it never reads as closed.
    pub fn open_bell(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.fd, crate::step::BELL, flags, Mode::empty())?))
    }
}

/// Rings a FIFO if someone listens. It only wakes, so nothing that goes wrong matters.
pub fn ring(bell: &Path) {
    let open =
        OpenOptions::new().write(true).custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0)).open(bell);
    if let Ok(mut fifo) = open {
        let _ = fifo.write(b".");
    }
}

/// Makes what was added to a directory, renamed in it or removed from it durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A new file that only its owner can read.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn step() -> (tempfile::TempDir, StepDir) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("steps/0")).unwrap();
        let step = Attempt::at(dir.path()).open_step(0).unwrap();
        (dir, step)
    }

    #[test]
    fn what_has_not_started_can_be_forbidden_and_allowed_again() {
        let (dir, step) = step();
        assert_eq!(step.mark().unwrap(), Mark::None);
        assert!(step.forbid().unwrap());
        assert!(step.forbid().unwrap(), "twice is once");
        assert_eq!(step.mark().unwrap(), Mark::Never);
        step.allow().unwrap();
        assert_eq!(step.mark().unwrap(), Mark::None);

        File::create_new(dir.path().join("steps/0/mark")).unwrap();
        assert!(!step.forbid().unwrap());
        step.allow().unwrap();
        assert!(matches!(step.mark().unwrap(), Mark::Started(_)), "a command that was started stays so");
    }

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let (dir, step) = step();
        let record = dir.path().join("steps/0/record.json");
        assert_eq!(step.record().unwrap(), None);
        std::os::unix::fs::symlink("/etc/passwd", &record).unwrap();
        assert!(step.record().is_err());
        fs::remove_file(&record).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &record, Mode::from_raw_mode(0o600)).unwrap();
        assert!(step.record().is_err());
        fs::remove_file(&record).unwrap();
        File::create(&record).unwrap().set_len(RECORD_BOUND + 1).unwrap();
        assert!(step.record().is_err());
    }
}
