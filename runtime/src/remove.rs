//! Removing whatever a command has left behind, however deep.
//!
//! Nothing here recurses and no more than three descriptors are open at a time: a directory found two levels below
//! the one that is being removed is moved up into it, under a fresh name, until nothing is deep any more. Links are
//! removed, never followed; a crash half-way leaves a directory that is removed by doing it again.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// How the name of a directory begins that was moved up.
const MOVED: &str = ".gone-";

/// Removes what is at a path, a directory with everything in it. Nothing there is fine.
pub fn path(path: &Path) -> io::Result<()> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{}` cannot be removed", path.display()));
    let name = path.file_name().ok_or_else(invalid)?;
    let above = match path.parent() {
        Some(above) if above != Path::new("") => above,
        Some(_) | None => Path::new("."),
    };
    match rustix::fs::open(above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(above) => child(above.as_fd(), name),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes what is at a name in a directory, a directory with everything in it. Nothing there is fine.
pub(crate) fn child(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    if unlinked(directory, name)? {
        return Ok(());
    }
    let mut top = open(directory, name)?;
    let mut moved = 0;
    // Reading a directory while it changes may leave out some of it: it is empty when a reading finds nothing.
    loop {
        let mut empty = true;
        top.rewind();
        while let Some(entry) = top.read() {
            let entry = entry?;
            let name = entry.file_name();
            if is_dots(name.to_bytes()) {
                continue;
            }
            empty = false;
            if !unlinked(top.fd()?, name)? {
                flatten(top.fd()?, name, &mut moved)?;
            }
        }
        if empty {
            break;
        }
    }
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a directory of `top`, whose own directories are moved up into `top`.
fn flatten(top: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy, moved: &mut u64) -> io::Result<()> {
    let mut directory = open(top, name)?;
    loop {
        while let Some(entry) = directory.read() {
            let entry = entry?;
            let below = entry.file_name();
            if !is_dots(below.to_bytes()) && !unlinked(directory.fd()?, below)? {
                move_up(directory.fd()?, below, top, moved)?;
            }
        }
        match rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => directory.rewind(),
            Err(error) => return Err(error.into()),
        }
    }
}

fn move_up(
    from: BorrowedFd<'_>,
    name: impl rustix::path::Arg + Copy,
    top: BorrowedFd<'_>,
    moved: &mut u64,
) -> io::Result<()> {
    loop {
        *moved += 1;
        match rustix::fs::renameat(from, name, top, format!("{MOVED}{moved}")) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // The name is taken, by a former try or by someone who knew it.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a file, a link or an empty directory; false for a directory with something in it.
fn unlinked(directory: BorrowedFd<'_>, name: impl rustix::path::Arg + Copy) -> io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn open(directory: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Dir::new(rustix::fs::openat(directory, name, flags, Mode::empty())?)?)
}

fn is_dots(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// Set in the process that has hardly any descriptors.
    const FEW: &str = "TESSERA_TEST_FEW_DESCRIPTORS";

    /// A chain of directories, with something beside some of them, whose paths are far longer than any path may be.
    fn dig(top: &Path, outside: &Path, levels: usize) {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at: OwnedFd = rustix::fs::open(top, flags, Mode::empty()).unwrap();
        for level in 0..levels {
            rustix::fs::mkdirat(&at, "deeper", Mode::from_raw_mode(0o755)).unwrap();
            if level % 500 == 0 {
                rustix::fs::mkdirat(&at, "empty", Mode::from_raw_mode(0o755)).unwrap();
                rustix::fs::mkdirat(&at, ".gone-1", Mode::from_raw_mode(0o755)).unwrap();
                rustix::fs::symlinkat(outside, &at, "link").unwrap();
                rustix::fs::symlinkat(outside, &at, ".gone-2").unwrap();
            }
            at = rustix::fs::openat(&at, "deeper", flags, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn depth_costs_neither_stack_nor_descriptors_and_no_link_is_followed() {
        if std::env::var_os(FEW).is_none() {
            let again = Command::new("sh")
                .args(["-c", "ulimit -n 24 && exec \"$@\"", "sh"])
                .arg(std::env::current_exe().unwrap())
                .args(["depth_costs_neither", "--test-threads=1"])
                .env(FEW, "1")
                .env("RUST_MIN_STACK", "131072")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&again.stdout);
            assert!(again.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
        fs::create_dir(&top).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        dig(&top, &outside, 5_000);
        path(&top).unwrap();
        assert!(fs::symlink_metadata(&top).is_err());
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    }

    #[test]
    fn a_link_a_file_and_nothing_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("outside")).unwrap();
        fs::write(at("outside/kept"), "kept").unwrap();
        fs::write(at("file"), "").unwrap();
        symlink(at("outside"), at("link")).unwrap();
        for name in ["link", "file", "nothing", "nowhere/nothing"] {
            path(&at(name)).unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(at("outside/kept").exists());
        assert!(path(Path::new("/")).is_err());
    }

    #[test]
    fn wide_directories_go_too() {
        let dir = tempfile::tempdir().unwrap();
        for (a, b) in (0..40).flat_map(|a| (0..40).map(move |b| (a, b))) {
            fs::create_dir_all(dir.path().join(format!("top/{a}/{b}/c"))).unwrap();
        }
        path(&dir.path().join("top")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
