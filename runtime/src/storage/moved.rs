//! How much has been moved so far, for people: files of files, bytes of bytes.
//!
//! Counters only, so that counting costs nothing where nobody looks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// No size is known.
const UNKNOWN: u64 = u64::MAX;

/// What all who move files for one job count together.
#[derive(Debug, Default)]
pub struct Moved {
    files: AtomicU64,
    of_files: AtomicU64,
    bytes: AtomicU64,
    of_bytes: AtomicU64,
    /// Files whose size is known.
    sized: AtomicU64,
    /// Sources that count for themselves while they are sent.
    under_way: Mutex<Vec<Arc<AtomicU64>>>,
}

/// How much that is at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Files that are done.
    pub files: u64,
    /// Files that are known of.
    pub of_files: u64,
    /// Bytes that were moved.
    pub bytes: u64,
    /// Bytes of all files; `None` while the size of one is not known.
    pub of_bytes: Option<u64>,
}

impl Moved {
    /// So many files more are to be moved.
    pub fn expect(&self, files: u64) {
        self.of_files.fetch_add(files, Relaxed);
    }

    /// One that was expected stands for several, which are expected instead.
    pub fn is_several(&self) {
        self.of_files.fetch_sub(1, Relaxed);
    }

    /// One of the expected files has this size, and is to be counted with [`Self::one_sized`].
    pub fn expect_size(&self, size: u64) {
        self.of_bytes.fetch_add(size, Relaxed);
        self.sized.fetch_add(1, Relaxed);
    }

    /// Begins with one of the expected files.
    pub fn one(self: &Arc<Self>) -> One {
        One { all: Arc::clone(self), bytes: AtomicU64::new(0), size: AtomicU64::new(UNKNOWN), done: false.into() }
    }

    /// The same for one whose size was said before.
    pub fn one_sized(self: &Arc<Self>, size: Option<u64>) -> One {
        let one = self.one();
        one.size.store(size.unwrap_or(UNKNOWN), Relaxed);
        one
    }

    /// Counts a source's own bytes in while it is sent.
    pub fn watch(&self, source: Arc<AtomicU64>) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// The source is sent, or given up: what it counted is forgotten.
    pub fn unwatch(&self, source: &Arc<AtomicU64>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.retain(|one| !Arc::ptr_eq(one, source));
    }

    /// How much it is now.
    pub fn look(&self) -> Amount {
        let of_files = self.of_files.load(Relaxed);
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let sent: u64 = under_way.iter().map(|one| one.load(Relaxed)).sum();
        drop(under_way);
        let bytes = self.bytes.load(Relaxed).saturating_add(sent);
        let of_bytes = self.of_bytes.load(Relaxed);
        let all_sized = self.sized.load(Relaxed) >= of_files;
        // What is tried again is counted again by some sources.
        let bytes = if all_sized { bytes.min(of_bytes) } else { bytes };
        Amount { files: self.files.load(Relaxed), of_files, bytes, of_bytes: all_sized.then_some(of_bytes) }
    }
}

/// One file of them. What it counted is taken back when it is dropped before it is done.
#[derive(Debug)]
pub struct One {
    all: Arc<Moved>,
    bytes: AtomicU64,
    size: AtomicU64,
    done: AtomicBool,
}

impl One {
    /// It has this size.
    pub fn sized(&self, size: u64) {
        self.unsized_again();
        self.size.store(size, Relaxed);
        self.all.expect_size(size);
    }

    /// So many of its bytes were moved.
    pub fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.all.bytes.fetch_add(bytes, Relaxed);
    }

    /// So many of its bytes have to be moved again.
    pub fn lost(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.all.bytes.fetch_sub(bytes, Relaxed);
    }

    /// All of it has to be moved again.
    pub fn begins_again(&self) {
        let bytes = self.bytes.swap(0, Relaxed);
        self.all.bytes.fetch_sub(bytes, Relaxed);
    }

    /// It is there, in whatever way, with so many bytes.
    pub fn done(&self, size: u64) {
        self.begins_again();
        self.moved(size);
        self.sized(size);
        self.all.files.fetch_add(1, Relaxed);
        self.done.store(true, Relaxed);
    }

    fn unsized_again(&self) {
        let known = self.size.swap(UNKNOWN, Relaxed);
        if known != UNKNOWN {
            self.all.of_bytes.fetch_sub(known, Relaxed);
            self.all.sized.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        if !self.done.load(Relaxed) {
            self.begins_again();
            self.unsized_again();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_bytes_once_every_size_is_known() {
        let moved = Arc::new(Moved::default());
        moved.expect(2);
        let (a, b) = (moved.one(), moved.one());
        a.sized(10);
        a.moved(4);
        assert_eq!(moved.look(), Amount { files: 0, of_files: 2, bytes: 4, of_bytes: None });
        b.sized(5);
        assert_eq!(moved.look().of_bytes, Some(15));
        a.begins_again();
        assert_eq!(moved.look().bytes, 0);
        a.done(12);
        assert_eq!(moved.look(), Amount { files: 1, of_files: 2, bytes: 12, of_bytes: Some(17) });
        b.moved(5);
        drop(b);
        assert_eq!(moved.look(), Amount { files: 1, of_files: 2, bytes: 12, of_bytes: None });
    }

    #[test]
    fn a_directory_stands_for_its_files() {
        let moved = Arc::new(Moved::default());
        moved.expect(1);
        moved.is_several();
        moved.expect(2);
        moved.expect_size(7);
        moved.expect_size(8);
        assert_eq!(moved.look(), Amount { files: 0, of_files: 2, bytes: 0, of_bytes: Some(15) });
        moved.one_sized(Some(7)).done(7);
        assert_eq!(moved.look(), Amount { files: 1, of_files: 2, bytes: 7, of_bytes: Some(15) });
    }

    #[test]
    fn what_a_source_counts_twice_is_no_more_than_there_is() {
        let moved = Moved::default();
        moved.expect(1);
        moved.expect_size(10);
        let source = Arc::new(AtomicU64::new(17));
        moved.watch(Arc::clone(&source));
        assert_eq!(moved.look().bytes, 10);
        moved.unwatch(&source);
        assert_eq!(moved.look().bytes, 0);
    }
}
