//! A fault on its way to the report.

use std::io;
use std::path::Path;

use crate::report::FaultClass;

/// A fault before it is known whether a command of the user may have run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) class: FaultClass,
    pub(crate) message: String,
}

impl Trouble {
    pub(crate) fn new(class: FaultClass, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { class, message }
    }

    /// A file of the attempt that cannot be read or written.
    #[allow(clippy::wildcard_enum_match_arm)] // io::ErrorKind is open.
    pub(crate) fn disk(what: &str, path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let (class, advice) = match error.kind() {
            StorageFull | QuotaExceeded => (FaultClass::Misconfigured, "; make room there"),
            ReadOnlyFilesystem | PermissionDenied => (FaultClass::Misconfigured, "; make it writable for the server"),
            // Any other error may pass.
            _ => (FaultClass::Unavailable, ""),
        };
        Self::new(class, format!("{what} failed at {}: {error}{advice}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_for_the_operator() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let trouble = Trouble::disk("writing the report", Path::new("/w"), &full);
        assert_eq!(trouble.class, FaultClass::Misconfigured);
        assert!(trouble.message.contains("/w") && trouble.message.contains("make room"));
    }
}
