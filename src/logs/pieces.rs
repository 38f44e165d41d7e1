//! Pieces of logs, and where one who reads them stands.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use tessera_contract::Stream;

use super::picture::{STREAMS, index};

/// The longest piece.
pub const LONGEST: usize = 16 * 1024;

/// Which logs of a task are read; `None` is all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection {
    /// The attempt.
    pub attempt: Option<u32>,
    /// The executor's index.
    pub executor: Option<u32>,
    /// The stream.
    pub stream: Option<Stream>,
}

impl Selection {
    /// The streams that are read.
    pub fn streams(self) -> impl Iterator<Item = Stream> {
        STREAMS.into_iter().filter(move |stream| self.stream.is_none_or(|wanted| wanted == *stream))
    }
}

/// Where one stands who reads a task's logs: everything of former attempts and executors is read, and of this one so
/// many bytes of each stream. As a text it is `attempt.executor.stdout.stderr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The attempt.
    pub attempt: u32,
    /// The executor's index.
    pub executor: u32,
    /// The bytes read of each stream.
    pub at: [u64; 2],
}

impl Cursor {
    /// Where what is selected begins.
    pub fn start(selection: Selection) -> Self {
        Self { attempt: selection.attempt.unwrap_or(1), executor: selection.executor.unwrap_or(0), at: [0, 0] }
    }

    /// The bytes read of a stream.
    pub fn of(&self, stream: Stream) -> u64 {
        self.at[index(stream)]
    }

    /// Behind some more bytes of a stream.
    pub fn behind(mut self, stream: Stream, bytes: u64) -> Self {
        let at = &mut self.at[index(stream)];
        // What a caller says where it stands may be anything.
        *at = at.saturating_add(bytes);
        self
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, executor, at: [out, err] } = self;
        write!(f, "{attempt}.{executor}.{out}.{err}")
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        // Digits only: what Rust reads besides (a sign) is no cursor of ours.
        let mut number = || -> Result<u64, ()> {
            let part = parts.next().filter(|part| part.bytes().all(|b| b.is_ascii_digit())).ok_or(())?;
            part.parse().map_err(|_| ())
        };
        let short = |number: u64| u32::try_from(number).map_err(|_| ());
        let cursor = Self { attempt: short(number()?)?, executor: short(number()?)?, at: [number()?, number()?] };
        if parts.next().is_some() || cursor.attempt == 0 { Err(()) } else { Ok(cursor) }
    }
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The attempt.
    pub attempt: u32,
    /// The executor's index.
    pub executor: u32,
    /// The stream.
    pub stream: Stream,
    /// Where it begins.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// Where one stands who has read it.
    pub behind: Cursor,
}

/// How many of some bytes may be said as a text, or, when they do not begin with one, how many are said as bytes; 0
/// when a character is not all there yet. At the end of a log nothing more comes.
pub fn cut(bytes: &[u8], is_end: bool) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) => bytes.len(),
        Err(error) if error.valid_up_to() > 0 => error.valid_up_to(),
        Err(error) if error.error_len().is_none() && !is_end => 0,
        Err(_) => bytes.len(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_said_and_nothing_else_is() {
        let cursor = Cursor { attempt: 2, executor: 1, at: [7, u64::MAX] };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in [
            "",
            "1",
            "1.0.0",
            "1.0.0.0.0",
            "0.0.0.0",
            "1.0.-1.0",
            "1.0.+1.0",
            "1.0. 1.0",
            "1.0.0.99999999999999999999",
            "x",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_piece_ends_where_a_character_does() {
        let euro = "€".as_bytes();
        assert_eq!(cut(b"", false), 0);
        assert_eq!(cut("a€".as_bytes(), false), 4);
        assert_eq!(cut(&[b"a", &euro[..2]].concat(), false), 1);
        assert_eq!(cut(&euro[..2], false), 0);
        assert_eq!(cut(&euro[..2], true), 2, "nothing more will come");
        assert_eq!(cut(&[b"ab".as_slice(), &[0xff, b'c']].concat(), false), 2, "first what is text");
        assert_eq!(cut(&[0xff, b'c', 0, 0xfe], false), 4, "then what is none, whole");
    }
}
