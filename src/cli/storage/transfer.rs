//! How far it is, and many files side by side.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{StreamExt, iter};

use crate::cli::failure::Failure;
use crate::cli::printer::Printer;

/// Files at the same time.
const AT_ONCE: usize = 8;
/// How often people are told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Counts bytes, of how many if that is known.
#[derive(Debug, Default)]
pub(super) struct Meter {
    counters: Mutex<Vec<Arc<AtomicU64>>>,
    total: AtomicU64,
}

/// What was moved in the end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    files: u64,
    bytes: u64,
}

impl Meter {
    /// Watches a counter.
    pub(super) fn watch(&self, counter: Arc<AtomicU64>) {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).push(counter);
    }

    /// So much more is to come.
    pub(super) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    fn shown(&self) -> String {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let moved: u64 = counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        match self.total.load(Ordering::Relaxed) {
            0 => format!("{moved} bytes"),
            // What was tried again was counted again.
            total => format!("{} of {total} bytes", moved.min(total)),
        }
    }
}

/// Moves files, some at the same time, and shows how far it is. Each answers its size. The first trouble ends it all.
pub(super) async fn all<F>(
    moves: impl IntoIterator<Item = F>,
    meter: &Meter,
    printer: &mut Printer,
) -> Result<Moved, Failure>
where
    F: Future<Output = Result<u64, Failure>>,
{
    let mut moving = iter(moves).buffer_unordered(AT_ONCE);
    let mut tell = tokio::time::interval(TOLD_EVERY);
    let mut moved = Moved::default();
    loop {
        tokio::select! {
            ended = moving.next() => match ended {
                Some(bytes) => {
                    moved.files += 1;
                    moved.bytes += bytes?;
                }
                None => break,
            },
            _ = tell.tick() => printer.progress(&meter.shown(), false),
        }
    }
    printer.end_progress();
    Ok(moved)
}

impl Moved {
    /// Says so.
    pub(super) fn tell(self, printer: &mut Printer) -> Result<(), Failure> {
        let Self { files, bytes } = self;
        if printer.is_json() {
            return printer.json(&serde_json::json!({ "files": files, "bytes": bytes }));
        }
        let noun = if files == 1 { "file" } else { "files" };
        printer.line(&format!("{files} {noun}, {bytes} bytes"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_bytes() {
        let meter = Meter::default();
        let counter = Arc::new(AtomicU64::new(7));
        meter.watch(counter.clone());
        assert_eq!(meter.shown(), "7 bytes");
        meter.expect(10);
        assert_eq!(meter.shown(), "7 of 10 bytes");
        counter.store(12, Ordering::Relaxed);
        assert_eq!(meter.shown(), "10 of 10 bytes");
    }

    #[tokio::test]
    async fn the_first_trouble_ends_it() {
        let mut printer = Printer::new(false);
        let moves = (0..20).map(|at| async move { if at == 5 { Err(Failure::usage("broken")) } else { Ok(at) } });
        assert_eq!(all(moves, &Meter::default(), &mut printer).await.unwrap_err().message, "broken");
        let moves = (0..20).map(|at| async move { Ok(at) });
        assert_eq!(all(moves, &Meter::default(), &mut printer).await.unwrap(), Moved { files: 20, bytes: 190 });
    }
}
