//! Files of the host, confined to configured roots (TES contract 9.7).
//!
//! A path is made canonical, compared with the roots by component, and then opened beneath its root without
//! following a single link: whoever changes the way in between gets an error, not another file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use sha2::{Digest, Sha256};

use crate::copy::Place;
use crate::entry::{Entry, EntryKind};
use crate::part::{Failed, create_part, take_name};
use crate::remove;
use crate::storage::settings::Storage;
use crate::storage::trouble::{Stop, Trouble};
use crate::tree::is_absent;

/// The part of the host that a job may read from and write to.
#[derive(Debug, Clone)]
pub(super) struct Host {
    roots: Vec<PathBuf>,
    forbidden: Vec<PathBuf>,
    /// The forbidden directories themselves, however they are reached.
    forbidden_identities: Vec<(u64, u64)>,
    owner: Option<Owner>,
    mode: u32,
    directory_mode: u32,
}

/// Whose delivered files are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: Option<u32>,
    /// An operator asked for it, so it has to be.
    demanded: bool,
}

/// What was written to the host.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) size_bytes: u64,
    pub(super) sha256: String,
}

impl Host {
    /// What a plan's settings allow; `container_user` counts where they do not say whose delivered files are.
    pub(super) fn new(storage: &Storage, container_user: Option<&str>) -> Self {
        // A root that does not exist holds nothing; a forbidden one may come into being.
        let canonical = |path: &String| Path::new(path).canonicalize();
        let forbidden: Vec<PathBuf> = (storage.file_forbidden.iter())
            .map(|path| canonical(path).unwrap_or_else(|_| PathBuf::from(path)))
            .collect();
        let forbidden_identities =
            (forbidden.iter()).filter_map(|path| open_itself(path).ok()).map(|entry| entry.identity()).collect();
        Self {
            roots: storage.file_roots.iter().filter_map(|root| canonical(root).ok()).collect(),
            forbidden,
            forbidden_identities,
            owner: owner(storage.ownership.owner, container_user),
            mode: storage.ownership.mode.unwrap_or(0o644),
            directory_mode: storage.ownership.directory_mode.unwrap_or(0o755),
        }
    }

    /// What a path leads to.
    pub(super) fn find(&self, path: &Path) -> Result<Entry, Trouble> {
        let shown = path.display();
        let canonical =
            path.canonicalize().map_err(|error| Trouble::reading(format!("cannot read `{shown}`"), &error))?;
        let root = self.root_of(&canonical, path)?;
        let entry = open_beneath(root, &canonical, OFlags::PATH).and_then(Entry::new);
        entry.map_err(|error| Trouble::reading(format!("cannot read `{shown}`"), &error))
    }

    /// The root a canonical path lies below, unless it is forbidden; `path` is what it was called.
    fn root_of(&self, canonical: &Path, path: &Path) -> Result<&Path, Trouble> {
        let shown = path.display();
        if self.forbidden.iter().any(|forbidden| canonical.starts_with(forbidden)) {
            let message = format!("`{shown}` lies in a directory that no task may use");
            return Err(Trouble::rejected(message));
        }
        // The innermost, should one lie in another.
        let roots = self.roots.iter().filter(|root| canonical.starts_with(root));
        let root = roots.max_by_key(|root| root.components().count());
        root.map(PathBuf::as_path).ok_or_else(|| {
            Trouble::rejected(format!("`{shown}` lies outside the directories that tasks may use on this server"))
        })
    }

    /// Whether all of a directory is open to tasks: nothing forbidden lies in it, and no root with rules of its own.
    pub(super) fn is_open(&self, directory: &Path) -> bool {
        let canonical = directory.canonicalize().is_ok_and(|canonical| canonical == directory);
        let inside = |path: &&PathBuf| path.starts_with(directory) && *path != directory;
        let forbidden = self.forbidden.iter().any(|path| path.starts_with(directory) || directory.starts_with(path));
        canonical && !forbidden && !self.roots.iter().any(|root| inside(&root))
    }

    /// A directory to write into, made with those above it where they are missing.
    pub(super) fn make_directory(&self, path: &Path) -> Result<OwnedFd, Trouble> {
        let trouble =
            |error: &io::Error| Trouble::writing(format!("cannot make the directory `{}`", path.display()), error);
        let (canonical, missing) = split(path).map_err(|error| trouble(&error))?;
        let whole = canonical.join(&missing);
        let root = self.root_of(&whole, path)?;
        // The way to the root itself is not ours to make.
        if !canonical.starts_with(root) {
            return Err(trouble(&io::ErrorKind::NotFound.into()));
        }
        let make = || -> io::Result<OwnedFd> {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let mut directory = open_beneath(root, &canonical, flags)?;
            for name in missing.components() {
                let made = rustix::fs::mkdirat(&directory, name.as_os_str(), Mode::from_raw_mode(0o700));
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let open = || rustix::fs::openat(&directory, name.as_os_str(), flags, Mode::empty());
                directory = match made {
                    Ok(()) => {
                        let made = open()?;
                        self.give_away(&made, self.directory_mode)?;
                        rustix::fs::fsync(&directory)?;
                        made
                    }
                    // Made by someone else at the same time.
                    Err(rustix::io::Errno::EXIST) => open()?,
                    Err(error) => return Err(error.into()),
                };
            }
            Ok(directory)
        };
        make().map_err(|error| trouble(&error))
    }

    /// Writes a file: under a temporary name, durably, then renamed; counted and hashed on the way.
    pub(super) fn write(&self, source: &Entry, path: &Path, part: &str, stop: &Stop) -> Result<Written, Trouble> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            let message = format!("`{}` does not name a file", path.display());
            return Err(Trouble::rejected(message));
        };
        let directory = self.make_directory(parent)?;
        let reading = |error: io::Error| Trouble::reading("cannot read the output", &error);
        let writing = |error: io::Error| Trouble::writing(format!("cannot write `{}`", path.display()), &error);
        let mut from = source.open_file().map_err(reading)?;
        let mut to = create_part(&directory, part).map_err(writing)?;
        let written = copy_hashed(&mut from, &mut to, stop).map_err(|failed| match failed {
            Failed::Reading(error) => reading(error),
            Failed::Writing(error) => writing(error),
        });
        let finish = || -> io::Result<()> {
            // Those who may read it may run it, if anyone may.
            let executable = if source.stat().st_mode & 0o111 == 0 { 0 } else { (self.mode & 0o444) >> 2 };
            self.give_away(&to, self.mode | executable)?;
            rustix::fs::fsync(&to)?;
            take_name(&directory, part, name)?;
            Ok(rustix::fs::fsync(&directory)?)
        };
        let finished = written.and_then(|written| finish().map(|()| written).map_err(writing));
        if finished.is_err() {
            // What is left of it is of no use; that it cannot be removed is not worth hiding the reason.
            let _left = remove::child(directory.as_fd(), part.as_ref());
        }
        finished
    }
}

impl Host {
    /// Sets whose something new is, and who may do what with it: the owner first, since giving away takes rights away.
    fn give_away(&self, new: impl AsFd, mode: u32) -> io::Result<()> {
        if let Some(owner) = self.owner {
            let (user, group) = (Uid::from_raw(owner.user), owner.group.map(Gid::from_raw));
            match rustix::fs::fchown(&new, Some(user), group) {
                // A file system without owners, or one where we are nobody: the content counts more.
                Err(_) if !owner.demanded => {}
                given => given?,
            }
        }
        Ok(rustix::fs::fchmod(&new, Mode::from_raw_mode(mode))?)
    }
}

/// Whose delivered files are: as configured, or the task's user where that is a number and we may give files away.
fn owner(configured: Option<(u32, u32)>, container_user: Option<&str>) -> Option<Owner> {
    if let Some((user, group)) = configured {
        return Some(Owner { user, group: Some(group), demanded: true });
    }
    let text = container_user.filter(|_| rustix::process::geteuid().is_root())?;
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    Some(Owner { user: user.parse().ok()?, group: group.and_then(|group| group.parse().ok()), demanded: false })
}

impl Place for Host {
    fn follow(&self, path: &Path) -> io::Result<Option<Entry>> {
        match self.find(path) {
            Ok(entry) => Ok(Some(entry)),
            Err(_) if path.canonicalize().is_err_and(|error| is_absent(&error)) => Ok(None),
            Err(trouble) => Err(io::Error::other(trouble.message)),
        }
    }

    fn forbids(&self, entry: &Entry) -> bool {
        entry.kind() == EntryKind::Directory && self.forbidden_identities.contains(&entry.identity())
    }
}

fn open_itself(path: &Path) -> io::Result<Entry> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Entry::new(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Opens a canonical path beneath its root.
fn open_beneath(root: &Path, canonical: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let below = canonical.strip_prefix(root).map_err(io::Error::other)?;
    let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, directory, Mode::empty())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(root, below, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
}

/// The part of a path that exists, made canonical, and the rest, which has no `..`.
fn split(path: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        match existing.canonicalize() {
            Ok(canonical) => return Ok((canonical, missing.iter().rev().collect())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                // A link to nothing must not be taken for a directory to make. What is a directory by now was made
                // by someone else, and is found again on the way.
                let dangling = existing.is_symlink();
                match (existing.components().next_back(), existing.parent()) {
                    (Some(Component::Normal(name)), Some(parent)) if !dangling => {
                        missing.push(name);
                        existing = parent;
                    }
                    _ => return Err(error),
                }
            }
        }
    }
}

fn copy_hashed(from: &mut File, to: &mut File, stop: &Stop) -> Result<Written, Failed> {
    let mut hash = Sha256::new();
    let mut size_bytes = 0u64;
    let mut buffer = vec![0; 1 << 20];
    loop {
        if stop.asked() {
            return Err(Failed::Reading(io::ErrorKind::Interrupted.into()));
        }
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Failed::Reading(error)),
        };
        hash.update(&buffer[..length]);
        to.write_all(&buffer[..length]).map_err(Failed::Writing)?;
        size_bytes += length as u64;
    }
    Ok(Written { size_bytes, sha256: hex(&hash.finalize()) })
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
