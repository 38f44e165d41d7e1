//! Writing frames.

use std::collections::VecDeque;
use std::io::{self, Write};

use super::{KEPT_END, LONGEST, MARK, Stream};

/// Writes frames, each with one call, so that a reader hardly ever sees half of one.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    cap: u64,
    streams: [Written; 2],
    frame: Vec<u8>,
}

#[derive(Debug, Default)]
struct Written {
    /// Bytes kept in frames so far.
    kept: u64,
    /// Bytes printed beyond the cap.
    beyond: u64,
    /// The last of them.
    end: VecDeque<u8>,
}

impl<W: Write> Writer<W> {
    /// Keeps at most `cap` bytes of each stream, and its end.
    pub fn new(to: W, cap: u64) -> Self {
        Self { to, cap, streams: Default::default(), frame: Vec::with_capacity(LONGEST + 64) }
    }

    /// Adds what a command printed.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let kept = self.streams[stream.index()].kept;
        let room = usize::try_from(self.cap - kept).unwrap_or(usize::MAX);
        let (within, beyond) = bytes.split_at(bytes.len().min(room));
        let written = &mut self.streams[stream.index()];
        if !beyond.is_empty() {
            written.beyond += beyond.len() as u64;
            written.end.extend(&beyond[beyond.len().saturating_sub(KEPT_END)..]);
            let surplus = written.end.len().saturating_sub(KEPT_END);
            written.end.drain(..surplus);
        }
        written.kept += within.len() as u64;
        self.frames(stream, kept, within)
    }

    /// Writes what is still held: how much was dropped, and the end of it.
    pub fn finish(mut self) -> io::Result<W> {
        for stream in Stream::ALL {
            let written = std::mem::take(&mut self.streams[stream.index()]);
            if written.beyond == 0 {
                continue;
            }
            let end = Vec::from(written.end);
            let dropped = written.beyond - end.len() as u64;
            if dropped > 0 {
                self.frame(&format!("{}-cut", stream.word()), written.kept, dropped, &[])?;
            }
            self.frames(stream, written.kept + dropped, &end)?;
        }
        Ok(self.to)
    }

    fn frames(&mut self, stream: Stream, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        for payload in bytes.chunks(LONGEST) {
            let length = payload.len() as u64;
            self.frame(stream.word(), offset, length, payload)?;
            offset += length;
        }
        Ok(())
    }

    fn frame(&mut self, kind: &str, offset: u64, length: u64, payload: &[u8]) -> io::Result<()> {
        self.frame.clear();
        self.frame.push(MARK);
        writeln!(self.frame, "{kind} {offset} {length}")?;
        self.frame.extend_from_slice(payload);
        self.frame.push(b'\n');
        self.to.write_all(&self.frame)
    }
}
