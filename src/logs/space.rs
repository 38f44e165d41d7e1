//! Whether there is room on the disk. What is asked often is answered from memory.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer holds.
const HOLDS: Duration = Duration::from_secs(1);

/// The disk that the logs lie on.
#[derive(Debug)]
pub struct Space {
    folder: PathBuf,
    leave_free: u64,
    free: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    /// The disk of a folder, of which so many bytes are to be left free.
    pub fn new(folder: PathBuf, leave_free: u64) -> Self {
        Self { folder, leave_free, free: Mutex::default() }
    }

    /// How many bytes lack, as it is right now, until there are so many more free than are to be left so.
    pub fn lacking(&self, more: u64) -> io::Result<u64> {
        let mut known = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.measured()?;
        *known = Some((Instant::now(), free));
        Ok(self.leave_free.saturating_add(more).saturating_sub(free))
    }

    fn measured(&self) -> io::Result<u64> {
        let about = rustix::fs::statvfs(&self.folder)?;
        Ok(about.f_bavail.saturating_mul(about.f_frsize))
    }

    /// Fails when nothing more is to be written.
    pub fn check(&self) -> io::Result<()> {
        let mut known = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let free = match *known {
            Some((at, free)) if at.elapsed() < HOLDS => free,
            Some(_) | None => {
                let free = self.measured()?;
                *known = Some((Instant::now(), free));
                free
            }
        };
        if free >= self.leave_free {
            return Ok(());
        }
        let text = format!("{free} bytes are free on the disk of the logs, and {} are to be left so", self.leave_free);
        Err(io::Error::new(io::ErrorKind::StorageFull, text))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_left_free_is_left() {
        let folder = tempfile::tempdir().unwrap();
        Space::new(folder.path().to_owned(), 0).check().unwrap();
        let refused = Space::new(folder.path().to_owned(), u64::MAX).check().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
        let lacking = |leave, more| Space::new(folder.path().to_owned(), leave).lacking(more).unwrap();
        assert_eq!(lacking(0, 0), 0);
        assert!(lacking(0, u64::MAX) > 0 && lacking(u64::MAX, 1) > 0);
    }
}
