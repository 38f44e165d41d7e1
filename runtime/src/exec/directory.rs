//! The step directory, seen from inside the container.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::turn::Turn;
use crate::entry::{Changed, Entry};
use crate::step::{
    ALIVE, BELL, FRAMES, GIVING_UP, GIVING_UP_BYTES, HERE, MARK, RECORD, STEP_FILE, StepFile, StepRecord, THERE, TURN,
};

/// A longer step file is not read: an argument vector cannot be much longer than this either.
const LONGEST_STEP_FILE: u64 = 64 << 20;

const NEW_RECORD: &str = "record.new";

/// The open step directory.
pub(super) struct StepDirectory {
    fd: OwnedFd,
}

impl StepDirectory {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { fd })
    }

    pub(super) fn read_step(&self) -> io::Result<StepFile> {
        let mut bytes = Vec::new();
        let file = self.file(STEP_FILE, OFlags::RDONLY, 0)?;
        file.take(LONGEST_STEP_FILE).read_to_end(&mut bytes)?;
        StepFile::read(&bytes).map_err(io::Error::other)
    }

    pub(super) fn is_marked(&self) -> bool {
        self.file(MARK, OFlags::PATH, 0).is_ok()
    }

    /// Makes the mark, durably, and answers when; `None` when it was there already.
    pub(super) fn mark(&self) -> io::Result<Option<Changed>> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mark = match self.file(MARK, flags, 0o644) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            made => made?,
        };
        rustix::fs::fsync(&mark)?;
        rustix::fs::fsync(&self.fd)?;
        Ok(Some(Entry::new(OwnedFd::from(mark))?.changed()))
    }

    pub(super) fn frames(&self) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::APPEND;
        self.file(FRAMES, flags, 0o644)
    }

    /// Writes the record under a temporary name, durably, and renames it.
    pub(super) fn write_record(&self, record: &StepRecord) -> io::Result<()> {
        // What the command may have left there is not opened: a FIFO would hold us up.
        let _nothing_there = rustix::fs::unlinkat(&self.fd, NEW_RECORD, AtFlags::empty());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mut file = self.file(NEW_RECORD, flags, 0o644)?;
        file.write_all(&serde_json::to_vec(record)?)?;
        rustix::fs::fdatasync(&file)?;
        Ok(rustix::fs::renameat(&self.fd, NEW_RECORD, &self.fd, RECORD)?)
    }

    /// Takes the lock that says that we live, says that we are here, and opens the FIFO of turns.
    pub(super) fn come(&self) -> io::Result<Turn> {
        let about = |name: &str, error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        let alive = self.file(ALIVE, OFlags::RDONLY, 0).map_err(|error| about(ALIVE, error))?;
        loop {
            // Whoever looks whether it is held holds it for a moment.
            match rustix::fs::flock(&alive, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                locked => break locked.map_err(|error| about(ALIVE, error.into()))?,
            }
        }
        let turn = self.file(TURN, OFlags::RDONLY | OFlags::NONBLOCK, 0).map_err(|error| about(TURN, error))?;
        let there = self.file(THERE, OFlags::PATH, 0).is_ok();
        let turn = Turn::new(turn, alive.into(), there);
        // On a full disk the lock alone has to say it.
        let _said = self.file(HERE, OFlags::WRONLY | OFlags::CREATE, 0o644);
        self.ring();
        Ok(turn)
    }

    /// Says in a pod why there will be no record.
    pub(super) fn give_up(&self, error: &io::Error) {
        let mut words = format!("{error}");
        words.truncate(words.floor_char_boundary(GIVING_UP_BYTES));
        // Nobody may listen yet: who comes later finds it here.
        if let Ok(mut here) = self.file(HERE, OFlags::WRONLY | OFlags::CREATE | OFlags::NONBLOCK, 0o644) {
            let _unsaid = here.write_all(words.as_bytes());
        }
        if let Ok(bell) = self.file(BELL, OFlags::WRONLY | OFlags::NONBLOCK, 0) {
            let _unheard = rustix::io::write(bell, format!("{GIVING_UP}{words}\n").as_bytes());
        }
    }

    /// Wakes whoever listens. Nobody may, and that is no error.
    pub(super) fn ring(&self) {
        if let Ok(bell) = self.file(BELL, OFlags::WRONLY | OFlags::NONBLOCK, 0) {
            let _unheard = rustix::io::write(bell, b"!");
        }
    }

    fn file(&self, name: &str, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode)) {
                Err(Errno::INTR) => {}
                opened => return Ok(File::from(opened?)),
            }
        }
    }
}
