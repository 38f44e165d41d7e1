//! One log of a container, its lines turned back into frames, in a file without a name: it is gone with us, however we
//! end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tessera_contract::{LogChunk, Stream};
use tessera_runtime::frames::{self, Lines, Place};
use tokio::sync::watch;

/// Bytes of one answer.
const CHUNK: usize = 256 * 1024;
/// Bytes of a spool; a wrapper writes far less. One that has grown beyond is begun anew.
const MOST: u64 = 64 << 20;
/// What nodes write in place of a log that they cannot read, with status 200.
const NO_LOG: [&[u8]; 3] =
    [b"unable to retrieve container logs", b"failed to try resolving symlinks", b"failed to get container status"];

/// What is there of one container's log. Only ever grows, until it is begun anew.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    length: watch::Sender<u64>,
    /// Where each stream was read to.
    places: Mutex<[Place; 2]>,
    /// Only one fills it at a time.
    pub(super) filling: tokio::sync::Mutex<()>,
    /// A stream of the log is followed.
    pub(super) followed: AtomicBool,
    /// The container has ended.
    pub(super) over: AtomicBool,
    /// The log was read to its end, and that after the container had ended.
    pub(super) whole: AtomicBool,
    /// The node has no log of the container any more, though the pod is there.
    pub(super) taken: AtomicBool,
    /// It is to stay until its job is forgotten.
    pub(super) kept: AtomicBool,
    /// Milliseconds after `made` at which it was last asked for.
    used_ms: AtomicU64,
    /// The same, of the last time that filling it was begun.
    filled_ms: AtomicU64,
    made: Instant,
}

impl Spool {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile_in(folder)?,
            length: watch::Sender::new(0),
            places: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
            followed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            whole: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            kept: AtomicBool::new(false),
            used_ms: AtomicU64::new(0),
            filled_ms: AtomicU64::new(u64::MAX),
            made: Instant::now(),
        })
    }

    /// Told of each growth.
    pub(super) fn grows(&self) -> watch::Receiver<u64> {
        self.length.subscribe()
    }

    fn length(&self) -> u64 {
        *self.length.borrow()
    }

    /// It is asked for now.
    pub(super) fn touch(&self) {
        self.used_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Milliseconds for which nobody has asked for it.
    pub(super) fn idle_ms(&self) -> u64 {
        self.age_ms().saturating_sub(self.used_ms.load(Ordering::Relaxed))
    }

    /// It is filled from now on; answers how long ago that was begun last.
    pub(super) fn begin_filling(&self) {
        self.filled_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Milliseconds since filling it was begun last, if it ever was.
    pub(super) fn filled_before_ms(&self) -> Option<u64> {
        let at = self.filled_ms.load(Ordering::Relaxed);
        (at != u64::MAX).then(|| self.age_ms().saturating_sub(at))
    }

    fn age_ms(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// A piece of a stream. `over`: no more will come than what is here.
    pub(super) fn read(&self, stream: Stream, from: u64, over: bool) -> io::Result<LogChunk> {
        let (stream, index) = match stream {
            Stream::Stdout => (frames::Stream::Stdout, 0),
            Stream::Stderr => (frames::Stream::Stderr, 1),
        };
        let mut place = self.places()[index];
        let chunk = frames::read_on(&self.file, stream, from, CHUNK, &mut place)?;
        self.places()[index] = place;
        let (more, ended) = (chunk.more, over && !chunk.more);
        Ok(LogChunk { bytes: chunk.bytes, next: chunk.next, more, ended })
    }

    fn places(&self) -> MutexGuard<'_, [Place; 2]> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let mut at = self.length();
        if at > MOST {
            self.file.set_len(0)?;
            *self.places() = Default::default();
            at = 0;
        }
        self.file.write_all_at(bytes, at)?;
        self.length.send_replace(at + bytes.len() as u64);
        Ok(())
    }
}

/// One reading of a log from its start into a spool that may hold its beginning already.
///
/// What is the same is passed over. From the first difference on (a node keeps only the newest file of a long log) all
/// is appended: frames tell their offsets, so what stands there twice is read once.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    spool: &'a Spool,
    /// Where in the spool the log goes on, as long as both are the same.
    same_to: Option<u64>,
    begun: bool,
    lines: Lines,
    frames: Vec<u8>,
}

impl<'a> Filling<'a> {
    pub(super) fn into(spool: &'a Spool) -> Self {
        Self { spool, same_to: Some(0), begun: false, lines: Lines::default(), frames: Vec::new() }
    }

    /// Takes the next bytes of the log.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) && NO_LOG.iter().any(|words| bytes.starts_with(words)) {
            self.spool.taken.store(true, Ordering::Relaxed);
            return Err(io::Error::other(String::from_utf8_lossy(bytes).trim().to_owned()));
        }
        let mut frames = std::mem::take(&mut self.frames);
        frames.clear();
        self.lines.take(bytes, &mut frames);
        let added = self.add(&frames);
        self.frames = frames;
        added
    }

    fn add(&mut self, frames: &[u8]) -> io::Result<()> {
        if frames.is_empty() {
            return Ok(());
        }
        let length = self.spool.length();
        let Some(at) = self.same_to.filter(|at| *at < length) else {
            return self.spool.append(frames);
        };
        let both = usize::try_from(length - at).unwrap_or(usize::MAX).min(frames.len());
        let mut known = vec![0; both];
        self.spool.file.read_exact_at(&mut known, at)?;
        if known != frames[..both] {
            self.same_to = None;
            return self.spool.append(frames);
        }
        self.same_to = Some(at + both as u64);
        if both < frames.len() { self.spool.append(&frames[both..]) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn frame(stream: &str, offset: usize, text: &str) -> String {
        let mut line = Vec::new();
        let frame = format!("\u{1e}{stream} {offset} {}\n{text}\n", text.len());
        frames::write_line(frame.as_bytes(), &mut line);
        String::from_utf8(line).unwrap()
    }

    fn text(spool: &Spool, from: u64) -> (String, bool) {
        let chunk = spool.read(Stream::Stdout, from, true).unwrap();
        (String::from_utf8(chunk.bytes).unwrap(), chunk.ended)
    }

    #[test]
    fn a_log_that_is_read_again_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        let log = frame("out", 0, "one ") + &frame("err", 0, "oops") + &frame("out", 4, "two");
        for cut in [3, 20, 25, log.len()] {
            let mut filling = Filling::into(&spool);
            log.as_bytes()[..cut].chunks(7).for_each(|piece| filling.take(piece).unwrap());
        }
        // A frame is a line without the newline at its end.
        assert_eq!(spool.length(), log.len() as u64 - 3);
        assert_eq!(text(&spool, 0), ("one two".to_owned(), true));
        // Nothing has a name there.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_log_that_was_turned_over_loses_nothing_that_is_here() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        Filling::into(&spool).take((frame("out", 0, "one ") + &frame("out", 4, "two ")).as_bytes()).unwrap();
        let newest = "rest of a frame\n".to_owned() + &frame("out", 4, "two ") + &frame("out", 8, "three");
        Filling::into(&spool).take(newest.as_bytes()).unwrap();
        assert_eq!(text(&spool, 0), ("one two three".to_owned(), true));
        assert_eq!(text(&spool, 8), ("three".to_owned(), true));
    }

    #[test]
    fn words_in_place_of_a_log_are_no_log() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::new(dir.path()).unwrap();
        let error = Filling::into(&spool).take(b"unable to retrieve container logs for containerd://1").unwrap_err();
        assert!(error.to_string().contains("containerd://1"));
        assert_eq!(spool.length(), 0);
    }
}
