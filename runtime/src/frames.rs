//! What a command printed, as frames of (stream, offset, payload).

use std::fs::File;
use std::io;

/// One of the two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A piece of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes from the offset asked for; after a gap, from where the stream goes on.
    pub bytes: Vec<u8>,
    /// The offset to ask for next.
    pub next: u64,
    /// Bytes that were dropped beyond the cap, as far as is known yet.
    pub dropped: u64,
}

/// At most `max` bytes of a stream from an offset on. A frame still being written is not there yet.
pub fn read(file: &File, stream: Stream, from: u64, max: usize) -> io::Result<Chunk> {
    let _ = (file, stream, from, max);
    unimplemented!("follows")
}

/// The last bytes of a stream, at most `max`, as text; characters are not cut.
pub fn tail(file: &File, stream: Stream, max: usize) -> io::Result<String> {
    let _ = (file, stream, max);
    unimplemented!("follows")
}
