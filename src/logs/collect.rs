//! The one that copies what a task's jobs print, while somebody follows it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tessera_contract::{Backend, BackendError, Handle, LogChunk, Stream};
use tokio::time::Instant;
use tracing::debug;

use super::assembly::{Live, Logs, lock};
use super::picture::{AttemptView, Kept, Picture, STREAMS, StreamView, Trouble, index};
use super::plan::{Known, Outline, outlines};
use super::shelf::{Shelf, Spot};
use super::tape::Tape;
use crate::store::Standing;
use crate::task::{Phase, TaskId, TaskState};

/// Between two looks while something is printed, and while a job runs and prints nothing.
const BUSY: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_millis(90);
/// Between two looks at the task, if nobody tells of a change.
const RELOAD: Duration = Duration::from_secs(1);
/// The longest wait after something failed.
const MOST_WAIT: Duration = Duration::from_secs(5);
/// How long a backend may take for an answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
/// Pieces of one stream in a row: the other one and the next look at the task shall come too.
const IN_A_ROW: usize = 16;
/// The end of a stream that is held in memory, for those who are there.
const EDGE: usize = 64 * 1024;

/// Copies what a task's jobs print to its files, and says so.
pub(super) struct Collector {
    logs: Arc<Logs>,
    task: TaskId,
    live: Live,
    phase: Option<Phase>,
    /// What the task's history was read at: its state, and how many of its jobs were known to be over.
    read_at: Option<(TaskState, usize)>,
    attempts: Vec<Attempt>,
    trouble: Option<Trouble>,
    failures: u32,
    fresh: bool,
    /// There is no such task.
    unknown: bool,
}

struct Attempt {
    outline: Outline,
    executors: Vec<[Copy; 2]>,
    closed: bool,
    /// Its job went before all of it was here: the files are what there is, but not known to be whole.
    cut_off: bool,
}

/// What one look at the backend brought.
#[derive(Default)]
struct Pass {
    /// Some bytes.
    copied: bool,
    /// Of some stream more was there than was copied.
    behind: bool,
}

/// A stream on its way.
#[derive(Default)]
struct Copy {
    tape: Option<Tape>,
    view: StreamView,
}

impl Attempt {
    /// An attempt as it stands on the shelf.
    fn begin(shelf: &Shelf, task: &TaskId, outline: Outline) -> io::Result<Self> {
        let number = outline.number;
        let closed = outline.over && shelf.is_closed(task, number);
        let gone = outline.over && !shelf.holds(task, number) && shelf.was_pruned(task)?;
        let mut executors = Vec::with_capacity(outline.executors.len());
        for (executor, known) in (0..).zip(&outline.executors) {
            let mut pair = [Copy::default(), Copy::default()];
            for stream in STREAMS {
                let copy = &mut pair[index(stream)];
                let spot = Spot { task: task.clone(), attempt: number, executor, stream };
                if gone && !known.never && known.whole(stream).is_none() {
                    copy.view = StreamView { kept: Kept::Gone, length: 0, closed: true };
                } else if closed {
                    copy.view = StreamView { kept: Kept::File, length: shelf.length(&spot)?, closed: true };
                } else {
                    // Opened again when it is written to: of many executors one runs.
                    copy.view.length = shelf.tape(&spot)?.length();
                }
            }
            executors.push(pair);
        }
        let mut attempt = Self { outline: outline.clone(), executors, closed: closed || gone, cut_off: false };
        attempt.learn(outline);
        Ok(attempt)
    }

    /// More is known of it.
    fn learn(&mut self, outline: Outline) {
        for (pair, known) in self.executors.iter_mut().zip(&outline.executors) {
            for stream in STREAMS {
                let copy = &mut pair[index(stream)];
                match known.whole(stream) {
                    Some(text) => {
                        let length = text.len() as u64;
                        copy.view = StreamView { kept: Kept::Text(text.clone()), length, closed: true };
                        copy.tape = None;
                    }
                    None if known.never && copy.view.length == 0 => copy.view.closed = true,
                    None => {}
                }
            }
        }
        self.outline = outline;
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // However it ends, the next follower gets a new one.
        self.logs.leave(&self.task, &self.live, true);
    }
}

impl Collector {
    pub(super) fn new(logs: Arc<Logs>, task: TaskId, live: Live) -> Self {
        Self {
            logs,
            task,
            live,
            phase: None,
            read_at: None,
            attempts: Vec::new(),
            trouble: None,
            failures: 0,
            fresh: false,
            unknown: false,
        }
    }

    /// Copies until nobody follows, or everything is there.
    pub(super) async fn run(mut self) {
        let mut loaded: Option<Instant> = None;
        let mut missing = false;
        loop {
            self.trouble = None;
            let brought = std::mem::take(&mut *lock(&self.live.brought));
            if !brought.is_empty() {
                self.attempts.retain(|attempt| !brought.contains(&attempt.outline.number));
                (self.read_at, loaded) = (None, None);
            }
            // Whoever asks from here on may see more.
            let look = self.live.looks.load(Ordering::Relaxed);
            let is_asked = look > *self.live.looked.borrow();
            if is_asked || loaded.is_none_or(|at| at.elapsed() >= RELOAD) {
                // The moment before: what changes while it is read is read again.
                loaded = Some(Instant::now());
                self.trouble = self.load().await.err();
            }
            let mut pass = Pass::default();
            if let Err(trouble) = self.pass(&mut pass).await {
                self.trouble = Some(trouble);
            }
            let was_missing = std::mem::replace(&mut missing, self.trouble == Some(Trouble::Missing));
            if missing && !was_missing {
                // A job goes after its end was recorded: what is known of the task is older than that.
                loaded = None;
                continue;
            }
            self.failures = if self.trouble.is_some() { self.failures + 1 } else { 0 };
            self.fresh = true;
            let picture = self.publish();
            // A look is over when all is here that was there when it was asked for, or cannot be had.
            if self.trouble.is_some() || !pass.behind {
                self.live.looked.send_replace(look);
            }
            if self.logs.leave(&self.task, &self.live, self.unknown || picture.is_final()) {
                return;
            }
            tokio::select! {
                () = self.live.wake.notified() => loaded = None,
                () = tokio::time::sleep(self.pause(&pass)) => {}
            }
        }
    }

    fn pause(&self, pass: &Pass) -> Duration {
        let runs = self.attempts.iter().any(|attempt| !attempt.closed && attempt.outline.job.is_some());
        match self.failures {
            0 if pass.behind => Duration::ZERO,
            0 if pass.copied => BUSY,
            0 if runs => QUIET,
            0 => RELOAD,
            failures => (BUSY * 2_u32.saturating_pow(failures.min(10))).min(MOST_WAIT),
        }
    }

    /// Looks at the task.
    async fn load(&mut self) -> Result<(), Trouble> {
        // Asked before: of what is known to be over, the history tells the end.
        let over = lock(&self.live.over).clone();
        let standing = self.logs.store.standing(std::slice::from_ref(&self.task)).await;
        let state = match standing.map_err(|error| silent(&error))?.pop() {
            Some(Standing::At(active)) => Some((active.state, over.len())),
            Some(Standing::Unknown | Standing::Unreadable) | None => None,
        };
        if state.is_some() && state == self.read_at {
            // Whatever ends or gets on moves the state: the history says nothing new.
            return Ok(());
        }
        let task = self.logs.store.history(&self.task).await.map_err(|error| silent(&error))?;
        let Some(task) = task else {
            self.unknown = true;
            return Ok(());
        };
        self.phase = Some(task.state.phase());
        for outline in outlines(&task, |job| over.contains(job)) {
            match self.attempts.iter_mut().find(|known| known.outline.number == outline.number) {
                Some(known) => {
                    let outline = outline.sharing(&known.outline);
                    known.learn(outline);
                }
                None => {
                    let task = self.task.clone();
                    let begun = self.logs.on_shelf(move |shelf| Attempt::begin(shelf, &task, outline)).await;
                    self.attempts.push(begun.map_err(|error| self.failed(&error))?);
                }
            }
        }
        self.attempts.sort_unstable_by_key(|attempt| attempt.outline.number);
        // Asked for before the history: what happened in between is read again.
        self.read_at = state;
        // Before a file is removed that nobody is to read any more.
        self.publish();
        Ok(())
    }

    /// Copies what there is.
    async fn pass(&mut self, pass: &mut Pass) -> Result<(), Trouble> {
        for number in 0..self.attempts.len() {
            let attempt = &mut self.attempts[number];
            if attempt.closed {
                continue;
            }
            let (over, job) = (attempt.outline.over, attempt.outline.job.clone());
            let backend = job.as_ref().and_then(|job| self.logs.backends.get(&job.backend)).cloned();
            let (Some(backend), Some(job)) = (backend, job) else {
                if over {
                    // Not for good: a backend that is not configured now may be again.
                    attempt.executors.iter_mut().flatten().for_each(|copy| copy.view.closed = true);
                    attempt.closed = true;
                    attempt.cut_off = attempt.outline.job.is_some();
                }
                continue;
            };
            let handle = Handle(job.handle);
            for executor in 0..self.attempts[number].executors.len() {
                for stream in STREAMS {
                    let of = (number, executor, stream);
                    self.copy(&*backend, &handle, of, pass).await?;
                }
                let here = &self.attempts[number].executors[executor];
                // They run one after another.
                if !over && !here.iter().all(|copy| copy.view.closed) {
                    break;
                }
            }
            self.finish(number).await?;
        }
        Ok(())
    }

    async fn copy(
        &mut self,
        backend: &dyn Backend,
        handle: &Handle,
        of @ (number, executor, stream): (usize, usize, Stream),
        pass: &mut Pass,
    ) -> Result<(), Trouble> {
        let mut behind = false;
        for _ in 0..IN_A_ROW {
            let over = self.attempts[number].outline.over;
            if self.at(of).view.closed {
                break;
            }
            let spot = self.spot(of);
            // Taken out while it is written to: a tape that failed is opened anew, and finds out what it holds.
            let tape = match self.at(of).tape.take() {
                Some(tape) => tape,
                None => {
                    self.logs.on_shelf(move |shelf| shelf.tape(&spot)).await.map_err(|error| self.failed(&error))?
                }
            };
            let from = tape.offset();
            let step = u32::try_from(executor).unwrap_or(u32::MAX);
            let asked = tokio::time::timeout(ANSWERS_WITHIN, backend.logs(handle, step, stream, from)).await;
            let chunk = match asked {
                Ok(Ok(chunk)) => chunk,
                // It is gone, as it should be after its end, although not all of it is here: nothing more will come.
                Ok(Err(BackendError::Rejected(_))) if over => {
                    let gone = tape.length() == 0 && self.logs.shelf.is_forgotten(&self.task);
                    let copy = self.at(of);
                    copy.view.length = tape.length();
                    if gone {
                        // So old that nobody knows whether it was kept: nothing would be a wrong answer.
                        copy.view.kept = Kept::Gone;
                    }
                    copy.tape = Some(tape);
                    self.attempts[number].cut_off = true;
                    return self.settle(of).await;
                }
                Ok(Err(BackendError::Rejected(_))) => return Err(Trouble::Missing),
                Ok(Err(error)) => return Err(silent(&error)),
                Err(_) => return Err(silent(&"the backend does not answer")),
            };
            behind = chunk.more;
            if chunk.bytes.is_empty() {
                let ended = chunk.ended || over;
                let copy = self.at(of);
                copy.view.length = tape.length();
                copy.tape = Some(tape);
                if ended {
                    self.settle(of).await?;
                }
                break;
            }
            pass.copied = true;
            self.logs.begun(&self.task);
            let (tape, bytes) = self.append(tape, chunk).await?;
            let copy = self.at(of);
            let more = tape.length().saturating_sub(copy.view.length);
            copy.view.kept = edge(&copy.view.kept, tape.length(), &bytes);
            copy.view.length = tape.length();
            copy.tape = Some(tape);
            lock(&self.logs.held).grow(more);
            self.publish();
        }
        pass.behind |= behind;
        Ok(())
    }

    /// Nothing more of a stream comes: what is here is brought to the disk, and its file let go.
    async fn settle(&mut self, of: (usize, usize, Stream)) -> Result<(), Trouble> {
        if let Some(tape) = self.at(of).tape.take() {
            // When this fails the stream is not closed, and it is opened anew.
            self.logs.on_shelf(move |_| tape.sync()).await.map_err(|error| self.failed(&error))?;
        }
        self.at(of).view.closed = true;
        Ok(())
    }

    async fn append(&self, mut tape: Tape, chunk: LogChunk) -> Result<(Tape, Bytes), Trouble> {
        let appended = self.logs.on_shelf(move |shelf| {
            shelf.check_space()?;
            let bytes = Bytes::from(chunk.bytes);
            tape.append(chunk.next.saturating_sub(bytes.len() as u64), &bytes)?;
            Ok((tape, bytes))
        });
        appended.await.map_err(|error| self.failed(&error))
    }

    /// Closes an attempt whose streams are all there and over.
    async fn finish(&mut self, number: usize) -> Result<(), Trouble> {
        let attempt = &mut self.attempts[number];
        if !attempt.outline.over || !attempt.executors.iter().flatten().all(|copy| copy.view.closed) {
            return Ok(());
        }
        let tapes: Vec<Tape> = attempt.executors.iter_mut().flatten().filter_map(|copy| copy.tape.take()).collect();
        let needed = !attempt.outline.executors.iter().all(Known::needs_nothing);
        let (task, attempt, cut_off) = (self.task.clone(), attempt.outline.number, attempt.cut_off);
        // Where others may be asked for it, that nothing was printed has to be known too.
        let is_shared = self.logs.store.is_shared();
        let closed = self.logs.on_shelf(move |shelf| {
            if !needed {
                // What followers left behind; the history holds all of it.
                return shelf.remove_attempt(&task, attempt);
            }
            tapes.iter().try_for_each(Tape::sync)?;
            if cut_off { Ok(()) } else { shelf.close(&task, attempt, is_shared) }
        });
        closed.await.map_err(|error| self.failed(&error))?;
        self.attempts[number].closed = true;
        self.logs.closed(&self.task);
        Ok(())
    }

    fn publish(&self) -> Arc<Picture> {
        let view = |attempt: &Attempt| AttemptView {
            number: attempt.outline.number,
            job: attempt.outline.job.clone(),
            executors: attempt.executors.iter().map(|pair| pair.each_ref().map(|copy| copy.view.clone())).collect(),
            closed: attempt.closed,
            cut_off: attempt.cut_off,
        };
        let picture = Arc::new(Picture {
            fresh: self.fresh,
            phase: self.phase,
            attempts: self.attempts.iter().map(view).collect(),
            trouble: self.trouble,
        });
        let changed = *self.live.seen.borrow() != picture;
        if changed {
            self.live.seen.send_replace(picture.clone());
        }
        picture
    }

    fn at(&mut self, (number, executor, stream): (usize, usize, Stream)) -> &mut Copy {
        &mut self.attempts[number].executors[executor][index(stream)]
    }

    fn spot(&self, (number, executor, stream): (usize, usize, Stream)) -> Spot {
        let executor = u32::try_from(executor).unwrap_or(u32::MAX);
        Spot { task: self.task.clone(), attempt: self.attempts[number].outline.number, executor, stream }
    }

    fn failed(&self, error: &io::Error) -> Trouble {
        self.logs.say(error);
        if error.kind() == io::ErrorKind::StorageFull { Trouble::Full } else { Trouble::Silent }
    }
}

fn silent(error: &dyn std::fmt::Display) -> Trouble {
    debug!(%error, "what a task prints cannot be collected now");
    Trouble::Silent
}

/// The end of a log that is now so long, these bytes being its last.
fn edge(before: &Kept, length: u64, bytes: &Bytes) -> Kept {
    let new = length.saturating_sub(bytes.len() as u64);
    let old = match before {
        // Without a mark of a gap between the two.
        Kept::Edge(at, old) if *at + old.len() as u64 == new => old.as_ref(),
        Kept::Edge(..) | Kept::File | Kept::Text(_) | Kept::Gone => &[],
    };
    if bytes.len() >= EDGE || old.is_empty() {
        let kept = bytes.slice(bytes.len().saturating_sub(EDGE)..);
        return Kept::Edge(length - kept.len() as u64, kept);
    }
    let old = &old[old.len().saturating_sub(EDGE - bytes.len())..];
    let kept = Bytes::from([old, bytes].concat());
    Kept::Edge(length - kept.len() as u64, kept)
}
