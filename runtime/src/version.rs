//! Reading a versioned document: the version first, then the rest.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It was written by a newer build.
    #[error("the {document} has version {found}, and this build reads up to {known}: update what reads it")]
    Newer {
        /// Which document.
        document: &'static str,
        /// Its version.
        found: u32,
        /// The highest one known here.
        known: u32,
    },
    /// It is not what it should be.
    #[error("the {document} is not valid: {error}")]
    Invalid {
        /// Which document.
        document: &'static str,
        /// What the parser says.
        error: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Reads a document whose version is at most `known`. A newer one may differ in anything but its version field,
/// so that is looked at first.
pub(crate) fn read<T: DeserializeOwned>(document: &'static str, known: u32, bytes: &[u8]) -> Result<T, Unreadable> {
    let invalid = |error| Unreadable::Invalid { document, error };
    let Version { version: found } = serde_json::from_slice(bytes).map_err(invalid)?;
    if found > known {
        return Err(Unreadable::Newer { document, found, known });
    }
    serde_json::from_slice(bytes).map_err(invalid)
}
