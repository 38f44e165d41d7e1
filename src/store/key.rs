//! Callers' own names for creations, so that a lost answer can be asked for again.

use crate::task::TaskId;

/// The longest, bytes.
const LONGEST: usize = 255;

/// A caller's own name for a creation: 1 to 255 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// A text that can be a key.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a creation that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The task is new.
    New,
    /// The same task was created under this name before: here it is.
    Known(TaskId),
    /// Another task was created under this name before.
    Differs,
}
