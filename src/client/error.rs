//! What can go wrong, sorted by what the caller does next.

/// Why a server did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There was no answer at all.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// Whom.
        server: String,
        /// Why, in one line.
        reason: String,
    },
    /// It answered, and refused.
    #[error("{server} refused to {what} ({status}): {message}")]
    Refused {
        /// Who.
        server: String,
        /// What was asked.
        what: String,
        /// The status code.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// It answered something that is no TES.
    #[error("the answer of {server} to {what} is not TES: {reason}")]
    NotTes {
        /// Who.
        server: String,
        /// What was asked.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The call could not even be made.
    #[error("{0}")]
    Unusable(String),
}

impl ClientError {
    /// Whether the same question may be asked again in a moment with another result.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::NotTes { .. } | Self::Unusable(_) => false,
        }
    }
}
