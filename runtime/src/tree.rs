//! A task's tree, reached only beneath its root.
//!
//! What a command has put into the tree is never trusted: the kernel resolves every path with the tree as its
//! root (`openat2`), so that an absolute link means what it meant in the container, and none leads out. There
//! are no checks of text, and so no race between a check and a use.
//!
//! Everything in a tree is open to every user of a container. On the host the directory around it is private.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::entry::{self, Entry};
use crate::layout::{Layout, Mount};
use crate::remove;

/// A directory that is resolved as a root.
#[derive(Debug, Clone)]
pub struct Tree {
    root: Arc<OwnedFd>,
    path: PathBuf,
}

/// A place where something is to be put: a directory and a name in it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) directory: OwnedFd,
    pub(crate) name: OsString,
}

const OPEN_TO_ALL: Mode = Mode::from_raw_mode(0o777);
const SHARED_TMP: Mode = Mode::from_raw_mode(0o1777);
const FILE_OPEN_TO_ALL: Mode = Mode::from_raw_mode(0o666);

impl Tree {
    /// Opens an existing directory as a tree.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Ok(Self { root: Arc::new(root), path: path.to_owned() })
    }

    /// The directory's path on this host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directories a layout asks for, open to every user; repeating it is harmless.
    pub fn prepare(&self, layout: &Layout) -> io::Result<()> {
        for directory in &layout.directories {
            self.make_directory(Path::new(directory)).map_err(|error| about(directory, &error))?;
        }
        if let Some(tmp) = self.find(Path::new("/tmp"))? {
            set_mode(&tmp, SHARED_TMP)?;
        }
        Ok(())
    }

    /// The host path of a mount's source, refused when a command has put a symbolic link on the way to it: an
    /// engine would follow it out of the tree. Ask right before each container is created and started.
    pub fn mount_source(&self, mount: &Mount) -> io::Result<PathBuf> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        self.locate(Path::new(&mount.tree), flags, Mode::empty(), resolve)
            .map_err(|error| about(&mount.container, &error))?;
        Ok(self.path.join(&mount.tree))
    }

    /// What is at a path, links followed inside the tree; `None` when nothing is.
    pub(crate) fn find(&self, path: &Path) -> io::Result<Option<Entry>> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match self.locate(path, flags, Mode::empty(), in_root()) {
            Ok(fd) => Entry::new(fd).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is at a path; a link in its last component is not followed.
    pub(crate) fn find_itself(&self, path: &Path) -> io::Result<Option<Entry>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self.locate(path, flags, Mode::empty(), in_root()) {
            Ok(fd) => Entry::new(fd).map(Some),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A directory, made with the ones above it where they are missing. New ones are open to every user.
    pub(crate) fn make_directory(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match self.locate(path, flags, Mode::empty(), in_root()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let parent = self.make_directory(parent)?;
        make_child(&parent, name)?;
        self.locate(path, flags, Mode::empty(), in_root())
    }

    /// Where something at this path is put; the directories above it are made.
    pub(crate) fn slot(&self, path: &Path) -> io::Result<Slot> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        Ok(Slot { directory: self.make_directory(parent)?, name: name.to_owned() })
    }

    /// Opens a file to write to it, made where it is missing, as it is where it exists. Never waits for the
    /// other end of a FIFO.
    pub(crate) fn open_to_write(&self, path: &Path) -> io::Result<File> {
        if let Some(parent) = path.parent() {
            self.make_directory(parent)?;
        }
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let made = self.locate(path, flags | OFlags::CREATE | OFlags::EXCL, FILE_OPEN_TO_ALL, in_root());
        let fd = match made {
            Ok(fd) => {
                rustix::fs::fchmod(&fd, FILE_OPEN_TO_ALL)?;
                fd
            }
            // Without `O_EXCL` a dangling link is followed to what it names in the tree, as `>` does.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.locate(path, flags | OFlags::CREATE, FILE_OPEN_TO_ALL, in_root())?
            }
            Err(error) => return Err(error),
        };
        Ok(File::from(fd))
    }

    /// Gives a file of the host a name in the tree, in the place of what bears it. Only when nothing in a container
    /// can write to it any more.
    pub(crate) fn link(&self, file: &Path, path: &Path) -> io::Result<()> {
        let slot = self.slot(path)?;
        remove::child(slot.directory.as_fd(), &slot.name)?;
        Ok(rustix::fs::linkat(CWD, file, &slot.directory, &slot.name, AtFlags::empty())?)
    }

    /// Removes what is at a path, a directory with everything in it.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        match self.find(parent)? {
            Some(parent) => remove::child(parent.as_fd(), name),
            None => Ok(()),
        }
    }

    fn locate(&self, path: &Path, flags: OFlags, mode: Mode, resolve: ResolveFlags) -> io::Result<OwnedFd> {
        // The kernel gives up with EAGAIN when something on the way is renamed while it looks.
        const TRIES: usize = 64;
        let mut tries = 0;
        loop {
            tries += 1;
            match rustix::fs::openat2(&self.root, path, flags, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => {}
                Ok(fd) => return Ok(fd),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn in_root() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}

/// Makes a directory in a directory, open to every user; one that exists is left as it is.
pub(crate) fn make_child(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::mkdirat(&directory, name, OPEN_TO_ALL) {
        Ok(()) => {
            // The mode given above is cut by the umask.
            if let Some(made) = entry::child(directory.as_fd(), name)? {
                set_mode(&made, OPEN_TO_ALL)?;
            }
            Ok(())
        }
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn set_mode(directory: &Entry, mode: Mode) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(directory, ".", flags, Mode::empty())?;
    Ok(rustix::fs::fchmod(fd, mode)?)
}

/// Nothing is there: no entry, or something on the way is not a directory.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn about(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{path}` in the task's tree: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::entry::EntryKind;

    fn tree() -> (tempfile::TempDir, Tree) {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("tree");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(around.path().join("secret"), "secret").unwrap();
        let tree = Tree::open(&root).unwrap();
        (around, tree)
    }

    #[test]
    fn links_mean_what_they_mean_in_the_container() {
        let (_around, tree) = tree();
        std::fs::create_dir(tree.path().join("data")).unwrap();
        std::fs::write(tree.path().join("data/x"), "x").unwrap();
        symlink("/data/x", tree.path().join("absolute")).unwrap();
        symlink("../../../../data/x", tree.path().join("relative")).unwrap();
        for link in ["/absolute", "/relative"] {
            let entry = tree.find(Path::new(link)).unwrap().unwrap();
            assert_eq!(entry.kind(), EntryKind::File);
            let itself = tree.find_itself(Path::new(link)).unwrap().unwrap();
            assert_eq!(itself.kind(), EntryKind::Link);
        }
    }

    #[test]
    fn nothing_leads_out() {
        let (around, tree) = tree();
        let secret = around.path().join("secret");
        symlink(&secret, tree.path().join("a")).unwrap();
        symlink("../secret", tree.path().join("b")).unwrap();
        symlink("/proc/self/root", tree.path().join("c")).unwrap();
        for path in ["/a", "/b", "/../secret", "/c/etc", "/b/../../secret"] {
            assert!(tree.find(Path::new(path)).unwrap().is_none(), "{path}");
        }

        // What is written through such a link lands in the tree, where it also would in the container.
        let mut file = tree.open_to_write(Path::new("/b")).unwrap();
        file.write_all(b"mine").unwrap();
        assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
        assert_eq!(std::fs::read(tree.path().join("secret")).unwrap(), b"mine");
        symlink(around.path(), tree.path().join("up")).unwrap();
        assert!(tree.make_directory(Path::new("/up/new")).is_err());
        assert!(!around.path().join("new").exists());
    }

    #[test]
    fn a_mount_source_is_reached_without_links() {
        let (_around, tree) = tree();
        let mount = |tree: &str| Mount { container: format!("/{tree}"), tree: tree.into(), directory: true };
        std::fs::create_dir_all(tree.path().join("a/b")).unwrap();
        let source = tree.mount_source(&mount("a/b")).unwrap();
        assert_eq!(source, tree.path().join("a/b"));
        symlink("/etc", tree.path().join("a/c")).unwrap();
        symlink("a", tree.path().join("d")).unwrap();
        for linked in ["a/c", "d/b", "missing"] {
            let error = tree.mount_source(&mount(linked)).unwrap_err();
            assert!(error.to_string().contains(&format!("/{linked}")));
        }
    }

    #[test]
    fn rule_11_4_and_11_6_directories_are_open_to_all() {
        let (_around, tree) = tree();
        let layout =
            crate::layout::Layout::of(&crate::plan::Plan { volumes: vec!["/v/w".into()], ..minimal() }).unwrap();
        tree.prepare(&layout).unwrap();
        tree.prepare(&layout).unwrap();
        let mode = |path: &str| {
            let meta = std::fs::metadata(tree.path().join(path)).unwrap();
            meta.permissions().mode() & 0o7777
        };
        assert_eq!(mode("v"), 0o777);
        assert_eq!(mode("v/w"), 0o777);
        assert_eq!(mode("tmp"), 0o1777);
    }

    #[test]
    fn a_stream_is_never_a_blocking_fifo() {
        let (_around, tree) = tree();
        rustix::fs::mkfifoat(&*tree.root, "fifo", Mode::RUSR | Mode::WUSR).unwrap();
        assert!(tree.open_to_write(Path::new("/fifo")).is_err());
    }

    #[test]
    fn removing_does_not_follow_links() {
        let (around, tree) = tree();
        std::fs::create_dir_all(tree.path().join("d/e")).unwrap();
        symlink(around.path(), tree.path().join("d/e/up")).unwrap();
        tree.remove(Path::new("/d")).unwrap();
        tree.remove(Path::new("/d")).unwrap();
        assert!(!tree.path().join("d").exists());
        assert!(around.path().join("secret").exists());
    }

    fn minimal() -> crate::plan::Plan {
        crate::plan::Plan::read(br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#).unwrap()
    }
}
