//! What went wrong, sorted by what may be done about it; and trying again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::copy::CopyError;
use crate::report::{Fault, FaultClass};

/// Something that went wrong with one input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What may be done about it.
    pub class: FaultClass,
    /// What was attempted, on what, and what happened. Without secrets.
    pub message: String,
    /// How long whoever was asked wants to be left alone.
    pub retry_after: Option<Duration>,
    /// What the one who asked may act on.
    pub why: Why,
}

/// Troubles that whoever asked may act on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Why {
    /// Nothing is there.
    Absent,
    /// A directory is there, not a file.
    Directory,
    /// It is another version than the one asked for.
    Changed,
    /// A range was asked for, and the storage knows none.
    Rangeless,
    /// Anything else.
    #[default]
    Other,
}

impl Trouble {
    /// It will never work.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Rejected, message)
    }

    /// It may work later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Unavailable, message)
    }

    /// An operator must act.
    pub fn misconfigured(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Misconfigured, message)
    }

    /// Nothing is there.
    pub fn absent(message: impl Into<String>) -> Self {
        Self { why: Why::Absent, ..Self::rejected(message) }
    }

    /// A trouble of a class.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None, why: Why::Other }
    }

    /// A file that could not be read.
    pub fn reading(message: impl Into<String>, error: &io::Error) -> Self {
        let for_good = matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput
        );
        let class = if for_good {
            FaultClass::Rejected
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            FaultClass::Misconfigured
        } else {
            FaultClass::Unavailable
        };
        let why = if error.kind() == io::ErrorKind::NotFound { Why::Absent } else { Why::Other };
        Self { why, ..Self::new(class, format!("{}: {error}", message.into())) }
    }

    /// A file that could not be written.
    pub fn writing(message: impl Into<String>, error: &io::Error) -> Self {
        let passes = [Errno::IO, Errno::STALE, Errno::TIMEDOUT, Errno::BUSY];
        // Something else stands where it was to be put.
        let in_the_way = matches!(
            error.kind(),
            io::ErrorKind::IsADirectory
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::InvalidFilename
        );
        let class = if in_the_way {
            FaultClass::Rejected
        } else if Errno::from_io_error(error).is_some_and(|errno| passes.contains(&errno)) {
            FaultClass::Unavailable
        } else {
            // A full disk, a quota, a missing right: an operator must act.
            FaultClass::Misconfigured
        };
        Self::new(class, format!("{}: {error}", message.into()))
    }

    /// A copy that failed on either side.
    pub(crate) fn copying(what: &str, error: &CopyError) -> Self {
        let message = format!("{what}: `{}`", error.path.display());
        match error.writing {
            true => Self::writing(message, &error.error),
            false => Self::reading(message, &error.error),
        }
    }

    /// The same, about something: its sentence begins with what it is about, unless it names the URL anyway.
    pub(crate) fn about(self, what: &str, with: &str, url: &str) -> Self {
        let message = match self.message.contains(url) {
            true => format!("{what}: {}", self.message),
            false => format!("{what} {with} `{url}`: {}", self.message),
        };
        Self { message, ..self }
    }

    /// The fault of a report.
    pub fn into_fault(self, user_code_started: bool) -> Fault {
        Fault { class: self.class, message: self.message, user_code_started }
    }
}

/// How often something that may pass is tried, and how long between.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Tries without any progress.
    pub tries: u32,
    /// The first wait; it doubles.
    pub first: Duration,
    /// The longest wait.
    pub most: Duration,
}

/// The longest that a server may ask to be left alone.
const ASKED_MOST: Duration = Duration::from_secs(3600);

impl Patience {
    /// For inputs: about half a minute.
    pub const DOWNLOAD: Self = Self { tries: 6, first: Duration::from_secs(1), most: Duration::from_secs(30) };

    /// For outputs: about twenty minutes, since days of computing may hang on them (TES contract 10.7).
    pub const UPLOAD: Self = Self { tries: 24, first: Duration::from_secs(1), most: Duration::from_secs(60) };

    /// Tries until it works, or will never work, or was tried often enough.
    pub async fn retry<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let mut failed = 0;
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(trouble) => {
                    failed += 1;
                    if self.wait(failed, &trouble).await.is_none() {
                        return Err(trouble);
                    }
                }
            }
        }
    }

    /// Waits before trying again; `None` when it was tried often enough. `failed` counts from one.
    pub async fn wait(&self, failed: u32, trouble: &Trouble) -> Option<()> {
        if failed >= self.tries || trouble.class != FaultClass::Unavailable {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << (failed - 1).min(16));
        let asked = trouble.retry_after.unwrap_or_default();
        tokio::time::sleep(doubled.min(self.most).max(asked.min(ASKED_MOST))).await;
        Some(())
    }
}

/// Tells work on other threads to stop when the future that wants it is dropped.
#[derive(Debug, Default)]
pub struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// The other end.
    pub fn flag(&self) -> Stop {
        Stop(Arc::clone(&self.0))
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The other end of [`StopOnDrop`].
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs blocking work on another thread.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Trouble::unavailable(format!("staging was cut short: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_to_be_left_alone_is_left_alone() {
        let patience = Patience { tries: 9, first: Duration::from_secs(1), most: Duration::from_secs(4) };
        for (failed, asked, waited) in [(1, 0, 1), (2, 0, 2), (5, 0, 4), (5, 2, 4), (1, 120, 120), (1, 90_000, 3600)] {
            let retry_after = Some(Duration::from_secs(asked));
            let begun = Instant::now();
            let trouble = Trouble { retry_after, ..Trouble::unavailable("it is busy") };
            assert_eq!(patience.wait(failed, &trouble).await, Some(()));
            assert_eq!(begun.elapsed().as_secs(), waited, "{failed} {asked}");
        }
    }
}
