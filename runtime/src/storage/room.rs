//! Whether a disk has room.

use std::fs::File;

use super::trouble::Trouble;

/// What is left to others: a disk that is quite full stops more than one task.
const LEFT: u64 = 64 << 20;

/// Whether the disk that holds a file has room for so many bytes more.
pub(super) fn has(file: &File, bytes: u64) -> Result<(), Trouble> {
    // A file system that does not tell is found out by writing.
    let Ok(about) = rustix::fs::fstatvfs(file) else { return Ok(()) };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if free >= bytes.saturating_add(LEFT) {
        return Ok(());
    }
    Err(Trouble::misconfigured(format!(
        "there is no room on the disk of the task's files: {bytes} bytes more are needed, {free} are free"
    )))
}
