//! What followers see of a task's logs: a value that is published anew with each change, and shared by all of them.

use bytes::Bytes;
use tessera_contract::Stream;

use crate::task::{JobRef, Phase};

/// A task's logs at a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// The backend was looked at: what was printed until then is here.
    pub fresh: bool,
    /// Where the task stands, once known.
    pub phase: Option<Phase>,
    /// The attempts, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Why nothing is collected at the moment.
    pub trouble: Option<Trouble>,
}

/// Why nothing is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk of the logs has no room left.
    Full,
    /// The backend knows nothing of a job that is not known to be over.
    Missing,
    /// Something else does not answer: the backend, the store, the disk.
    Silent,
}

/// An attempt's logs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AttemptView {
    /// The attempt.
    pub number: u32,
    /// Its job, if a backend took it.
    pub job: Option<JobRef>,
    /// Its executors, all that the task has.
    pub executors: Vec<[StreamView; 2]>,
    /// Nothing of it will change any more.
    pub closed: bool,
    /// Its job went before all of it was here, or cannot be asked from here: it may be whole on another server.
    pub cut_off: bool,
}

/// A stream's log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamView {
    /// Where it is.
    pub kept: Kept,
    /// Bytes there are.
    pub length: u64,
    /// No more will come.
    pub closed: bool,
}

/// Where a log is. Two are the same when the bytes lie in the same place; their text is not compared.
#[derive(Debug, Clone, Default)]
pub enum Kept {
    /// In its file, which is not there before the first byte.
    #[default]
    File,
    /// The same, with the bytes that came last, which begin at an offset: most followers want just these.
    Edge(u64, Bytes),
    /// In the task's history.
    Text(Bytes),
    /// It was kept, and its time is over.
    Gone,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Bytes, b: &Bytes| a.len() == b.len() && std::ptr::eq(a.as_ptr(), b.as_ptr());
        match (self, other) {
            (Self::File, Self::File) | (Self::Gone, Self::Gone) => true,
            (Self::Edge(a, ours), Self::Edge(b, theirs)) => a == b && same(ours, theirs),
            (Self::Text(ours), Self::Text(theirs)) => same(ours, theirs),
            (Self::File | Self::Gone | Self::Edge(..) | Self::Text(_), _) => false,
        }
    }
}

impl Picture {
    /// Whether nothing of it will change any more.
    pub fn is_final(&self) -> bool {
        self.phase.is_some_and(Phase::is_terminal) && self.attempts.iter().all(|attempt| attempt.closed)
    }

    /// An attempt.
    pub fn attempt(&self, number: u32) -> Option<&AttemptView> {
        self.attempts.iter().find(|attempt| attempt.number == number)
    }

    /// The attempt that a job makes.
    pub fn of_job(&self, job: &JobRef) -> Option<&AttemptView> {
        self.attempts.iter().find(|attempt| attempt.job.as_ref() == Some(job))
    }

    /// A stream.
    pub fn stream(&self, attempt: u32, executor: u32, stream: Stream) -> Option<&StreamView> {
        let executor = usize::try_from(executor).ok()?;
        Some(&self.attempt(attempt)?.executors.get(executor)?[index(stream)])
    }
}

/// Both streams, in the order in which they are shown.
pub const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// A stream's place among [`STREAMS`].
pub fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}
