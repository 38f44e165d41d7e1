//! The lock that a node holds while it lives, and how its holder is found and told something.
//!
//! The server takes the lock and hands the open file to the node as its standard input: a lock belongs to the
//! open file, so there is no moment in which a job that is being worked on looks dead.
//! Only a process id that stands in a lock that is held is believed. Whoever takes the lock empties the file
//! first; the node writes its id when it can be signalled.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::process::{Pid, PidfdFlags, Signal};

/// The lock, held.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock; `None` when someone holds it.
    pub fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                Ok(Some(Self { file }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Takes over the lock that came as standard input, or takes it anew; `None` when someone else holds it.
    pub fn inherit_or_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        let stdin = rustix::stdio::stdin();
        let there = file.metadata()?;
        let inherited =
            rustix::fs::fstat(stdin).is_ok_and(|stat| stat.st_ino == there.ino() && stat.st_dev == there.dev());
        if !inherited {
            return Self::take(path);
        }
        // Standard input stays open as long as we live. Locking it again only proves that it holds the lock.
        match rustix::fs::flock(stdin, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Says who holds it. From here on the holder can be signalled.
    pub fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())
    }

    /// The open file, to hand on to a child.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// Whether someone holds the lock. No lock file: nobody.
pub fn is_held(path: &Path) -> io::Result<bool> {
    match OpenOptions::new().read(true).open(path) {
        Ok(file) => match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(e) => Err(e.into()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// The process that holds the lock, in a form that no other process can take over.
#[derive(Debug)]
pub struct Holder {
    pidfd: OwnedFd,
}

impl Holder {
    /// Finds the holder; `None` when nobody holds the lock, or its holder cannot be signalled yet.
    pub fn of(path: &Path) -> io::Result<Option<Self>> {
        let Some(pid) = signed_by(path)? else {
            return Ok(None);
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // Looked at after the descriptor was opened: the id was not given to a stranger in between.
        let still = is_held(path)? && signed_by(path)? == Some(pid);
        Ok(still.then_some(Self { pidfd }))
    }

    /// Sends SIGTERM; the node then looks for a request to stop.
    pub fn wake(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, Signal::TERM) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns when the process has ended.
    pub async fn ended(self) -> io::Result<()> {
        // The safe way in is deprecated because a type may lie about its descriptor; an `OwnedFd` cannot.
        #[allow(deprecated)]
        let watched = tokio::io::unix::AsyncFd::with_interest(self.pidfd, tokio::io::Interest::READABLE)?;
        watched.readable().await.map(drop)
    }
}

impl AsFd for Holder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn signed_by(path: &Path) -> io::Result<Option<Pid>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(32).read_to_string(&mut text)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(text.strip_suffix('\n').and_then(|id| id.parse().ok()).and_then(Pid::from_raw))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_its_name_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path).unwrap());
        assert!(Holder::of(&path).unwrap().is_none());
        let mut lock = Lock::take(&path).unwrap().unwrap();
        assert!(is_held(&path).unwrap());
        assert!(Lock::take(&path).unwrap().is_none());
        assert!(Holder::of(&path).unwrap().is_none(), "nobody has signed yet");
        lock.sign().unwrap();
        assert!(Holder::of(&path).unwrap().is_some());
        drop(lock);
        assert!(Holder::of(&path).unwrap().is_none(), "a name in a free lock is not believed");
        let _again = Lock::take(&path).unwrap().unwrap();
        assert!(Holder::of(&path).unwrap().is_none(), "the former holder's name is gone");
    }
}
