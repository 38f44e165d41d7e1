//! Where frames go: into the step directory, and in a pod on our own standard output as well, each as one line.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::frames::write_line;

/// Who keeps the container's log may be slow, but the command does not wait longer than this for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pipe that can be written to takes as much without waiting.
const AT_ONCE: usize = 4_096;

/// What takes frames, each with one call.
#[derive(Debug)]
pub(super) struct Kept {
    /// Until it does not take any more: on a full disk half a frame is the last.
    file: Option<File>,
    /// Why it does not.
    pub(super) failed: Option<io::Error>,
    /// The container's log, until it does not take any more.
    log: Option<OwnedFd>,
    line: Vec<u8>,
}

impl Kept {
    pub(super) fn in_file(file: File) -> Self {
        Self { file: Some(file), failed: None, log: None, line: Vec::new() }
    }

    /// Also in the log of the container.
    pub(super) fn and_in(self, log: impl AsFd) -> Self {
        Self { log: log.as_fd().try_clone_to_owned().ok(), ..self }
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    /// As long as one of both takes it, that the other does not ends nothing. Either ends with half a frame, which no
    /// reader takes for one.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.file = None;
            self.failed = Some(error);
        }
        if let Some(log) = &self.log {
            self.line.clear();
            write_line(bytes, &mut self.line);
            if print(log, &self.line).is_err() {
                self.log = None;
            }
        }
        match (&self.file, &self.log) {
            (None, None) => Err(self.failed.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
            (Some(_), _) | (_, Some(_)) => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), File::flush)
    }
}

fn print(log: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(0), tv_nsec: left.subsec_nanos().into() };
        match rustix::event::poll(&mut [PollFd::new(log, PollFlags::OUT)], Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match rustix::io::write(log, &bytes[..bytes.len().min(AT_ONCE)]) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read, Seek};

    use super::*;

    fn kept_in(file: &File, log: impl AsFd) -> Kept {
        Kept::in_file(file.try_clone().unwrap()).and_in(log)
    }

    fn text(mut file: File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_log_that_is_gone_ends_nothing() {
        let file = tempfile::tempfile().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let mut kept = kept_in(&file, &writer);
        kept.write_all(b"one").unwrap();
        drop(reader);
        kept.write_all(b"two").unwrap();
        kept.write_all(b"three").unwrap();
        assert!(kept.log.is_none());
        assert_eq!(text(file), "onetwothree");
    }

    #[test]
    fn a_full_disk_does_not_end_the_log() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let log = tempfile::tempfile().unwrap();
        let mut kept = kept_in(&full, &log);
        kept.write_all(b"one").unwrap();
        kept.write_all(b"two").unwrap();
        assert_eq!(kept.failed.as_ref().unwrap().kind(), io::ErrorKind::StorageFull);
        assert_eq!(text(log), "one\ntwo\n");
        let alone = Kept::in_file(full).write_all(b"one");
        assert_eq!(alone.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn both_get_the_same_and_the_log_in_one_line() {
        let (file, log) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let long = "x\n".repeat(AT_ONCE * 3 + 1);
        kept_in(&file, &log).write_all(long.as_bytes()).unwrap();
        assert_eq!((text(file), text(log)), (long.clone(), long.replace('\n', "\u{1f}") + "\n"));
    }
}
