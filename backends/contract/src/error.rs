//! Errors of a backend, sorted by what the engine does next.

/// Why a backend did not do what it was asked. Each message says what was attempted, on what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// This job will never run here.
    #[error("{0}")]
    Rejected(String),
    /// Not now: try later, with backoff.
    #[error("{0}")]
    Unavailable(String),
    /// Not before an operator acts.
    #[error("{0}")]
    Misconfigured(String),
}
