//! One file on its way: a temporary name, its content, its final name.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::entry::Entry;
use crate::remove;

/// How the name of a file begins that is not complete yet. Who copies side by side with others adds something of
/// its own; who begins again after a crash uses the same name again and so leaves none behind.
pub(crate) const PART: &str = ".tessera-part";

/// How much is copied between two looks at the stop flag.
const PIECE: usize = 8 << 20;

/// A new, empty file under the temporary name.
pub(crate) fn create_part(directory: impl AsFd, part: &str) -> io::Result<File> {
    let create = || {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(&directory, part, flags, Mode::from_raw_mode(0o600))
    };
    match create() {
        // From before a crash.
        Err(Errno::EXIST) => {
            remove::child(directory.as_fd(), OsStr::new(part))?;
            Ok(File::from(create()?))
        }
        created => Ok(File::from(created?)),
    }
}

/// Gives what has a temporary name its own. An empty directory in the way goes; one that is not was filled by someone.
pub(crate) fn take_name(directory: impl AsFd, part: &str, name: &OsStr) -> io::Result<()> {
    let rename = || rustix::fs::renameat(&directory, part, &directory, name);
    match rename() {
        Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
            rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR)?;
            Ok(rename()?)
        }
        renamed => Ok(renamed?),
    }
}

/// When a file was last modified.
pub(crate) fn modified(file: &Entry) -> Timespec {
    Timespec { tv_sec: file.stat().st_mtime, tv_nsec: i64::try_from(file.stat().st_mtime_nsec).unwrap_or_default() }
}

/// Sets when a file was last modified (TES contract 9.11).
pub(crate) fn set_modified(file: &File, at: Timespec) -> io::Result<()> {
    let times = Timestamps { last_access: at, last_modification: at };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Which side of a copy failed.
pub(crate) enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

/// Whichever side failed, told by the words for that side.
pub(crate) fn failed<T>(side: Failed, reading: impl Fn(io::Error) -> T, writing: impl Fn(io::Error) -> T) -> T {
    match side {
        Failed::Reading(error) => reading(error),
        Failed::Writing(error) => writing(error),
    }
}

/// Copies a whole file: as a reflink, in the kernel, or by hand, whichever works first.
pub(crate) fn copy_content(
    source: &mut File,
    target: &mut File,
    size: u64,
    stop: &dyn Fn() -> bool,
) -> Result<(), Failed> {
    if size > 0 && rustix::fs::ioctl_ficlone(&*target, &*source).is_ok() {
        return Ok(());
    }
    let stopped = || Failed::Reading(io::ErrorKind::Interrupted.into());
    let mut copied = 0u64;
    while copied < size {
        if stop() {
            return Err(stopped());
        }
        match rustix::fs::copy_file_range(&*source, None, &*target, None, PIECE) {
            Ok(0) => break,
            Ok(length) => copied += length as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                break;
            }
            Err(error) => return Err(Failed::Writing(error.into())),
        }
    }
    // The rest, and files whose size is not known beforehand.
    let mut buffer = vec![0; 256 << 10];
    loop {
        if stop() {
            return Err(stopped());
        }
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => target.write_all(&buffer[..length]).map_err(Failed::Writing)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Failed::Reading(error)),
        }
    }
}
