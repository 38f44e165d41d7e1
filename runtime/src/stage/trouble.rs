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
pub(super) struct Trouble {
    pub(super) class: FaultClass,
    /// What was attempted, on what, and what happened.
    pub(super) message: String,
    /// How long whoever was asked wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Trouble {
    pub(super) fn rejected(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Rejected, message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Unavailable, message)
    }

    pub(super) fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), retry_after: None }
    }

    /// A file that could not be read.
    pub(super) fn reading(message: impl Into<String>, error: &io::Error) -> Self {
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
        Self::new(class, format!("{}: {error}", message.into()))
    }

    /// A file that could not be written.
    pub(super) fn writing(message: impl Into<String>, error: &io::Error) -> Self {
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
    pub(super) fn copying(what: &str, error: &CopyError) -> Self {
        let message = format!("{what}: `{}`", error.path.display());
        match error.writing {
            true => Self::writing(message, &error.error),
            false => Self::reading(message, &error.error),
        }
    }

    pub(super) fn into_fault(self, user_code_started: bool) -> Fault {
        Fault { class: self.class, message: self.message, user_code_started }
    }
}

/// How often something that may pass is tried, and how long between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Tries without any progress.
    pub(super) tries: u32,
    /// The first wait; it doubles.
    pub(super) first: Duration,
    /// The longest wait.
    pub(super) most: Duration,
}

impl Patience {
    /// For inputs: about half a minute.
    pub(super) const DOWNLOAD: Self = Self { tries: 6, first: Duration::from_secs(1), most: Duration::from_secs(30) };

    /// For outputs: about twenty minutes, since days of computing may hang on them (TES contract 10.7).
    pub(super) const UPLOAD: Self = Self { tries: 24, first: Duration::from_secs(1), most: Duration::from_secs(60) };

    /// Waits before trying again; `None` when it was tried often enough. `failed` counts from one.
    pub(super) async fn wait(&self, failed: u32, trouble: &Trouble) -> Option<()> {
        if failed >= self.tries || trouble.class != FaultClass::Unavailable {
            return None;
        }
        let doubled = self.first.saturating_mul(1 << (failed - 1).min(16));
        let asked = trouble.retry_after.unwrap_or_default();
        tokio::time::sleep(doubled.max(asked).min(self.most)).await;
        Some(())
    }
}

/// Tells work on other threads to stop when the future that wants it is dropped.
#[derive(Debug, Default)]
pub(super) struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    pub(super) fn flag(&self) -> Stop {
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
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(super) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs blocking work on another thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Trouble::unavailable(format!("staging was cut short: {error}"))),
    }
}
