//! What a command printed, as frames of (stream, offset, payload).
//!
//! ```text
//! ␞out 0 6⏎hello⏎⏎        the first six bytes of standard output
//! ␞err 0 4⏎oops⏎          the first four of standard error
//! ␞out-cut 6 1000⏎⏎       bytes 6 to 1006 of standard output were printed and not kept
//! ```
//!
//! `␞` is the byte 0x1e. A frame is complete when its payload is followed by a newline and by another frame or
//! the end. Lengths are believed before content, so no payload can pretend to be a frame to one who reads from
//! the start. Who begins in the middle looks for the next frame. Offsets make pieces that overlap harmless.
//!
//! Beyond a cap for each stream output is counted and dropped, except for its last [`KEPT_END`] bytes: the end
//! is where a failure is explained.
//!
//! Where a log is kept line by line, as in a pod, each frame is one line: [`write_line`] makes it, [`Lines`] reads it.

mod line;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use line::{Lines, write_line};
pub use read::{Chunk, Place, Tail, read, read_on, tail};
pub use write::Writer;

/// One of the two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Bytes of the end of a stream that are kept beyond its cap.
pub const KEPT_END: usize = 64 * 1024;

/// The first byte of a frame.
const MARK: u8 = 0x1e;

/// The longest payload.
const LONGEST: usize = 32 * 1024;

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    const fn word(self) -> &'static str {
        match self {
            Self::Stdout => "out",
            Self::Stderr => "err",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}
