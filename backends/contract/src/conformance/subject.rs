//! What a test provides.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Backend, Handle, Job, JobId, Stream};

/// A backend under test, with hands in the outside world.
#[async_trait]
pub trait Subject: Send + Sync {
    /// The backend, as it is now.
    fn backend(&self) -> Arc<dyn Backend>;

    /// A backend of another installation on the same outside world.
    fn stranger(&self) -> Arc<dyn Backend>;

    /// A new job that does as the script says: a new id at each call, no label but what the backend adds.
    fn job(&self, script: &Script) -> Job;

    /// The server dies, and another begins: from now on [`Subject::backend`] is a new value that knows only what
    /// is outside.
    async fn reopen(&self);

    /// Lets a little time pass: real time on a real engine.
    async fn wait(&self);

    /// After how many [`Subject::wait`]s the suite gives up waiting for something.
    fn patience(&self) -> u32;

    /// How often [`Wish::Count`] was carried out for this mark.
    async fn counted(&self, mark: &str) -> usize;

    /// Whether anything of the job is running, seen with own eyes and not through the backend: a container, a
    /// process.
    async fn is_running(&self, job: &JobId) -> bool;

    /// Makes what the backend reads of this job unreadable, without touching the job.
    async fn make_unreadable(&self, handle: &Handle);

    /// Makes the job vanish without a report, as the loss of a node would.
    async fn lose(&self, handle: &Handle);

    /// How many jobs are more than one page of the backend's inventory.
    fn more_than_a_page(&self) -> usize;
}

/// What a job shall do, in neutral words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Whom the job belongs to; empty for a name of the subject's choice.
    pub owner: String,
    /// Staging never ends: an input that does not come. The first executor never starts.
    pub stalls_before_start: bool,
    /// What each executor does, in order.
    pub steps: Vec<Vec<Wish>>,
}

/// One thing that an executor does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Adds one to a count that is kept outside of the job, under this name (letters, digits and `-`).
    Count(String),
    /// Prints this text, which reaches the command as an argument.
    Print(Stream, String),
    /// Prints this text on standard output, which reaches the command as the value of an environment variable.
    PrintFromEnv(String),
    /// Works for a while.
    RunFor(Duration),
    /// Works until it is stopped.
    Hang,
    /// Ends with this code; without it an executor ends with 0.
    End(i32),
}

impl Script {
    /// One executor.
    pub fn one(wishes: impl IntoIterator<Item = Wish>) -> Self {
        Self { steps: vec![wishes.into_iter().collect()], ..Self::default() }
    }

    /// Several executors, one after another.
    pub fn steps(steps: impl IntoIterator<Item = Vec<Wish>>) -> Self {
        Self { steps: steps.into_iter().collect(), ..Self::default() }
    }
}
