//! How much disk a directory takes: the blocks of everything in it, what has several names counted once.
//!
//! What is in there belongs to a command that may be at work: no link is followed, nothing is opened but directories,
//! what vanishes meanwhile is passed over, and depth costs neither stack nor, to speak of, descriptors.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

/// Bytes in one of the blocks that `stat` counts in, whatever the file system's own are.
const BLOCK: u64 = 512;
/// Below this many bytes a path is resolved from where its beginning is; a longer one begins anew.
const LONG_PATH: usize = 2_048;

/// A directory still to be looked into: where its path begins, and the path.
type Ahead = (Rc<OwnedFd>, PathBuf);

/// The bytes that a directory takes; `None` when `give_up` said so before the end, asked once a directory.
pub(crate) fn weigh(root: &Path, give_up: &dyn Fn() -> bool) -> io::Result<Option<u64>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = Rc::new(rustix::fs::openat(CWD, root, flags, Mode::empty())?);
    let mut ahead: Vec<Ahead> = vec![(root, PathBuf::from("."))];
    let mut several_names = HashSet::new();
    let mut bytes: u64 = 0;
    while let Some((from, path)) = ahead.pop() {
        if give_up() {
            return Ok(None);
        }
        let Ok((from, path, mut directory)) = open(from, path) else {
            continue;
        };
        while let Some(Ok(entry)) = directory.read() {
            let name = entry.file_name();
            if [b".".as_slice(), b".."].contains(&name.to_bytes()) {
                continue;
            }
            let Ok(stat) = rustix::fs::statat(directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory || stat.st_nlink < 2 || several_names.insert((stat.st_dev, stat.st_ino)) {
                bytes = bytes.saturating_add(u64::try_from(stat.st_blocks).unwrap_or_default().saturating_mul(BLOCK));
            }
            if is_directory {
                ahead.push((Rc::clone(&from), path.join(OsStr::from_bytes(name.to_bytes()))));
            }
        }
    }
    Ok(Some(bytes))
}

/// Opens a directory; answers from where, and by which path, what is in it is reached.
fn open(from: Rc<OwnedFd>, path: PathBuf) -> io::Result<(Rc<OwnedFd>, PathBuf, Dir)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let fd = rustix::fs::openat2(&from, &path, flags, Mode::empty(), beneath)?;
    if path.as_os_str().len() < LONG_PATH {
        return Ok((from, path, Dir::new(fd)?));
    }
    let directory = Dir::read_from(&fd)?;
    Ok((Rc::new(fd), PathBuf::from("."), directory))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    fn weight(root: &Path) -> u64 {
        weigh(root, &|| false).unwrap().unwrap()
    }

    #[test]
    fn what_has_two_names_counts_once_and_links_count_for_nothing() {
        let (around, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| around.path().join(name);
        assert_eq!(weight(around.path()), 0);
        fs::write(at("a"), vec![1; 1 << 20]).unwrap();
        let one = weight(around.path());
        assert!((1 << 20..3 << 19).contains(&one), "{one}");
        fs::hard_link(at("a"), at("b")).unwrap();
        assert_eq!(weight(around.path()), one);
        fs::write(outside.path().join("large"), vec![1; 4 << 20]).unwrap();
        std::os::unix::fs::symlink(outside.path(), at("link")).unwrap();
        assert!(weight(around.path()) < one + (1 << 20));
        // A file with a hole takes what is in it.
        fs::File::create(at("hole")).unwrap().set_len(1 << 40).unwrap();
        assert!(weight(around.path()) < one + (1 << 20));
    }

    #[test]
    fn depth_hides_nothing() {
        let around = tempfile::tempdir().unwrap();
        let mut fd = fs::File::open(around.path()).unwrap().into();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&fd, "dd", Mode::from_raw_mode(0o755)).unwrap();
            fd = rustix::fs::openat(&fd, "dd", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let before = weight(around.path());
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let file = rustix::fs::openat(&fd, "file", flags, Mode::from_raw_mode(0o644)).unwrap();
        io::Write::write_all(&mut fs::File::from(file), &vec![1; 1 << 20]).unwrap();
        assert!(weight(around.path()) >= before + (1 << 20));
        crate::remove::path(&around.path().join("dd")).unwrap();
    }

    #[test]
    fn it_can_be_given_up() {
        let around = tempfile::tempdir().unwrap();
        assert_eq!(weigh(around.path(), &|| true).unwrap(), None);
        assert!(weigh(&around.path().join("missing"), &|| false).is_err());
    }
}
