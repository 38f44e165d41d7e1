#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Seek, Write};

use proptest::prelude::*;

use super::*;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn written(pieces: &[(Stream, Vec<u8>)], cap: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), cap);
    for (stream, bytes) in pieces {
        writer.write(*stream, bytes).unwrap();
    }
    writer.finish().unwrap()
}

fn whole(file: &File, stream: Stream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut from = 0;
    loop {
        let chunk = read(file, stream, from, 1000).unwrap();
        if chunk.bytes.is_empty() {
            return all;
        }
        all.extend(chunk.bytes);
        from = chunk.next;
    }
}

#[test]
fn the_format_is_fixed() {
    let bytes = written(&[(Stream::Stdout, b"hello\n".to_vec()), (Stream::Stderr, b"oops".to_vec())], 100);
    assert_eq!(bytes, b"\x1eout 0 6\nhello\n\n\x1eerr 0 4\noops\n");
}

#[test]
fn beyond_the_cap_the_end_is_kept() {
    let mut printed = vec![b'x'; 100];
    printed.extend(vec![b'y'; KEPT_END]);
    printed.extend(vec![b'z'; 50]);
    let file = file(&written(&[(Stream::Stderr, printed.clone())], 10));
    let head = read(&file, Stream::Stderr, 0, usize::MAX).unwrap();
    assert_eq!(head.bytes, &printed[..10]);
    assert_eq!(head.dropped, 140);
    let end = read(&file, Stream::Stderr, head.next, usize::MAX).unwrap();
    assert_eq!(end.next, printed.len() as u64);
    assert_eq!(end.bytes, &printed[150..]);
    assert_eq!(tail(&file, Stream::Stderr, 51).unwrap().text, format!("y{}", "z".repeat(50)));
}

#[test]
fn a_gap_is_named_in_the_tail() {
    let file = file(b"\x1eout 0 3\nabc\n\x1eout-cut 3 7\n\n\x1eout 10 3\nxyz\n");
    assert_eq!(tail(&file, Stream::Stdout, 100).unwrap().text, "abc\n[7 bytes not kept]\nxyz");
    assert!(!tail(&file, Stream::Stdout, 100).unwrap().whole);
    assert_eq!(tail(&file, Stream::Stdout, 2).unwrap().text, "yz");
}

#[test]
fn a_payload_cannot_pretend_to_be_a_frame() {
    let fake = b"\x1eout 0 4\nfake\n\x1eerr 0 4\nfake\n".to_vec();
    let file = file(&written(&[(Stream::Stdout, fake.clone())], 1000));
    assert_eq!(whole(&file, Stream::Stdout), fake);
    assert!(whole(&file, Stream::Stderr).is_empty());
}

#[test]
fn half_a_frame_is_not_there_yet() {
    let bytes = written(&[(Stream::Stdout, b"one".to_vec()), (Stream::Stdout, b"two".to_vec())], 100);
    for cut in 13..bytes.len() {
        assert_eq!(whole(&file(&bytes[..cut]), Stream::Stdout), b"one", "{cut}");
    }
}

#[test]
fn characters_are_not_cut_and_nuls_are_replaced() {
    let file = file(&written(&[(Stream::Stdout, "aäöü\0b".as_bytes().to_vec())], 100));
    for max in 0..20 {
        let tail = tail(&file, Stream::Stdout, max).unwrap().text;
        assert!(tail.len() <= max);
        assert!("aäöü\u{fffd}b".ends_with(&tail), "{max} {tail}");
    }
}

fn pieces() -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        // Much like frames.
        "(\u{1e}(out|err) [0-9] [0-9]\n[a-z]{0,9}\n){0,3}".prop_map(String::into_bytes),
    ];
    prop::collection::vec((prop::sample::select(Stream::ALL.to_vec()), piece), 0..12)
}

fn printed(pieces: &[(Stream, Vec<u8>)], stream: Stream) -> Vec<u8> {
    let of_stream = pieces.iter().filter(|(of, _)| *of == stream);
    of_stream.flat_map(|(_, bytes)| bytes.clone()).collect()
}

/// Like `whole`, by somebody who remembers where the former piece ended while the file grows underneath.
fn followed(log: &[u8], cuts: &[usize], stream: Stream, max: usize) -> Vec<u8> {
    let (mut all, mut from, mut place) = (Vec::new(), 0, Place::default());
    for cut in cuts.iter().copied().chain([log.len()]) {
        let file = file(&log[..cut.min(log.len())]);
        loop {
            let chunk = read_on(&file, stream, from, max, &mut place).unwrap();
            if chunk.bytes.is_empty() {
                assert!(!chunk.more);
                break;
            }
            all.extend(chunk.bytes);
            from = chunk.next;
        }
    }
    all
}

#[test]
fn a_place_of_another_offset_is_no_hint() {
    let file = file(&written(&[(Stream::Stdout, b"one".to_vec()), (Stream::Stdout, b"two".to_vec())], 100));
    let mut place = Place::default();
    assert_eq!(read_on(&file, Stream::Stdout, 0, 100, &mut place).unwrap().bytes, b"onetwo");
    assert_eq!(read_on(&file, Stream::Stdout, 2, 100, &mut place).unwrap().bytes, b"etwo");
}

#[test]
fn behind_a_gap_there_is_more() {
    let file = file(b"\x1eout 0 3\nabc\n\x1eout-cut 3 7\n\n\x1eout 10 3\nxyz\n");
    let mut place = Place::default();
    let head = read_on(&file, Stream::Stdout, 0, 100, &mut place).unwrap();
    assert_eq!((&head.bytes[..], head.next, head.more), (&b"abc"[..], 3, true));
    let end = read_on(&file, Stream::Stdout, 3, 100, &mut place).unwrap();
    assert_eq!((&end.bytes[..], end.next, end.more), (&b"xyz"[..], 13, false));
}

#[test]
fn a_tail_is_whole_only_if_it_is_all_of_it() {
    let of = |bytes: &[u8], max| tail(&file(&written(&[(Stream::Stdout, bytes.to_vec())], 100)), Stream::Stdout, max);
    assert!(of(b"", 0).unwrap().whole && of(b"abc", 3).unwrap().whole);
    for (bytes, max) in [(&b"abc"[..], 2), (b"a\0b", 9), (b"a\xffb", 9), (&[b'x'; 101], 101)] {
        let whole = of(bytes, max).unwrap().whole;
        assert_eq!(whole, bytes.len() == 101, "{bytes:?}: the kept end closes the gap, or it is not whole");
    }
    let long = [b'x'; KEPT_END + 200];
    assert!(!of(&long, usize::MAX).unwrap().whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_follows_misses_nothing(pieces in pieces(), mut cuts in prop::collection::vec(0usize..300, 0..8), max in 1usize..50) {
        cuts.sort_unstable();
        // A payload that is cut where it holds what looks like a frame is believed to be one; a writer does not cut.
        let pieces: Vec<_> = pieces.into_iter().filter(|(_, bytes)| !bytes.contains(&MARK)).collect();
        let log = written(&pieces, 1 << 20);
        for stream in Stream::ALL {
            prop_assert_eq!(followed(&log, &cuts, stream, max), printed(&pieces, stream));
        }
    }

    #[test]
    fn what_was_written_is_read(pieces in pieces(), from in 0u64..100, max in 1usize..50) {
        let file = file(&written(&pieces, 1 << 20));
        for stream in Stream::ALL {
            let printed = printed(&pieces, stream);
            prop_assert_eq!(&whole(&file, stream), &printed);
            let chunk = read(&file, stream, from, max).unwrap();
            let from = usize::try_from(from).unwrap().min(printed.len());
            prop_assert_eq!(&chunk.bytes[..], &printed[from..(from + max).min(printed.len())]);
        }
    }

    #[test]
    fn pieces_that_overlap_are_read_once(pieces in pieces(), at in 0usize..12) {
        // Two halves of one log that share some frames.
        let log = written(&pieces, 1 << 20);
        let part = written(&pieces[..at.min(pieces.len())], 1 << 20);
        let file = file(&[part, log].concat());
        for stream in Stream::ALL {
            prop_assert_eq!(whole(&file, stream), printed(&pieces, stream));
        }
    }

    #[test]
    fn from_the_middle_only_true_frames_are_read(lines in prop::collection::vec("[a-z]{1,9}", 1..20), cut in 0usize..200) {
        let pieces: Vec<_> = lines.iter().map(|line| (Stream::Stdout, line.clone().into_bytes())).collect();
        let log = written(&pieces, 1 << 20);
        let file = file(&log[cut.min(log.len())..]);
        let read = whole(&file, Stream::Stdout);
        prop_assert!(printed(&pieces, Stream::Stdout).ends_with(&read));
    }

    #[test]
    fn no_file_is_too_strange(bytes in prop::collection::vec(prop_oneof![Just(0x1e), Just(b'\n'), any::<u8>()], 0..300)) {
        let file = file(&bytes);
        for stream in Stream::ALL {
            prop_assert!(read(&file, stream, 0, 50).unwrap().bytes.len() <= 50);
            prop_assert!(tail(&file, stream, 50).unwrap().text.len() <= 50);
        }
    }

    #[test]
    fn the_cap_holds(pieces in pieces(), cap in 0u64..60) {
        let file = file(&written(&pieces, cap));
        for stream in Stream::ALL {
            let printed = printed(&pieces, stream);
            // Short enough that the kept end closes every gap.
            prop_assert_eq!(whole(&file, stream), printed);
        }
    }
}
