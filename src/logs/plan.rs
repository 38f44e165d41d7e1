//! What of a task's logs is whole already, and what is still to be collected. Pure.

use bytes::Bytes;
use tessera_contract::Stream;

use crate::task::{Attempt, ExecutorLog, JobRef, Phase, Task};

/// An attempt, as far as its logs are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The attempt.
    pub number: u32,
    /// Where its job is or was.
    pub job: Option<JobRef>,
    /// Nothing of it runs any more.
    pub over: bool,
    /// What is known of each executor of the task.
    pub executors: Vec<Known>,
}

/// What is known of an executor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// It never ran and never will.
    pub never: bool,
    /// The whole text of each stream, where the history holds it.
    pub whole: [Option<Bytes>; 2],
}

impl Outline {
    /// The texts that were known before are taken from there: one copy of each is enough.
    pub fn sharing(mut self, before: &Self) -> Self {
        for (new, old) in self.executors.iter_mut().zip(&before.executors) {
            for (new, old) in new.whole.iter_mut().zip(&old.whole) {
                if new == old {
                    new.clone_from(old);
                }
            }
        }
        self
    }
}

/// The attempts of a task. Of a job that the engine knows to be over, its attempt is, whatever the history says yet.
pub fn outlines(task: &Task, is_over: impl Fn(&JobRef) -> bool) -> Vec<Outline> {
    let phase = task.state.phase();
    let last = task.attempts.last().map(|attempt| attempt.number);
    let outline = |attempt: &Attempt| {
        let is_last = Some(attempt.number) == last;
        let over =
            attempt.ended.is_some() || !is_last || phase.is_terminal() || attempt.job.as_ref().is_some_and(&is_over);
        // Whatever ended well, or by a command's failure, has told of every command that ran.
        let all_told = over && is_last && matches!(phase, Phase::Complete | Phase::ExecutorError);
        Outline {
            number: attempt.number,
            job: attempt.job.clone(),
            over,
            executors: executors(attempt, task.spec.executors.len(), over, all_told),
        }
    };
    task.attempts.iter().map(outline).collect()
}

fn executors(attempt: &Attempt, count: usize, over: bool, all_told: bool) -> Vec<Known> {
    let told = |index: usize| attempt.executors.iter().find(|log| usize::try_from(log.index) == Ok(index));
    let next = attempt.executors.iter().filter_map(|log| usize::try_from(log.index).ok()).max().map_or(0, |n| n + 1);
    let known = |index: usize| match told(index) {
        Some(log) => Known { never: false, whole: whole(log) },
        // One may have run that nobody could tell of: a job that was stopped or lost in the middle of it.
        None if index == next && !all_told => Known::default(),
        None => Known { never: over, ..Known::default() },
    };
    (0..count).map(known).collect()
}

fn whole(log: &ExecutorLog) -> [Option<Bytes>; 2] {
    let text = |is_whole: bool, text: &String| is_whole.then(|| Bytes::copy_from_slice(text.as_bytes()));
    [text(log.stdout_whole, &log.stdout), text(log.stderr_whole, &log.stderr)]
}

impl Known {
    /// Whether there is nothing to collect.
    pub fn needs_nothing(&self) -> bool {
        self.never || self.whole.iter().all(Option::is_some)
    }

    /// The whole text of a stream, where the history holds it.
    pub fn whole(&self, stream: Stream) -> Option<&Bytes> {
        self.whole[super::picture::index(stream)].as_ref()
    }
}
