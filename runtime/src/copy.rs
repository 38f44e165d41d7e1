//! Copying files and directories beneath a root: from the host into a tree, and between a tree and an image.
//!
//! A copy is always a private one (TES contract 9.9): a reflink where the file system can, never a hard link.
//! Each file gets a temporary name and is renamed. A link inside a copied directory that points inside it stays
//! a link; any other is followed, if the place it comes from allows that, and becomes what it points to.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::entry::{self, Changed, Entry, EntryKind};
use crate::notes::Notes;
use crate::part::{Failed, copy_content, create_part, modified, set_modified, take_name};
use crate::remove;
use crate::tree::{Slot, Tree, make_child};

/// Deeper nesting than this is refused; it also bounds the descriptors held.
const DEEPEST: usize = 200;

/// Where files are copied from.
pub(crate) trait Place {
    /// What a path leads to, links followed as far as this place allows; `None` when that is nothing.
    fn follow(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// Whether something met on the way may not be copied.
    fn forbids(&self, entry: &Entry) -> bool;
}

impl Place for Tree {
    fn follow(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.find(path)
    }

    fn forbids(&self, _entry: &Entry) -> bool {
        false
    }
}

/// Which of the files below a directory are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// All of them.
    All,
    /// Those that changed since, and those that are missing at the target.
    Missing(Changed),
    /// Those that changed since.
    ChangedSince(Changed),
}

/// A copy that failed, and where.
#[derive(Debug, thiserror::Error)]
#[error("`{}`: {error}", path.display())]
pub(crate) struct CopyError {
    /// The path at the side where it failed.
    pub(crate) path: PathBuf,
    /// Whether that was the target's side.
    pub(crate) writing: bool,
    pub(crate) error: io::Error,
}

/// One copy of a file or directory.
pub(crate) struct Copy<'a, P> {
    pub(crate) from: &'a P,
    pub(crate) which: Which,
    /// Target paths that are left alone.
    pub(crate) skip: &'a dyn Fn(&Path) -> bool,
    /// Temporary name.
    pub(crate) part: &'a str,
    /// Whether what cannot be read is noted and left out, instead of ending the copy.
    pub(crate) lenient: bool,
    /// Asked now and then whether to give up.
    pub(crate) stop: &'a dyn Fn() -> bool,
    pub(crate) notes: &'a mut Notes,
    /// Called with the target path of whatever was put there.
    pub(crate) put: &'a mut dyn FnMut(&Path),
}

/// A directory at the target: opened, and made, only when something is put into it.
struct Target<'a> {
    above: Above<'a>,
    path: PathBuf,
    opened: OnceCell<OwnedFd>,
}

enum Above<'a> {
    Directory(&'a Target<'a>),
    Slot(BorrowedFd<'a>),
}

impl Target<'_> {
    fn open(&self) -> Result<BorrowedFd<'_>, CopyError> {
        if let Some(fd) = self.opened.get() {
            return Ok(fd.as_fd());
        }
        let above = match &self.above {
            Above::Directory(target) => target.open()?,
            Above::Slot(fd) => *fd,
        };
        let name = self.path.file_name().unwrap_or_default();
        let fd = open_directory(above, name).map_err(|error| writing(&self.path, error))?;
        Ok(self.opened.get_or_init(|| fd).as_fd())
    }
}

/// A directory to put something into; what is there and is none is replaced.
fn open_directory(above: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    make_child(above, name)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(above, name, flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => {
            remove::child(above, name)?;
            make_child(above, name)?;
            Ok(rustix::fs::openat(above, name, flags, Mode::empty())?)
        }
        opened => Ok(opened?),
    }
}

impl<P: Place> Copy<'_, P> {
    /// Copies what stands at `from` to `slot`, which is called `to`.
    pub(crate) fn copy(mut self, entry: &Entry, from: &Path, slot: &Slot, to: &Path) -> Result<(), CopyError> {
        match entry.kind() {
            EntryKind::Directory => {
                let target =
                    Target { above: Above::Slot(slot.directory.as_fd()), path: to.to_owned(), opened: OnceCell::new() };
                self.directory(entry, from, Path::new(""), &target, &mut Vec::new())
            }
            EntryKind::File => self.file(entry, from, slot.directory.as_fd(), to),
            EntryKind::Link | EntryKind::Special => {
                self.notes.add(format!("`{}` is neither a file nor a directory and was left out", from.display()));
                Ok(())
            }
        }
    }

    /// `inside` is the way from the top of the copied directory to here.
    fn directory(
        &mut self,
        directory: &Entry,
        from: &Path,
        inside: &Path,
        target: &Target<'_>,
        above: &mut Vec<(u64, u64)>,
    ) -> Result<(), CopyError> {
        if above.contains(&directory.identity()) {
            self.notes.add(format!("`{}` leads back to a directory around it and was left out", from.display()));
            return Ok(());
        }
        if above.len() == DEEPEST {
            let error = io::Error::other(format!("more than {DEEPEST} directories deep"));
            return Err(reading(from, error));
        }
        let wanted = match self.which {
            Which::All | Which::Missing(_) => true,
            Which::ChangedSince(since) => directory.changed() >= since,
        };
        if wanted {
            target.open()?;
            (self.put)(&target.path);
        }
        above.push(directory.identity());
        let names = directory.names().map_err(|error| reading(from, error))?;
        for name in &names {
            match self.child(directory, from, inside, target, name, above) {
                Err(error) if self.lenient && !error.writing => {
                    self.notes.add(format!("{error}; it was left out"));
                }
                copied => copied?,
            }
        }
        above.pop();
        Ok(())
    }

    fn child(
        &mut self,
        directory: &Entry,
        from: &Path,
        inside: &Path,
        target: &Target<'_>,
        name: &OsString,
        above: &mut Vec<(u64, u64)>,
    ) -> Result<(), CopyError> {
        self.check_stop(from)?;
        let (from, inside, to) = (from.join(name), inside.join(name), target.path.join(name));
        if (self.skip)(&to) {
            return Ok(());
        }
        let found = directory.child(name).map_err(|error| reading(&from, error))?;
        let Some(mut found) = found else {
            return Ok(());
        };
        if found.kind() == EntryKind::Link {
            let points_to = found.link_target().map_err(|error| reading(&from, error))?;
            if stays_inside(&inside, &points_to) {
                return self.link(&found, &points_to, target, &to);
            }
            match self.from.follow(&from) {
                Ok(Some(followed)) => found = followed,
                Ok(None) => {
                    self.left_out(&from, "points to nothing");
                    return Ok(());
                }
                Err(error) => {
                    self.left_out(&from, &format!("cannot be followed ({error})"));
                    return Ok(());
                }
            }
        }
        if self.from.forbids(&found) {
            let path = from.display();
            self.notes.add(format!("`{path}` may not be read and was left out"));
            return Ok(());
        }
        match found.kind() {
            EntryKind::Directory => {
                let target = Target { above: Above::Directory(target), path: to, opened: OnceCell::new() };
                self.directory(&found, &from, &inside, &target, above)
            }
            EntryKind::File => {
                if let Which::ChangedSince(since) = self.which
                    && found.changed() < since
                {
                    return Ok(());
                }
                self.file(&found, &from, target.open()?, &to)
            }
            EntryKind::Link | EntryKind::Special => {
                self.notes.add(format!("`{}` is neither a file nor a directory and was left out", from.display()));
                Ok(())
            }
        }
    }

    fn left_out(&mut self, link: &Path, why: &str) {
        self.notes.add(format!("the symbolic link `{}` {why} and was left out", link.display()));
    }

    fn link(&mut self, link: &Entry, points_to: &Path, target: &Target<'_>, to: &Path) -> Result<(), CopyError> {
        if let Which::ChangedSince(since) = self.which
            && link.changed() < since
        {
            return Ok(());
        }
        let (directory, part) = (target.open()?, self.part);
        let name = to.file_name().unwrap_or_default();
        let put = || -> io::Result<()> {
            remove::child(directory, OsStr::new(part))?;
            rustix::fs::symlinkat(points_to, directory, part)?;
            take_name(directory, part, name)
        };
        put().map_err(|error| writing(to, error))?;
        (self.put)(to);
        Ok(())
    }

    fn file(&mut self, file: &Entry, from: &Path, directory: BorrowedFd<'_>, to: &Path) -> Result<(), CopyError> {
        self.check_stop(from)?;
        let name = to.file_name().unwrap_or_default();
        let there = entry::child(directory, name).map_err(|error| writing(to, error))?;
        if let Some(there) = &there {
            let unchanged = match self.which {
                Which::All => false,
                Which::Missing(since) | Which::ChangedSince(since) => {
                    there.kind() == EntryKind::File && file.changed() < since
                }
            };
            if unchanged || there.identity() == file.identity() {
                return Ok(());
            }
        }
        let mut source = file.open_file().map_err(|error| reading(from, error))?;
        let write = |error| writing(to, error);
        let mut part = create_part(directory, self.part).map_err(write)?;
        let copied = copy_content(&mut source, &mut part, file.size(), self.stop);
        let copied = copied.map_err(|failed| match failed {
            Failed::Reading(error) => reading(from, error),
            Failed::Writing(error) => writing(to, error),
        });
        let executable = Mode::from_raw_mode(file.stat().st_mode & 0o111);
        let finish = || -> io::Result<()> {
            rustix::fs::fchmod(&part, Mode::from_raw_mode(0o666) | executable)?;
            set_modified(&part, modified(file))?;
            take_name(directory, self.part, name)
        };
        let finished = copied.and_then(|()| finish().map_err(write));
        if finished.is_err() {
            // A full disk is not to stay full of something that is of no use.
            let _left = remove::child(directory, OsStr::new(self.part));
        }
        finished?;
        (self.put)(to);
        Ok(())
    }

    fn check_stop(&self, at: &Path) -> Result<(), CopyError> {
        match (self.stop)() {
            true => Err(reading(at, io::ErrorKind::Interrupted.into())),
            false => Ok(()),
        }
    }
}

/// Whether a link at `inside`, a path relative to the top, points to something below the top.
fn stays_inside(inside: &Path, points_to: &Path) -> bool {
    let mut depth = inside.components().count() - 1;
    for component in points_to.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn reading(path: &Path, error: io::Error) -> CopyError {
    CopyError { path: path.to_owned(), writing: false, error }
}

fn writing(path: &Path, error: io::Error) -> CopyError {
    CopyError { path: path.to_owned(), writing: true, error }
}
