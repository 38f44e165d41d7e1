//! Reading frames. A command may have written into the file, so nothing in it is believed but what fits.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{LONGEST, MARK, Stream};

/// A piece of a stream, without gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes from the offset asked for; after a gap, from where the stream goes on.
    pub bytes: Vec<u8>,
    /// The offset to ask for next.
    pub next: u64,
    /// Bytes that were dropped beyond the cap, as far as was read.
    pub dropped: u64,
    /// More of the stream is there already: behind a gap, or beyond what was asked for.
    pub more: bool,
}

/// Where in a file of frames a stream goes on, so that whoever follows it reads nothing twice. Only a hint: one that
/// speaks of another offset than is asked for is not used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The offset in the stream.
    offset: u64,
    /// Where the first frame begins that may hold what follows.
    at: u64,
}

/// At most `max` bytes of a stream from an offset on. A frame still being written is not there yet.
pub fn read(file: &File, stream: Stream, from: u64, max: usize) -> io::Result<Chunk> {
    read_on(file, stream, from, max, &mut Place::default())
}

/// The same, beginning at the place that the former call left behind.
pub fn read_on(file: &File, stream: Stream, from: u64, max: usize, place: &mut Place) -> io::Result<Chunk> {
    let mut chunk = Chunk { next: from, ..Chunk::default() };
    let mut frames = Frames::new(file)?;
    if place.offset == from {
        frames.at = place.at.min(frames.end);
    }
    // Never behind a frame that is still being written: what follows it is not there yet.
    let mut done = frames.at;
    while let Some(frame) = frames.next()? {
        let begin = std::mem::replace(&mut done, frames.at);
        if frame.stream != stream {
            continue;
        }
        let length = match frame.content {
            Content::Payload { length, .. } => length,
            Content::Cut { dropped } => {
                chunk.dropped = chunk.dropped.saturating_add(dropped);
                continue;
            }
        };
        let full = chunk.bytes.len() >= max;
        let gap = frame.offset > chunk.next && !chunk.bytes.is_empty();
        let old = frame.offset.saturating_add(length as u64) <= chunk.next;
        if old {
            continue;
        }
        if full || gap {
            chunk.more = true;
            done = begin;
            break;
        }
        chunk.next = chunk.next.max(frame.offset);
        let payload = frames.payload(&frame)?;
        let new = usize::try_from(chunk.next - frame.offset).unwrap_or(usize::MAX);
        let new = payload.get(new..).unwrap_or_default();
        let new = &new[..new.len().min(max - chunk.bytes.len())];
        chunk.bytes.extend_from_slice(new);
        chunk.next += new.len() as u64;
        if chunk.next < frame.offset.saturating_add(length as u64) {
            chunk.more = true;
            done = begin;
            break;
        }
    }
    *place = Place { offset: chunk.next, at: done };
    Ok(chunk)
}

/// The end of a stream as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The text.
    pub text: String,
    /// It is byte for byte all that the stream holds.
    pub whole: bool,
}

/// The last bytes of a stream, at most `max`, as text: characters are not cut, and what is none is replaced.
pub fn tail(file: &File, stream: Stream, max: usize) -> io::Result<Tail> {
    let mut frames = Frames::new(file)?;
    let mut last: VecDeque<Frame> = VecDeque::new();
    let mut held = 0usize;
    let mut next = 0;
    // Nothing dropped, nothing that is no frame, nothing left out at the beginning.
    let mut whole = true;
    while let Some(frame) = frames.next()? {
        let Content::Payload { length, .. } = frame.content else {
            whole &= frame.stream != stream;
            continue;
        };
        if frame.stream != stream || frame.offset < next || length == 0 {
            continue;
        }
        whole &= frame.offset == next;
        next = frame.offset.saturating_add(length as u64);
        held += length;
        last.push_back(frame);
        while let Some(first) = last.front().map(Frame::length)
            && held - first >= max
        {
            held -= first;
            last.pop_front();
            whole = false;
        }
    }
    let mut bytes = Vec::with_capacity(held);
    let mut expected = last.front().map_or(0, |frame| frame.offset);
    for frame in &last {
        if frame.offset > expected {
            let dropped = frame.offset - expected;
            bytes.extend_from_slice(format!("\n[{dropped} bytes not kept]\n").as_bytes());
        }
        bytes.extend_from_slice(&frames.payload(frame)?);
        expected = frame.offset.saturating_add(frame.length() as u64);
    }
    let text = text_end(&bytes, max);
    Ok(Tail { whole: whole && text.as_bytes() == bytes, text })
}

/// The end of some bytes as text of at most `max` bytes.
fn text_end(bytes: &[u8], max: usize) -> String {
    let mut end = &bytes[bytes.len().saturating_sub(max)..];
    if end.len() < bytes.len() {
        // The rest of a character that was cut; a character has at most three such bytes.
        let rest = end.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80);
        end = &end[rest.count()..];
    }
    // No database takes a NUL in a text.
    let text = String::from_utf8_lossy(end).replace('\0', "\u{fffd}");
    let mut from = text.len().saturating_sub(max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

struct Frame {
    stream: Stream,
    offset: u64,
    content: Content,
}

enum Content {
    Payload { at: u64, length: usize },
    Cut { dropped: u64 },
}

impl Frame {
    fn length(&self) -> usize {
        match self.content {
            Content::Payload { length, .. } => length,
            Content::Cut { .. } => 0,
        }
    }
}

/// The frames of a file, one after another; what is none is passed over.
struct Frames<'a> {
    file: &'a File,
    at: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

/// No stream is as long as that, dropped bytes included.
const LONGEST_STREAM: u64 = 1 << 60;
/// A header is never longer: a word and two numbers.
const LONGEST_HEADER: usize = 64;
const WINDOW: usize = 8 * 1024;
/// What is looked through at most; a command may have made the file as long as it likes.
const MOST: u64 = 8 << 30;

impl<'a> Frames<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        Ok(Self { file, at: 0, end: file.metadata()?.len().min(MOST), window: Vec::new(), window_at: 0 })
    }

    fn next(&mut self) -> io::Result<Option<Frame>> {
        while self.at < self.end {
            if let Some((frame, next)) = self.frame_at(self.at)? {
                self.at = next;
                return Ok(Some(frame));
            }
            match self.mark_after(self.at + 1)? {
                Some(mark) => self.at = mark,
                None => self.at = self.end,
            }
        }
        Ok(None)
    }

    /// The frame at a position, and where it ends; `None` when there is no complete one.
    fn frame_at(&mut self, at: u64) -> io::Result<Option<(Frame, u64)>> {
        let Some((frame, header)) = parse(self.look(at, LONGEST_HEADER)?) else {
            return Ok(None);
        };
        let payload_at = at + header as u64;
        let end = payload_at + frame.length() as u64;
        let closed = match *self.look(end, 2)? {
            [b'\n'] => true,
            [b'\n', after] => after == MARK,
            _ => false,
        };
        if !closed {
            return Ok(None);
        }
        let content = match frame.content {
            Content::Payload { length, .. } => Content::Payload { at: payload_at, length },
            Content::Cut { dropped } => Content::Cut { dropped },
        };
        Ok(Some((Frame { content, ..frame }, end + 1)))
    }

    fn payload(&self, frame: &Frame) -> io::Result<Vec<u8>> {
        match frame.content {
            Content::Payload { at, length } => {
                let mut payload = vec![0; length];
                self.file.read_exact_at(&mut payload, at)?;
                Ok(payload)
            }
            Content::Cut { .. } => Ok(Vec::new()),
        }
    }

    fn mark_after(&mut self, mut from: u64) -> io::Result<Option<u64>> {
        while from < self.end {
            let seen = self.look(from, 1)?;
            if seen.is_empty() {
                break;
            }
            let window = &self.window[(from - self.window_at) as usize..];
            match window.iter().position(|byte| *byte == MARK) {
                Some(at) => return Ok(Some(from + at as u64)),
                None => from += window.len() as u64,
            }
        }
        Ok(None)
    }

    /// Up to `length` bytes at a position; fewer only at the end.
    fn look(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let wanted = length.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(length));
        let window_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + wanted as u64 > window_end {
            self.window.resize(WINDOW, 0);
            let mut filled = 0;
            while filled < self.window.len() {
                match self.file.read_at(&mut self.window[filled..], at + filled as u64) {
                    Ok(0) => break,
                    Ok(more) => filled += more,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.window.truncate(filled);
            self.window_at = at;
        }
        let begin = (at - self.window_at) as usize;
        let seen = &self.window[begin.min(self.window.len())..];
        Ok(&seen[..wanted.min(seen.len())])
    }
}

/// Whether these bytes are one frame, whole and nothing else.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    parse(bytes).is_some_and(|(frame, header)| bytes.get(header + frame.length()..) == Some(b"\n"))
}

/// A frame's header and its length, newline included.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let header = bytes.strip_prefix(&[MARK])?;
    let newline = header.iter().position(|byte| *byte == b'\n')?;
    let header = std::str::from_utf8(&header[..newline]).ok()?;
    let mut words = header.split(' ');
    let (kind, offset, number) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (offset, number): (u64, u64) = (offset.parse().ok()?, number.parse().ok()?);
    // A command may have written it: no stream is so long, and whoever follows one would begin anew behind its end.
    offset.checked_add(number).filter(|end| *end < LONGEST_STREAM)?;
    let (word, cut) = match kind.strip_suffix("-cut") {
        Some(word) => (word, true),
        None => (kind, false),
    };
    let stream = Stream::ALL.into_iter().find(|stream| stream.word() == word)?;
    let content = if cut {
        Content::Cut { dropped: number }
    } else {
        let length = usize::try_from(number).ok().filter(|length| *length <= LONGEST)?;
        Content::Payload { at: 0, length }
    };
    let frame = Frame { stream, offset, content };
    Some((frame, newline + 2))
}
