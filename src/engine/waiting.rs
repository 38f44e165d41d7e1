//! What a task waits for, as data and as a sentence. Pure: the system log, the command line and our own API say the
//! same words, because they are these.

use std::fmt;

use jiff::Timestamp;
use tessera_contract::{Capacity, Observation};
use tessera_runtime::doing::Work;

use super::place::{Fit, Need, Room, Short, fit};
use super::site::Down;

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// In the queue.
    InQueue {
        /// Where it will run.
        backend: String,
        /// Unclaimed tasks before it for the same backend, those that are not to be tried yet included.
        ahead: u64,
        /// What it lacks; `None` when it would fit, and others are looked at first.
        lacks: Option<Lacks>,
    },
    /// In the queue, and not to be tried before.
    NextTry {
        /// Where it will be tried.
        backend: String,
        /// Tasks before it for the same backend.
        ahead: u64,
        /// When.
        at: Timestamp,
        /// The attempt that waits.
        attempt: u32,
        /// How often this attempt was not taken.
        refusals: u32,
        /// What went wrong, where it is known.
        reason: Option<String>,
    },
    /// In the queue of a backend that does not do its work.
    BackendUnavailable {
        /// Which.
        backend: String,
        /// Tasks before it for the same backend.
        ahead: u64,
        /// Since when.
        since: Timestamp,
        /// Its last words.
        reason: String,
        /// When it is tried again.
        next_try: Timestamp,
    },
    /// It belongs to a backend that is not configured, or not any more.
    BackendMissing {
        /// Which.
        backend: String,
    },
    /// Only a server that does not answer can tell of it, or take it.
    ServerAway {
        /// The backend.
        backend: String,
        /// The server.
        server: String,
        /// Since when it does not, if that is known.
        since: Option<Timestamp>,
    },
    /// On its way to the backend.
    HandingOver {
        /// Which.
        backend: String,
    },
    /// The backend has it and has not begun.
    AtBackend {
        /// Which.
        backend: String,
        /// The backend's own words.
        reason: Option<String>,
    },
    /// The job cannot be read at the moment.
    Unreadable {
        /// Where it is.
        backend: String,
        /// Why.
        reason: String,
    },
    /// The job is about something that takes its time.
    OnWork {
        /// Since when.
        since: Timestamp,
        /// With what.
        work: Work,
    },
    /// Its cancel was asked for, and something may still run.
    Canceling {
        /// Since when.
        since: Timestamp,
    },
}

/// What a task lacks, and how much of it is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacks {
    /// What.
    pub short: Short,
    /// How much is free now, in the units of `short`.
    pub free: u64,
}

/// All that decides what a queued task waits for.
pub(super) struct Queued<'a> {
    pub(super) backend: &'a str,
    pub(super) ahead: u64,
    pub(super) attempt: u32,
    pub(super) claimed: bool,
    pub(super) not_before: Option<Timestamp>,
    pub(super) refusals: u32,
    pub(super) reason: Option<String>,
    pub(super) down: Option<Down>,
    pub(super) need: Need,
    pub(super) capacity: &'a Capacity,
    pub(super) room: &'a Room,
    pub(super) now: Timestamp,
}

impl Queued<'_> {
    /// What it waits for: first what would keep it waiting even if all the rest were well.
    pub(super) fn waits(self) -> Waiting {
        let (backend, ahead) = (self.backend.to_owned(), self.ahead);
        if let Some(down) = self.down {
            return unavailable(backend, ahead, &down);
        }
        if self.claimed {
            return Waiting::HandingOver { backend };
        }
        if let Some(at) = self.not_before.filter(|at| *at > self.now) {
            let Self { attempt, refusals, reason, .. } = self;
            return Waiting::NextTry { backend, ahead, at, attempt, refusals, reason };
        }
        let lacks = match fit(self.need, self.capacity, self.room) {
            Fit::Now => None,
            Fit::Later(short) | Fit::Never(short) => Some(Lacks { short, free: self.room.free(short) }),
        };
        Waiting::InQueue { backend, ahead, lacks }
    }
}

/// A task that waits for a backend which does not do its work.
pub(super) fn unavailable(backend: String, ahead: u64, down: &Down) -> Waiting {
    let Down { since, reason, .. } = down;
    Waiting::BackendUnavailable { backend, ahead, since: *since, reason: reason.clone(), next_try: down.next_try() }
}

/// What a task with a job waits for; `None` when its command runs.
pub(super) fn outside(backend: &str, seen: &Observation) -> Option<Waiting> {
    let backend = backend.to_owned();
    match seen {
        Observation::Waiting { reason } => Some(Waiting::AtBackend { backend, reason: reason.clone() }),
        Observation::Working(progress) => match progress.doing.clone() {
            Some(doing) => match doing.work {
                Work::Running { .. } => None,
                work @ (Work::Pulling { .. } | Work::Fetching { .. } | Work::Delivering { .. }) => {
                    Some(Waiting::OnWork { since: doing.since, work })
                }
            },
            None if progress.started.is_none() => {
                Some(Waiting::AtBackend { backend, reason: Some("the job is being prepared".to_owned()) })
            }
            None => None,
        },
        Observation::Paused => Some(Waiting::AtBackend { backend, reason: Some("the job is paused".to_owned()) }),
        Observation::Preempted { reason } => Some(Waiting::AtBackend { backend, reason: Some(reason.clone()) }),
        Observation::Unreadable { reason } => Some(Waiting::Unreadable { backend, reason: reason.clone() }),
        // What follows is recorded at the next look.
        Observation::Ended(_) | Observation::Stopped | Observation::Lost { .. } => None,
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InQueue { backend, ahead, lacks: Some(Lacks { short, free }) } => {
                let (free, ahead) = (short.amount(*free), Ahead(*ahead));
                write!(f, "waiting for room on backend `{backend}`: the task {short}, {free} free; {ahead}")
            }
            Self::InQueue { backend, ahead, lacks: None } => {
                write!(f, "waiting for its turn on backend `{backend}`: {}", Ahead(*ahead))
            }
            Self::NextTry { backend, at, attempt, refusals, reason, .. } => {
                write!(f, "waiting for the next try on backend `{backend}` at {at:.0}")?;
                match (refusals, attempt) {
                    (0, 0..=1) => {}
                    (0, attempt) => write!(f, ", after attempt {} failed", attempt - 1)?,
                    (1, _) => write!(f, ", after it could not take the job once")?,
                    (times, _) => write!(f, ", after it could not take the job {times} times")?,
                }
                reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
            }
            Self::BackendUnavailable { backend, since, reason, next_try, .. } => {
                write!(
                    f,
                    "waiting for backend `{backend}`, which cannot take jobs now: {reason}; it is so since {since:.0}, \
                     next try at {next_try:.0}"
                )
            }
            Self::BackendMissing { backend } => write!(f, "waiting for backend `{backend}`, which is not configured"),
            Self::ServerAway { backend, server, since } => {
                write!(
                    f,
                    "waiting for server `{server}`, which alone can ask backend `{backend}` and has not answered"
                )?;
                since.map_or(Ok(()), |since| write!(f, " since {since:.0}"))
            }
            Self::HandingOver { backend } => write!(f, "being handed to backend `{backend}`"),
            Self::AtBackend { backend, reason: Some(reason) } => write!(f, "waiting at backend `{backend}`: {reason}"),
            Self::AtBackend { backend, reason: None } => {
                write!(f, "waiting at backend `{backend}`, which has not begun with it")
            }
            Self::Unreadable { backend, reason } => {
                write!(f, "backend `{backend}` does not tell of the job: {reason}; it may go on all the same")
            }
            Self::OnWork { work, .. } => work.fmt(f),
            Self::Canceling { since } => write!(f, "being cancelled since {since:.0}"),
        }
    }
}

struct Ahead(u64);

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => write!(f, "no task is ahead of it"),
            1 => write!(f, "1 task is ahead of it"),
            ahead => write!(f, "{ahead} tasks are ahead of it"),
        }
    }
}

#[cfg(test)]
mod tests;
