//! Standard input, output and error of the command.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{CWD, Mode, OFlags};

use crate::entry::EntryKind;
use crate::places::is_kernel;
use crate::tree::Tree;

/// The files that receive standard output and error.
pub(super) struct StreamFiles {
    pub(super) stdout: Option<Rc<StreamFile>>,
    pub(super) stderr: Option<Rc<StreamFile>>,
}

/// One of them.
pub(super) struct StreamFile {
    pub(super) path: String,
    pub(super) file: File,
}

impl StreamFiles {
    /// Opens them without changing what is in them; the same path shares one descriptor (TES contract 12.9).
    pub(super) fn open(tree: &Tree, stdout: Option<&str>, stderr: Option<&str>) -> Result<Self, String> {
        let out = stdout.map(|path| StreamFile::open(tree, path)).transpose()?;
        let out = out.map(Rc::new);
        let err = match (stderr, &out) {
            (Some(path), Some(out)) if out.path == path => Some(Rc::clone(out)),
            (Some(path), _) => Some(Rc::new(StreamFile::open(tree, path)?)),
            (None, _) => None,
        };
        Ok(Self { stdout: out, stderr: err })
    }

    /// Empties them, as `>` does.
    pub(super) fn truncate(&self) -> Result<(), String> {
        for stream in [&self.stdout, &self.stderr].into_iter().flatten() {
            if !is_kernel(&stream.path) {
                stream.file.set_len(0).map_err(|error| format!("cannot write `{}`: {error}", stream.path))?;
            }
        }
        Ok(())
    }
}

impl StreamFile {
    fn open(tree: &Tree, path: &str) -> Result<Self, String> {
        let opened = match is_kernel(path) {
            true => open_device(path, OFlags::WRONLY),
            false => tree.open_to_write(Path::new(path)).and_then(|file| match file.metadata()?.is_file() {
                true => Ok(file),
                false => Err(io::Error::other("not a regular file")),
            }),
        };
        let file = opened.map_err(|error| {
            let user = rustix::process::geteuid().as_raw();
            format!("cannot write `{path}` as user {user} of the container: {error}")
        })?;
        Ok(Self { path: path.to_owned(), file })
    }
}

/// Opens what standard input is read from: in the tree if it is there, otherwise in the container. It is neither
/// made nor changed, and opening it never waits.
pub(super) fn open_stdin(tree: &Tree, path: &str) -> Result<File, String> {
    let open = || -> io::Result<File> {
        match tree.find(Path::new(path))? {
            Some(entry) if entry.kind() == EntryKind::File => entry.open_file(),
            Some(_) => Err(io::Error::other("not a regular file")),
            None => open_device(path, OFlags::RDONLY),
        }
    };
    open().map_err(|error| format!("standard input `{path}` cannot be read: {error}"))
}

/// Opens something in the container that may be a device or a FIFO.
fn open_device(path: &str, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    // The command is to see an ordinary descriptor.
    set_blocking(&fd, true)?;
    Ok(File::from(fd))
}

pub(super) fn set_blocking(fd: impl AsFd, blocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(&fd)?;
    flags.set(OFlags::NONBLOCK, !blocking);
    Ok(rustix::fs::fcntl_setfl(&fd, flags)?)
}
