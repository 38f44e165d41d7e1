//! The log of one of our containers: records, as many as fit.
//!
//! A kubelet begins a new log when one has grown to 10 MiB, and its API tells the newest alone. So that the report is
//! never cut off, everything together stays below that.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::words::Record;
use crate::report::Progress;

/// Bytes of progress, after which it goes without the tails, and after which there is no more of it.
const PROGRESS_BYTES: u64 = 2 << 20;
const PROGRESS_BYTES_AT_ALL: u64 = 3 << 20;
/// Bytes of the report.
pub(crate) const REPORT_BYTES: usize = 6 << 20;
/// Between two figures at first, and as a part of all the time since.
const FIGURES_EVERY: Duration = Duration::from_secs(5);
const FIGURES_SHARE: u32 = 100;

/// The first byte of a record (RFC 7464).
const BEGINS: &[u8] = b"\x1e";

/// Whether progress is worth a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Something has happened.
    Now,
    /// Only figures have changed.
    Due,
}

/// Where records are printed.
pub(crate) struct Log {
    inside: Mutex<Inside>,
}

struct Inside {
    to: Box<dyn Write + Send>,
    printed: u64,
    began: Instant,
    last: Option<Instant>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// The container's own.
    pub(crate) fn stdout() -> Self {
        Self::on(io::stdout())
    }

    pub(crate) fn on(to: impl Write + Send + 'static) -> Self {
        let inside = Inside { to: Box::new(to), printed: 0, began: Instant::now(), last: None };
        Self { inside: Mutex::new(inside) }
    }

    /// Prints how far the job is. That this fails is no reason to stop.
    pub(crate) fn progress(&self, progress: &Progress, when: When) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = FIGURES_EVERY.max(inside.began.elapsed() / FIGURES_SHARE);
        if when == When::Due && inside.last.unwrap_or(inside.began).elapsed() < pause {
            return;
        }
        let mut record = Record::Progress(progress.clone());
        if inside.printed + text(&record).len() as u64 > PROGRESS_BYTES {
            record = Record::Progress(without_tails(progress));
        }
        let text = text(&record);
        if inside.printed + text.len() as u64 <= PROGRESS_BYTES_AT_ALL {
            inside.last = Some(Instant::now());
            inside.print(text.as_bytes());
        }
    }

    /// Prints the report, given as the JSON text that a digest was made of.
    pub(crate) fn report(&self, report: &str) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.print(format!("{{\"report\":{report}}}").as_bytes());
    }
}

impl Inside {
    fn print(&mut self, record: &[u8]) {
        let line = [BEGINS, record, b"\n"].concat();
        self.printed += line.len() as u64;
        if let Err(error) = self.to.write_all(&line).and_then(|()| self.to.flush()) {
            eprintln!("a record cannot be printed: {error}");
        }
    }
}

fn text(record: &Record) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

fn without_tails(progress: &Progress) -> Progress {
    let mut progress = progress.clone();
    for step in &mut progress.steps {
        super::say::cut_tails(step, 0);
    }
    progress
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::report::{REPORT_VERSION, StepReport};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Progress with so much of what was printed, and so much that cannot be given up.
    fn long_progress(tail: usize, note: usize) -> Progress {
        let note = crate::report::Note { at: Timestamp::UNIX_EPOCH, text: "n".repeat(note) };
        Progress { notes: vec![note], ..progress(tail) }
    }

    fn progress(tail: usize) -> Progress {
        let step = StepReport {
            step: 0,
            exit_code: 0,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            stdout_tail: "\u{1}".repeat(tail),
            stderr_tail: String::new(),
            stdout_whole: true,
            stderr_whole: true,
        };
        Progress {
            version: REPORT_VERSION,
            job: "t-1".into(),
            began: Timestamp::UNIX_EPOCH,
            started: None,
            steps: vec![step],
            notes: Vec::new(),
            doing: None,
        }
    }

    #[test]
    fn progress_is_bounded_and_gives_up_its_tails_first() {
        let page = Page::default();
        let log = Log::on(page.clone());
        let progress = long_progress(10_000, 20_000);
        for _ in 0..100 {
            log.progress(&progress, When::Now);
        }
        let page = page.0.lock().unwrap();
        assert!(page.len() as u64 > PROGRESS_BYTES && page.len() as u64 <= PROGRESS_BYTES_AT_ALL, "{}", page.len());
        let mut records = page.split(|byte| *byte == BEGINS[0]).skip(1);
        let read = |record: &[u8]| match serde_json::from_slice(record).unwrap() {
            Record::Progress(progress) => progress.steps[0].clone(),
            Record::Report(_) => panic!("nobody has reported"),
        };
        assert_eq!(read(records.next().unwrap()).stdout_tail.len(), 10_000);
        let last = read(records.last().unwrap());
        assert!(last.stdout_tail.is_empty() && !last.stdout_whole && last.stderr_whole);
    }

    #[test]
    fn figures_alone_are_not_worth_a_record_at_once() {
        let page = Page::default();
        let log = Log::on(page.clone());
        log.progress(&progress(0), When::Due);
        assert!(page.0.lock().unwrap().is_empty());
        log.progress(&progress(0), When::Now);
        assert!(!page.0.lock().unwrap().is_empty());
    }
}
