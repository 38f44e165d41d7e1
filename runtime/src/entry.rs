//! One thing in a file system, held by a descriptor: what was looked at is what is opened.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Something that exists; neither opened for reading nor followed any more.
#[derive(Debug)]
pub(crate) struct Entry {
    fd: OwnedFd,
    stat: Stat,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    Link,
    /// A FIFO, a socket or a device: never opened.
    Special,
}

/// When the content or the inode of a file changed last. Nobody can set it.
pub(crate) type Changed = (i64, u64);

impl Entry {
    /// An entry held by an `O_PATH` descriptor.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Self { fd, stat })
    }

    pub(crate) fn kind(&self) -> EntryKind {
        match FileType::from_raw_mode(self.stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Link,
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => EntryKind::Special,
        }
    }

    /// Device and inode: the same for two names of one thing.
    pub(crate) fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    pub(crate) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or_default()
    }

    pub(crate) fn changed(&self) -> Changed {
        (self.stat.st_ctime, self.stat.st_ctime_nsec)
    }

    pub(crate) fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Opens a regular file for reading. The descriptor is opened again, not the name, so it is the file that was
    /// looked at.
    pub(crate) fn open_file(&self) -> io::Result<File> {
        if self.kind() != EntryKind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let fd = rustix::fs::open(
            format!("/proc/self/fd/{}", self.fd.as_raw_fd()),
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY,
            Mode::empty(),
        )?;
        Ok(File::from(fd))
    }

    /// The names in a directory, sorted by bytes.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let fd =
            rustix::fs::openat(&self.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(fd)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// What is at a name in a directory; a link is not followed. `None` when nothing is.
    pub(crate) fn child(&self, name: &OsStr) -> io::Result<Option<Self>> {
        child(self.fd.as_fd(), name)
    }

    /// Where a link points.
    pub(crate) fn link_target(&self) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.fd, "", Vec::new())?;
        Ok(PathBuf::from(OsStr::from_bytes(target.as_bytes())))
    }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What is at a name in a directory; a link is not followed. `None` when nothing is.
pub(crate) fn child(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<Entry>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(fd) => Entry::new(fd).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
