//! Domain values as columns, and back: what every store does, and texts as PostgreSQL can hold them.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub(super) use crate::store::columns::*;

/// Bytes of a tag's text that go into an index; of what is longer, the beginning and a digest.
const INDEXED: usize = 600;

/// A text as it is stored. NUL cannot be; order, equality and prefixes are those of the text itself.
pub(super) fn text(text: &str) -> String {
    if !text.contains(['\0', '\u{1}']) {
        return text.to_owned();
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => stored.push_str("\u{1}\u{1}"),
            '\u{1}' => stored.push_str("\u{1}\u{2}"),
            other => stored.push(other),
        }
    }
    stored
}

/// The text that was stored.
pub(super) fn from_text(stored: &str) -> String {
    if !stored.contains('\u{1}') {
        return stored.to_owned();
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1}' => text.push(if characters.next() == Some('\u{1}') { '\0' } else { '\u{1}' }),
            other => text.push(other),
        }
    }
    text
}

/// A tag's key or value as `tags` holds it: equal where the texts are equal, and never too long for an index. The tag
/// itself is read from the spec.
pub(super) fn tag(text: &str) -> String {
    let mut stored = self::text(text);
    if stored.len() <= INDEXED {
        return stored;
    }
    let digest = Sha256::digest(stored.as_bytes());
    stored.truncate(stored.floor_char_boundary(INDEXED));
    // No stored text has this pair.
    stored.push_str("\u{1}\u{3}");
    for byte in digest {
        // Writing to a String cannot fail.
        let _written = write!(stored, "{byte:02x}");
    }
    stored
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_tag_is_shortened_and_known_by_its_digest() {
        let long = "é".repeat(5_000);
        let other = format!("{long}x");
        assert!(tag(&long).len() < 700);
        assert_eq!(tag(&long), tag(&long.clone()));
        assert_ne!(tag(&long), tag(&other));
        assert_eq!(tag("short"), "short");
    }

    proptest! {
        #[test]
        fn texts_come_back_without_nul_and_in_their_order(a in "[\0\u{1}\u{2}ab]{0,6}", b in "[\0\u{1}\u{2}ab]{0,6}") {
            prop_assert!(!text(&a).contains('\0'));
            prop_assert_eq!(from_text(&text(&a)), a.clone());
            prop_assert_eq!(text(&a).cmp(&text(&b)), a.cmp(&b));
            prop_assert_eq!(text(&a).starts_with(&text(&b)), a.starts_with(&b));
        }
    }
}
