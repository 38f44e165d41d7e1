//! Frames as lines, for a log that is kept line by line.
//!
//! A container's log is kept so: each line gets a head of some fifty bytes, and a carriage return before a newline may
//! be lost. So in a pod a frame is one line, whatever the command printed:
//!
//! ```text
//! 0x0a in a frame      0x1f on its line
//! 0x1f                 0x1d u
//! 0x1d                 0x1d g
//! ```
//! Text grows by nothing, for it holds newlines and none of the others. What stands in such a log besides, and half a
//! frame, is no frame and is passed over.

use super::read::is_one;
use super::{LONGEST, MARK};

const NEWLINE: u8 = b'\n';
/// A newline, on a line.
const SWAPPED: u8 = 0x1f;
/// Begins what stands for one of the bytes that the lines need themselves.
const ESCAPE: u8 = 0x1d;
const FOR_SWAPPED: u8 = b'u';
const FOR_ESCAPE: u8 = b'g';

/// No frame makes a longer line: a header, and a payload of which every byte is escaped.
const LONGEST_LINE: usize = 2 * (LONGEST + 256);

/// Appends a frame as a line.
pub fn write_line(frame: &[u8], line: &mut Vec<u8>) {
    line.reserve(frame.len() + 1);
    for &byte in frame {
        match byte {
            NEWLINE => line.push(SWAPPED),
            SWAPPED => line.extend([ESCAPE, FOR_SWAPPED]),
            ESCAPE => line.extend([ESCAPE, FOR_ESCAPE]),
            other => line.push(other),
        }
    }
    line.push(NEWLINE);
}

/// Reads frames from a log of lines that comes in pieces.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    /// The line is too long to be one of ours.
    passed_over: bool,
}

impl Lines {
    /// Takes the next bytes of the log, and appends the frames that they complete.
    pub fn take(&mut self, bytes: &[u8], frames: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == NEWLINE) {
            let ended = piece.ends_with(&[NEWLINE]);
            let piece = piece.strip_suffix(&[NEWLINE]).unwrap_or(piece);
            // Nothing but a frame begins so, and nothing else has to be held.
            let first = self.line.first().or(piece.first());
            self.passed_over |=
                first.is_some_and(|first| *first != MARK) || self.line.len() + piece.len() > LONGEST_LINE;
            if !self.passed_over {
                self.line.extend_from_slice(piece);
            }
            if ended {
                if !self.passed_over
                    && let Some(frame) = frame(&self.line).filter(|frame| is_one(frame))
                {
                    frames.extend(frame);
                }
                self.line.clear();
                self.passed_over = false;
            }
        }
    }
}

/// What stands on a line; `None` when nothing of ours does.
fn frame(line: &[u8]) -> Option<Vec<u8>> {
    let mut frame = Vec::with_capacity(line.len());
    let mut bytes = line.iter();
    while let Some(&byte) = bytes.next() {
        frame.push(match byte {
            SWAPPED => NEWLINE,
            ESCAPE => match *bytes.next()? {
                FOR_SWAPPED => SWAPPED,
                FOR_ESCAPE => ESCAPE,
                _ => return None,
            },
            other => other,
        });
    }
    Some(frame)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::{Stream, Writer};
    use super::*;

    fn written(pieces: &[(Stream, Vec<u8>)]) -> Vec<Vec<u8>> {
        let frames = pieces.iter().scan([0u64; 2], |offsets, (stream, bytes)| {
            let offset = &mut offsets[stream.index()];
            let head = format!("\u{1e}{} {offset} {}\n", stream.word(), bytes.len());
            *offset += bytes.len() as u64;
            Some([head.as_bytes(), bytes, b"\n"].concat())
        });
        frames.collect()
    }

    fn taken<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut lines, mut frames) = (Lines::default(), Vec::new());
        pieces.into_iter().for_each(|piece| lines.take(piece, &mut frames));
        frames
    }

    #[test]
    fn the_lines_are_fixed() {
        let mut line = Vec::new();
        write_line(b"\x1eout 0 5\na\n\x1f\x1d\r\n", &mut line);
        assert_eq!(line, b"\x1eout 0 5\x1fa\x1f\x1du\x1dg\r\x1f\n");
        assert_eq!(taken([line.as_slice()]), b"\x1eout 0 5\na\n\x1f\x1d\r\n");
    }

    #[test]
    fn a_frame_of_many_lines_is_one_and_no_longer() {
        let text = b"y\n".repeat(LONGEST / 2);
        let mut writer = Writer::new(Vec::new(), 1 << 20);
        writer.write(Stream::Stdout, &text).unwrap();
        let frames = writer.finish().unwrap();
        let mut line = Vec::new();
        write_line(&frames, &mut line);
        assert_eq!(line.len(), frames.len() + 1);
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(taken([line.as_slice()]), frames);
    }

    #[test]
    fn what_is_no_frame_is_passed_over() {
        let mut log = b"\x1eout 0 1\x1fa\x1f\n".to_vec();
        let frame = taken([log.as_slice()]);
        for noise in [
            &b"tessera-runtime exec: no room\n"[..],
            b"\n",
            b"rest of a frame\x1f\n",
            b"\x1eout 0 9\x1fshort\x1f\n",
            b"\x1eout 0 1\x1fa\x1f\x1eout 1 1\x1fb\x1f\n",
            b"\x1eout 0 1\x1fa\n",
            b"\x1eout 0 1\x1f\x1dx\x1f\n",
            b"\x1eout 0 1\x1f\x1d\n",
            b"\x1e\n",
            &[&[MARK][..], &[b'x'; 2 * LONGEST_LINE], b"\n"].concat(),
        ] {
            assert_eq!(taken([noise]), b"", "{:?}", &noise[..noise.len().min(40)]);
            log = [noise, &log].concat();
        }
        assert_eq!(taken(log.chunks(1_000)), frame);
        assert_eq!(taken([b"\x1eout 0 1\x1fa\x1f".as_slice()]), b"", "it is still being written");
    }

    #[test]
    fn nothing_is_held_of_what_is_too_long() {
        let (mut lines, mut frames) = (Lines::default(), Vec::new());
        for first in [MARK, b'x'] {
            lines.take(&[first], &mut frames);
            (0..100).for_each(|_| lines.take(&[b'x'; 4_096], &mut frames));
            assert!(lines.line.capacity() <= 2 * LONGEST_LINE);
            lines.take(b"\n", &mut frames);
        }
        assert_eq!(frames, b"");
        lines.take(b"\x1eout 0 1\x1fa\x1f\n", &mut frames);
        assert_eq!(frames, b"\x1eout 0 1\na\n");
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let special = prop::sample::select(vec![NEWLINE, SWAPPED, ESCAPE, MARK, b'u', b'g', b'\r', 0]);
        prop::collection::vec(prop_oneof![special, any::<u8>()], 0..60)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_in_any_pieces(
            pieces in prop::collection::vec((prop::sample::select(Stream::ALL.to_vec()), payload()), 0..12),
            noise in prop::collection::vec("[ -~]{0,9}", 0..12),
            cut in 1usize..70,
        ) {
            let frames = written(&pieces);
            let mut log = Vec::new();
            for (at, frame) in frames.iter().enumerate() {
                if let Some(noise) = noise.get(at) {
                    log.extend_from_slice(noise.as_bytes());
                    log.push(NEWLINE);
                }
                write_line(frame, &mut log);
            }
            prop_assert_eq!(taken(log.chunks(cut)), frames.concat());
        }

        #[test]
        fn only_whole_frames_are_read_from_the_middle(
            pieces in prop::collection::vec((prop::sample::select(Stream::ALL.to_vec()), payload()), 0..12),
            from in 0usize..300,
        ) {
            let frames = written(&pieces);
            let mut log = Vec::new();
            frames.iter().for_each(|frame| write_line(frame, &mut log));
            let read = taken([&log[from.min(log.len())..]]);
            prop_assert!(frames.concat().ends_with(&read));
        }

        #[test]
        fn no_log_is_too_strange(bytes in prop::collection::vec(
            prop_oneof![prop::sample::select(vec![NEWLINE, SWAPPED, ESCAPE, MARK]), any::<u8>()], 0..300)) {
            prop_assert!(taken([bytes.as_slice()]).len() <= bytes.len());
        }
    }
}
