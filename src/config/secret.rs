//! A text that never prints.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

/// What a secret prints as, wherever it is printed.
const HIDDEN: &str = "…";

/// A token or password. Read from a file like any text; written, debugged and logged as `…`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret made of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that compares or sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret of a key that may be given as text or by a file. Exactly one of them must say something; the
    /// error is a sentence. White space at the file's end does not belong to the secret.
    pub fn resolve(text: &Secret, file: Option<&Path>) -> Result<Secret, String> {
        match (text.is_empty(), file) {
            (false, None) => Ok(text.clone()),
            (false, Some(_)) => Err("given both as text and as a file; keep one of them".to_owned()),
            (true, None) => Err("missing or empty; give it as text, or by the key with `_file` at its end".to_owned()),
            (true, Some(path)) => {
                let read = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the secret from `{}`: {error}", path.display()))?;
                let secret = read.trim_end();
                if secret.is_empty() {
                    return Err(format!("`{}` holds no secret: it is empty", path.display()));
                }
                Ok(Secret::new(secret))
            }
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { HIDDEN })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_in_no_form() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "…");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"…\"");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn a_file_gives_the_secret_without_its_last_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "s3cret\n").unwrap();
        assert_eq!(Secret::resolve(&Secret::default(), Some(&path)), Ok(Secret::new("s3cret")));
        std::fs::write(&path, "\n").unwrap();
        assert!(Secret::resolve(&Secret::default(), Some(&path)).is_err());
        assert!(Secret::resolve(&Secret::new("a"), Some(&path)).is_err());
        assert!(Secret::resolve(&Secret::default(), None).is_err());
    }
}
