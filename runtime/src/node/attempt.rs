//! The attempt's directory: where the server and its node meet, and all that either remembers of a job.
//!
//! ```text
//! <work>/<job>/
//!   plan.json  node.json    what to do, and where
//!   lock                    held while a node lives; its process id
//!   boot                    which boot of the host the inputs were brought in under
//!   cancel                  the durable request to stop
//!   staged                  the inputs lie in the tree, or where this says
//!   inputs/<n>              links to inputs that are shared with other tasks, mounted read-only
//!   progress.json           what has been done so far
//!   report.json             how it ended; nothing of the job's commands is left when it can be read
//!   clean                   no container of the job is left either
//!   starts.json             how often a node was started (the server's own count)
//!   node.log                what the node had to say to an operator
//!   tree/                   the task's files
//!   steps/<n>/              one step directory an executor, see [`crate::step`]
//!   started-<n>             its command was started, and since when; the command itself cannot take this back
//! ```
//! Both sides only ever add or replace whole files, so each may die between any two lines.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entry::{self, EntryKind};
use crate::remove;

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
/// Links to inputs that are not in the tree.
pub const INPUTS: &str = "inputs";
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
/// How the name of the note begins that a step's command was started.
pub const STARTED: &str = "started-";
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
    /// user may be anyone, so anyone may write; nobody else gets past the directories above. A command may have
    /// written there before, so nothing is reached by a path.
    pub fn prepare_step(&self, file: &crate::step::StepFile) -> io::Result<StepDir> {
        fs::create_dir_all(self.step(file.step))?;
        let step = self.open_step(file.step)?;
        open_to_all(&step.fd)?;
        step.describe(&serde_json::to_vec(file).map_err(io::Error::other)?)?;
        step.hang_bell()?;
        if file.in_turn {
            step.prepare_turn()?;
        }
        Ok(step)
    }

    /// The directory of a step that is there.
    pub fn open_step(&self, step: u32) -> io::Result<StepDir> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(self.step(step), flags, Mode::empty())?;
        Ok(StepDir { fd: File::from(fd), attempt: self.clone(), started: format!("{STARTED}{step}") })
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
    attempt: Attempt,
    /// Name of the attempt's own note that the command was started.
    started: String,
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
/// The name under which the step file is made.
const DESCRIBING: &str = ".step.new";
/// Bytes of the longest note that is read.
const NOTE_BOUND: u64 = 64;
/// Bytes of the largest record that is read.
const RECORD_BOUND: u64 = 1024 * 1024;

impl StepDir {
    /// What the mark says. Once it was seen to be the wrapper's, that stays so whatever the command does to it.
    pub fn mark(&self) -> io::Result<Mark> {
        if let Some(at) = self.noted()? {
            return Ok(Mark::Started(at));
        }
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
        let now = jiff::Timestamp::now();
        // A command may say of its mark what it likes, but not that it will start one day: its time would never be over.
        let at = jiff::Timestamp::try_from(made).map_or(now, |made| made.min(now));
        self.note(at)?;
        Ok(Mark::Started(at))
    }

    /// When the command was started, if that was seen before.
    fn noted(&self) -> io::Result<Option<jiff::Timestamp>> {
        let file = match File::open(self.attempt.file(&self.started)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let made = file.metadata()?.modified()?;
        let mut text = String::new();
        file.take(NOTE_BOUND).read_to_string(&mut text)?;
        // A crash may have left it empty: that it is there counts.
        let at = text.parse().ok().or_else(|| jiff::Timestamp::try_from(made).ok());
        Ok(Some(at.unwrap_or_else(jiff::Timestamp::now)))
    }

    fn note(&self, at: jiff::Timestamp) -> io::Result<()> {
        let mut file = create_private(&self.attempt.file(&self.started))?;
        file.write_all(at.to_string().as_bytes())?;
        file.sync_all()?;
        sync_dir(self.attempt.dir())
    }

    /// Writes the step file, unless it is there.
    fn describe(&self, text: &[u8]) -> io::Result<()> {
        let there = || -> io::Result<bool> {
            let Some(file) = self.open_regular(crate::step::STEP_FILE)? else {
                return Ok(false);
            };
            let mut found = Vec::new();
            file.take(text.len() as u64 + 1).read_to_end(&mut found)?;
            Ok(found == text)
        };
        // Whatever else bears the name is replaced.
        if there().unwrap_or(false) {
            return Ok(());
        }
        remove::child(self.fd.as_fd(), OsStr::new(DESCRIBING))?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file = File::from(rustix::fs::openat(&self.fd, DESCRIBING, flags, Mode::from_raw_mode(0o600))?);
        file.write_all(text)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
        let put = || rustix::fs::renameat(&self.fd, DESCRIBING, &self.fd, crate::step::STEP_FILE);
        match put() {
            Err(Errno::ISDIR) => {
                remove::child(self.fd.as_fd(), OsStr::new(crate::step::STEP_FILE))?;
                Ok(put()?)
            }
            done => Ok(done?),
        }
    }

    /// Makes the bell, unless something bears its name.
    fn hang_bell(&self) -> io::Result<()> {
        match rustix::fs::mkfifoat(&self.fd, crate::step::BELL, Mode::from_raw_mode(0o666)) {
            // The file mode mask may have taken something away.
            Ok(()) => Ok(rustix::fs::fchmod(self.open_bell()?, Mode::from_raw_mode(0o666))?),
            Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes what a wrapper needs that waits for its turn. It only reads both.
    fn prepare_turn(&self) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let readable = Mode::from_raw_mode(0o644);
        let alive = rustix::fs::openat(&self.fd, crate::step::ALIVE, flags, readable)?;
        // The file mode mask may have taken something away.
        rustix::fs::fchmod(&alive, readable)?;
        match rustix::fs::mkfifoat(&self.fd, crate::step::TURN, readable) {
            Ok(()) => Ok(rustix::fs::fchmod(self.open_fifo(crate::step::TURN)?, readable)?),
            Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The FIFO of turns, open for both ends: what is written into it waits there, and it is held open.
    pub fn open_turn(&self) -> io::Result<File> {
        self.open_fifo(crate::step::TURN)
    }

    /// Says that the FIFO of turns is held open.
    pub fn say_there(&self) -> io::Result<()> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        rustix::fs::openat(&self.fd, crate::step::THERE, flags, Mode::from_raw_mode(0o644))?;
        Ok(())
    }

    /// Makes the mark in the wrapper's place, so that a command that has not been started never will be.
    /// False: it has been started.
    pub fn forbid(&self) -> io::Result<bool> {
        if self.noted()?.is_some() {
            return Ok(false);
        }
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
        let about = |e: io::Error| io::Error::new(e.kind(), format!("{name}: {e}"));
        // Looked at before it is opened: opening a FIFO would hold us up, and a device may act on it.
        let Some(found) = entry::child(self.fd.as_fd(), OsStr::new(name)).map_err(about)? else {
            return Ok(None);
        };
        if found.kind() != EntryKind::File {
            return Err(invalid(format!("{name} of the step is not a regular file")));
        }
        found.open_file().map(Some).map_err(about)
    }

    /// The bell, open for both ends so that it never reads as closed.
    pub fn open_bell(&self) -> io::Result<File> {
        self.open_fifo(crate::step::BELL)
    }

    fn open_fifo(&self, name: &str) -> io::Result<File> {
        let found = entry::child(self.fd.as_fd(), OsStr::new(name))?;
        let found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the step has no {name}")))?;
        if FileType::from_raw_mode(found.stat().st_mode) != FileType::Fifo {
            return Err(invalid(format!("the {name} of the step is not a FIFO")));
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let looked_at = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
        Ok(File::from(rustix::fs::open(looked_at, flags, Mode::empty())?))
    }
}

/// Lets anyone write to a directory. One that somebody else made so is as good.
fn open_to_all(directory: &File) -> io::Result<()> {
    match rustix::fs::fchmod(directory, Mode::from_raw_mode(0o777)) {
        Err(Errno::PERM) if directory.metadata()?.permissions().mode() & 0o777 == 0o777 => Ok(()),
        done => Ok(done?),
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
    use std::os::unix::fs::symlink;

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

    fn described() -> crate::step::StepFile {
        let text = r#"{"version":1,"step":0,"command":["true"],"log_cap_bytes":1,"stop_grace_ms":1}"#;
        crate::step::StepFile::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_command_can_neither_take_its_start_back_nor_reach_the_host() {
        let host = tempfile::tempdir().unwrap();
        let outside = host.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let step = Attempt::at(dir.path()).prepare_step(&described()).unwrap();
        let inside = |name: &str| dir.path().join("steps/0").join(name);
        File::create_new(inside("mark")).unwrap();
        let started = step.mark().unwrap();
        assert!(matches!(started, Mark::Started(_)));

        fs::remove_file(inside("mark")).unwrap();
        fs::remove_file(inside("step.json")).unwrap();
        fs::remove_file(inside("bell")).unwrap();
        symlink(&outside, inside(".step.new")).unwrap();
        symlink(&outside, inside("step.json")).unwrap();
        symlink(&outside, inside("bell")).unwrap();
        symlink(&outside, inside("mark")).unwrap();
        let step = Attempt::at(dir.path()).prepare_step(&described()).unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
        assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(inside("step.json")).unwrap().is_file());
        assert!(step.open_bell().is_err());
        fs::remove_file(inside("mark")).unwrap();
        assert_eq!(step.mark().unwrap(), started, "with its time");
        fs::write(inside("mark"), FORBIDDEN).unwrap();
        step.allow().unwrap();
        assert_eq!(step.mark().unwrap(), started);
        assert!(!step.forbid().unwrap());
    }

    #[test]
    fn fifos_and_directories_in_the_way_of_a_step_file_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        let inside = |name: &str| dir.path().join("steps/0").join(name);
        fs::create_dir_all(inside(".step.new/deeper")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, inside("step.json"), Mode::from_raw_mode(0o600)).unwrap();
        attempt.prepare_step(&described()).unwrap();
        fs::remove_file(inside("step.json")).unwrap();
        fs::create_dir_all(inside("step.json/deeper")).unwrap();
        attempt.prepare_step(&described()).unwrap();
        let text = fs::read(inside("step.json")).unwrap();
        assert_eq!(crate::step::StepFile::read(&text).unwrap(), described());
        assert_eq!(fs::metadata(inside("step.json")).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(inside("bell")).unwrap().permissions().mode() & 0o777, 0o666);
    }
}
