//! Text of others, made harmless: what a task printed or is called may hold what a terminal obeys.
//!
//! Control characters are shown as their pictures (`␛`), and what turns the direction of writing as `�`. A terminal
//! never sees them; what goes to a file or a pipe as bytes stays what it was.

use std::borrow::Cow;

/// A text of several lines. Line ends of any kind become newlines: a carriage return alone would write over what
/// stands there.
pub fn text(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c == '\r' || picture(c).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' => shown.push('\n'),
            c => shown.push(picture(c).unwrap_or(c)),
        }
    }
    Cow::Owned(shown)
}

/// A text that has to stay on its line, and in its column.
pub fn cell(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| matches!(c, '\n' | '\r' | '\t') || picture(c).is_some();
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().map(|c| match c {
        '\n' => '\u{240a}',
        '\r' => '\u{240d}',
        '\t' => '\u{2409}',
        c => picture(c).unwrap_or(c),
    });
    Cow::Owned(shown.collect())
}

/// JSON for a terminal: what [`text`] shows as pictures is written as JSON writes it.
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.contains(|c| picture(c).is_some()) {
        return Cow::Borrowed(document);
    }
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        match picture(c) {
            // None of them lies beyond sixteen bits.
            Some(_) => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
            None => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// What is shown instead of a character that a terminal would obey.
fn picture(c: char) -> Option<char> {
    match c {
        '\n' | '\t' | '\r' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)),
        '\u{7f}' => Some('\u{2421}'),
        // C1, of which some terminals obey a few as they obey ESC; marks, embeddings, overrides and isolates of
        // direction; separators of lines.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => Some(char::REPLACEMENT_CHARACTER),
        _ => None,
    }
}

/// Bytes that come piece by piece, made harmless: a character cut in two is shown when its rest is there.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The beginning of a character; at most three bytes.
    begun: Vec<u8>,
    /// The last piece ended in a carriage return, of which is not known what it means.
    returned: bool,
}

impl Pieces {
    /// What can be shown by now.
    pub fn next(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let whole = whole(&all);
        self.begun = all.split_off(whole);
        let mut decoded = String::from_utf8_lossy(&all).into_owned();
        if std::mem::take(&mut self.returned) {
            decoded.insert(0, '\r');
        }
        if decoded.ends_with('\r') {
            decoded.pop();
            self.returned = true;
        }
        text(&decoded).into_owned()
    }
}

/// How many bytes there are without a character at the end that has only begun.
fn whole(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let Some(broken) = error.error_len() else { return bytes.len() - rest.len() + error.valid_up_to() };
        rest = &rest[error.valid_up_to() + broken..];
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(text("a\x1b[31mred\x07\u{9b}2J\x7f"), "a\u{241b}[31mred\u{2407}\u{fffd}2J\u{2421}");
        assert_eq!(text("10%\r20%\r\nend\tx\n"), "10%\n20%\nend\tx\n");
        assert_eq!(text("evil\u{202e}gpj.exe"), "evil\u{fffd}gpj.exe");
        assert_eq!(cell("two\nlines\tand\ra column"), "two\u{240a}lines\u{2409}and\u{240d}a column");
        assert_eq!(json("{\"a\": \"\u{9b}é\"}"), "{\"a\": \"\\u009bé\"}");
    }

    #[test]
    fn what_is_harmless_stays() {
        for harmless in ["", "plain\n", "zwölf µg\t→ 😀"] {
            assert!(matches!(text(harmless), Cow::Borrowed(same) if same == harmless));
        }
    }

    #[test]
    fn a_character_cut_in_two_is_shown_once_it_is_whole() {
        let mut pieces = Pieces::default();
        let shown: Vec<String> = ["a\u{20ac}".as_bytes(), b"\xff\r", b"\nx"]
            .iter()
            .flat_map(|piece| piece.chunks(2))
            .map(|piece| pieces.next(piece))
            .collect();
        assert_eq!(shown, ["a", "\u{20ac}", "\u{fffd}", "\nx"]);
    }

    proptest! {
        #[test]
        fn pieces_are_what_the_whole_is(bytes: Vec<u8>, size in 1_usize..9) {
            let mut pieces = Pieces::default();
            let mut shown: String = bytes.chunks(size).map(|piece| pieces.next(piece)).collect();
            // What has only begun comes with what follows.
            shown.push_str(&pieces.next(b"."));
            let whole = [&bytes[..], b"."].concat();
            prop_assert_eq!(shown, text(&String::from_utf8_lossy(&whole)).into_owned());
        }
    }
}
