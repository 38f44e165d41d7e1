//! The machine: the only law about a task's states (TES contract §14).
//!
//! ```text
//!            claim, submit         first executor          report
//!   Queued ───────────────► Initializing ─────► Running ───────────► Complete
//!     ▲                          │                 │
//!     └────── a new attempt ─────┴─────────────────┘
//! ```
//!
//! The exits:
//!
//! | from | may end as |
//! |---|---|
//! | any that is not terminal | SystemError; Canceled, by way of Canceling when something is still outside |
//! | Initializing, Running, Paused | ExecutorError |
//! | Initializing, Running | Preempted, which goes on as a new attempt or ends |
//! | Canceling | Canceled, whatever the job still says |
//!
//! A job first seen after it ended passes the states it skipped in one event (14.3). A retry is a new attempt of
//! the same task, never an arrow backwards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::{Event, JobRef, Seen, Verdict};

/// Where a task stands. What must be known in a state lives in its variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waiting for a place.
    Queued {
        /// The attempt that waits; the first is 1.
        attempt: u32,
        /// A dispatcher holds it: a job may exist outside.
        claimed: bool,
        /// Not to be tried before.
        not_before: Option<Timestamp>,
        /// How often a backend could not take this attempt.
        refusals: u32,
    },
    /// Handed to a backend: node, images, inputs.
    Initializing {
        /// The attempt.
        attempt: u32,
        /// Its job.
        job: JobRef,
        /// What the history holds of its progress.
        seen: Seen,
    },
    /// The first executor has started.
    Running {
        /// The attempt.
        attempt: u32,
        /// Its job.
        job: JobRef,
        /// What the history holds of its progress.
        seen: Seen,
    },
    /// Held by the backend.
    Paused {
        /// The attempt.
        attempt: u32,
        /// Its job.
        job: JobRef,
        /// What the history holds of its progress.
        seen: Seen,
    },
    /// Capacity was reclaimed; a new attempt or the end follows.
    Preempted {
        /// The attempt that was reclaimed.
        attempt: u32,
        /// Its job.
        job: JobRef,
        /// What the history holds of its progress.
        seen: Seen,
    },
    /// Cancel was asked, and something may still be outside.
    Canceling {
        /// The attempt.
        attempt: u32,
        /// Its job; `None` while a dispatcher that may hand it over has not answered.
        job: Option<JobRef>,
        /// What the history holds of its progress.
        seen: Seen,
        /// What the outside world is shown until it has stopped (14.7).
        shown: Phase,
    },
    /// All executors ended well and every output is delivered.
    Complete,
    /// An executor failed.
    ExecutorError,
    /// Something else failed.
    SystemError,
    /// Cancelled, and nothing is left outside.
    Canceled,
}

/// A state without its data: what the outside world sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// See [`TaskState::Queued`].
    Queued,
    /// See [`TaskState::Initializing`].
    Initializing,
    /// See [`TaskState::Running`].
    Running,
    /// See [`TaskState::Paused`].
    Paused,
    /// See [`TaskState::Preempted`].
    Preempted,
    /// See [`TaskState::Canceling`].
    Canceling,
    /// See [`TaskState::Complete`].
    Complete,
    /// See [`TaskState::ExecutorError`].
    ExecutorError,
    /// See [`TaskState::SystemError`].
    SystemError,
    /// See [`TaskState::Canceled`].
    Canceled,
}

/// What the machine answers to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The task stands elsewhere now.
    Moves(TaskState),
    /// A repeat or a late report: nothing changes, and that is right.
    Unchanged,
    /// Nonsense; nothing changes.
    Refused(Refusal),
}

/// Why an event makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It speaks of an attempt that has not begun.
    #[error("the event names an attempt that has not begun")]
    FutureAttempt,
    /// It says something of a job that was never handed over.
    #[error("the event speaks of a job, and none was handed over")]
    NoJob,
    /// It names another job than the one this attempt has.
    #[error("the attempt has another job already")]
    OtherJob,
    /// It says a job was stopped that nobody asked to stop.
    #[error("nobody asked to cancel")]
    NotCanceling,
    /// It takes or postpones a task that is not waiting.
    #[error("the task is not waiting")]
    NotQueued,
    /// It goes on with a job that was not paused.
    #[error("the task is not paused")]
    NotPaused,
}

use Step::{Moves, Refused, Unchanged};

impl TaskState {
    /// Where every task begins.
    pub fn new() -> Self {
        Self::queued(1, None)
    }

    fn queued(attempt: u32, not_before: Option<Timestamp>) -> Self {
        Self::Queued { attempt, claimed: false, not_before, refusals: 0 }
    }

    /// What becomes of this state by an event. One exhaustive table; nothing else moves a task.
    pub fn after(&self, event: &Event) -> Step {
        let Some(current) = self.attempt() else {
            // 14.1: a terminal state never changes, whatever arrives late.
            return Unchanged;
        };
        match event.attempt() {
            Some(attempt) if attempt < current => return Unchanged,
            Some(attempt) if attempt > current => return Refused(Refusal::FutureAttempt),
            Some(_) | None => {}
        }
        match self {
            Self::Queued { attempt, claimed, not_before, refusals } => {
                after_queued(*attempt, *claimed, *not_before, *refusals, event)
            }
            Self::Initializing { attempt, job, seen } => {
                after_handed_over(Held { from: Phase::Initializing, attempt: *attempt, job, seen: *seen }, event)
            }
            Self::Running { attempt, job, seen } => {
                after_handed_over(Held { from: Phase::Running, attempt: *attempt, job, seen: *seen }, event)
            }
            Self::Paused { attempt, job, seen } => {
                after_handed_over(Held { from: Phase::Paused, attempt: *attempt, job, seen: *seen }, event)
            }
            Self::Preempted { attempt, job, seen } => after_preempted(*attempt, job, *seen, event),
            Self::Canceling { attempt, job, seen, shown } => {
                after_canceling(*attempt, job.as_ref(), *seen, *shown, event)
            }
            Self::Complete | Self::ExecutorError | Self::SystemError | Self::Canceled => Unchanged,
        }
    }

    /// The attempt in hand; `None` once the task has ended.
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::Queued { attempt, .. }
            | Self::Initializing { attempt, .. }
            | Self::Running { attempt, .. }
            | Self::Paused { attempt, .. }
            | Self::Preempted { attempt, .. }
            | Self::Canceling { attempt, .. } => Some(*attempt),
            Self::Complete | Self::ExecutorError | Self::SystemError | Self::Canceled => None,
        }
    }

    /// The job outside, if one is known.
    pub fn job(&self) -> Option<&JobRef> {
        match self {
            Self::Initializing { job, .. }
            | Self::Running { job, .. }
            | Self::Paused { job, .. }
            | Self::Preempted { job, .. } => Some(job),
            Self::Canceling { job, .. } => job.as_ref(),
            Self::Queued { .. } | Self::Complete | Self::ExecutorError | Self::SystemError | Self::Canceled => None,
        }
    }

    /// What the history holds of the job's progress.
    pub fn seen(&self) -> Seen {
        match self {
            Self::Initializing { seen, .. }
            | Self::Running { seen, .. }
            | Self::Paused { seen, .. }
            | Self::Preempted { seen, .. }
            | Self::Canceling { seen, .. } => *seen,
            Self::Queued { .. } | Self::Complete | Self::ExecutorError | Self::SystemError | Self::Canceled => {
                Seen::default()
            }
        }
    }

    /// What the outside world is shown.
    pub fn phase(&self) -> Phase {
        match self {
            Self::Queued { .. } => Phase::Queued,
            Self::Initializing { .. } => Phase::Initializing,
            Self::Running { .. } => Phase::Running,
            Self::Paused { .. } => Phase::Paused,
            Self::Preempted { .. } => Phase::Preempted,
            Self::Canceling { shown, .. } => *shown,
            Self::Complete => Phase::Complete,
            Self::ExecutorError => Phase::ExecutorError,
            Self::SystemError => Phase::SystemError,
            Self::Canceled => Phase::Canceled,
        }
    }

    /// Whether it never changes again.
    pub fn is_terminal(&self) -> bool {
        self.attempt().is_none()
    }
}

impl Default for TaskState {
    fn default() -> Self {
        Self::new()
    }
}

impl Phase {
    /// Whether a task in this phase never changes again.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Complete | Self::ExecutorError | Self::SystemError | Self::Canceled => true,
            Self::Queued | Self::Initializing | Self::Running | Self::Paused | Self::Preempted | Self::Canceling => {
                false
            }
        }
    }
}

/// The terminal state that a verdict means.
fn ended(verdict: Verdict) -> TaskState {
    match verdict {
        Verdict::Complete => TaskState::Complete,
        Verdict::ExecutorError => TaskState::ExecutorError,
        Verdict::SystemError => TaskState::SystemError,
        Verdict::Canceled => TaskState::Canceled,
    }
}

fn after_queued(attempt: u32, claimed: bool, not_before: Option<Timestamp>, refusals: u32, event: &Event) -> Step {
    match event {
        Event::Claimed { .. } if claimed => Unchanged,
        Event::Claimed { .. } => Moves(TaskState::Queued { attempt, claimed: true, not_before, refusals }),
        Event::Postponed { until, .. } if claimed => Moves(TaskState::Queued {
            attempt,
            claimed: false,
            not_before: Some(*until),
            refusals: refusals.saturating_add(1),
        }),
        Event::Postponed { .. } => Unchanged,
        Event::Submitted { job, .. } if claimed => {
            Moves(TaskState::Initializing { attempt, job: job.clone(), seen: Seen::default() })
        }
        // A hand-over without a claim would be a job that a cancel could not know of.
        Event::Submitted { .. } => Refused(Refusal::NotQueued),
        // 14.6: cancelled while queued never starts; when a dispatcher holds it, its answer decides.
        Event::CancelRequested { .. } if !claimed => Moves(TaskState::Canceled),
        Event::CancelRequested { shown } => Moves(TaskState::Canceling {
            attempt,
            job: None,
            seen: Seen::default(),
            shown: if *shown { Phase::Canceling } else { Phase::Queued },
        }),
        // Refused by every backend before there was a job. Only a system fault can be said of nothing.
        Event::Ended { result, .. } => match result.verdict {
            Verdict::SystemError => Moves(TaskState::SystemError),
            Verdict::Complete | Verdict::ExecutorError | Verdict::Canceled => Refused(Refusal::NoJob),
        },
        Event::Retried { not_before, .. } if claimed => Moves(TaskState::queued(attempt + 1, *not_before)),
        Event::Retried { .. }
        | Event::Advanced { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Preempted { .. } => Refused(Refusal::NoJob),
        Event::Stopped { .. } => Refused(Refusal::NotCanceling),
        Event::Noted { .. } => Unchanged,
    }
}

/// A state in which a backend has the job.
struct Held<'a> {
    from: Phase,
    attempt: u32,
    job: &'a JobRef,
    seen: Seen,
}

fn after_handed_over(held: Held<'_>, event: &Event) -> Step {
    let Held { from, attempt, job, seen } = held;
    match event {
        Event::Claimed { .. } | Event::Postponed { .. } => Refused(Refusal::NotQueued),
        Event::Submitted { job: other, .. } if other == job => Unchanged,
        Event::Submitted { .. } => Refused(Refusal::OtherJob),
        Event::Advanced { started, seen: now, .. } => {
            let seen_now = Seen { executors: seen.executors.max(now.executors), notes: seen.notes.max(now.notes) };
            let starts = from == Phase::Initializing && started.is_some();
            if seen_now == seen && !starts {
                return Unchanged;
            }
            let job = job.clone();
            Moves(match from {
                Phase::Paused => TaskState::Paused { attempt, job, seen: seen_now },
                Phase::Initializing if !starts => TaskState::Initializing { attempt, job, seen: seen_now },
                Phase::Initializing
                | Phase::Running
                | Phase::Queued
                | Phase::Preempted
                | Phase::Canceling
                | Phase::Complete
                | Phase::ExecutorError
                | Phase::SystemError
                | Phase::Canceled => TaskState::Running { attempt, job, seen: seen_now },
            })
        }
        Event::Paused { .. } if from == Phase::Running => Moves(TaskState::Paused { attempt, job: job.clone(), seen }),
        // A job that is held before its first executor has started goes on being shown as initializing.
        Event::Paused { .. } => Unchanged,
        Event::Resumed { .. } if from == Phase::Paused => Moves(TaskState::Running { attempt, job: job.clone(), seen }),
        Event::Resumed { .. } => Refused(Refusal::NotPaused),
        Event::Preempted { .. } => Moves(TaskState::Preempted { attempt, job: job.clone(), seen }),
        Event::Retried { not_before, .. } => Moves(TaskState::queued(attempt + 1, *not_before)),
        Event::Ended { result, .. } => match result.verdict {
            Verdict::Canceled => Refused(Refusal::NotCanceling),
            Verdict::Complete | Verdict::ExecutorError | Verdict::SystemError => Moves(ended(result.verdict)),
        },
        Event::CancelRequested { shown } => Moves(TaskState::Canceling {
            attempt,
            job: Some(job.clone()),
            seen,
            shown: if *shown { Phase::Canceling } else { from },
        }),
        Event::Stopped { .. } => Refused(Refusal::NotCanceling),
        Event::Noted { .. } => Unchanged,
    }
}

fn after_preempted(attempt: u32, job: &JobRef, seen: Seen, event: &Event) -> Step {
    match event {
        Event::Claimed { .. } | Event::Postponed { .. } => Refused(Refusal::NotQueued),
        Event::Submitted { job: other, .. } if other == job => Unchanged,
        Event::Submitted { .. } => Refused(Refusal::OtherJob),
        // Late words of a job that is gone.
        Event::Advanced { .. } | Event::Paused { .. } | Event::Resumed { .. } | Event::Preempted { .. } => Unchanged,
        Event::Retried { not_before, .. } => Moves(TaskState::queued(attempt + 1, *not_before)),
        Event::Ended { result, .. } => match result.verdict {
            Verdict::SystemError => Moves(TaskState::SystemError),
            Verdict::Complete | Verdict::ExecutorError | Verdict::Canceled => Unchanged,
        },
        Event::CancelRequested { shown } => Moves(TaskState::Canceling {
            attempt,
            job: Some(job.clone()),
            seen,
            shown: if *shown { Phase::Canceling } else { Phase::Preempted },
        }),
        Event::Stopped { .. } => Refused(Refusal::NotCanceling),
        Event::Noted { .. } => Unchanged,
    }
}

fn after_canceling(attempt: u32, job: Option<&JobRef>, seen: Seen, shown: Phase, event: &Event) -> Step {
    match (event, job) {
        // The dispatcher's answer, late: now there is something to stop.
        (Event::Submitted { job, .. }, None) => {
            Moves(TaskState::Canceling { attempt, job: Some(job.clone()), seen, shown })
        }
        (Event::Submitted { job: other, .. }, Some(job)) if other == job => Unchanged,
        (Event::Submitted { .. }, Some(_)) => Refused(Refusal::OtherJob),
        // The dispatcher's other answers: nothing was handed over, so nothing is left.
        (Event::Postponed { .. } | Event::Ended { .. } | Event::Retried { .. }, None) => Moves(TaskState::Canceled),
        (Event::Postponed { .. }, Some(_)) => Refused(Refusal::NotQueued),
        // 14.4: cancel wins over any result that arrives later.
        (Event::Ended { .. } | Event::Retried { .. }, Some(_)) | (Event::Stopped { .. }, _) => {
            Moves(TaskState::Canceled)
        }
        (Event::Advanced { seen: now, .. }, Some(job)) => {
            let seen_now = Seen { executors: seen.executors.max(now.executors), notes: seen.notes.max(now.notes) };
            if seen_now == seen {
                return Unchanged;
            }
            Moves(TaskState::Canceling { attempt, job: Some(job.clone()), seen: seen_now, shown })
        }
        (Event::Advanced { .. }, None) => Refused(Refusal::NoJob),
        (Event::Paused { .. } | Event::Resumed { .. } | Event::Preempted { .. }, Some(_)) => Unchanged,
        (Event::Paused { .. } | Event::Resumed { .. } | Event::Preempted { .. }, None) => Refused(Refusal::NoJob),
        (Event::CancelRequested { .. } | Event::Noted { .. }, _) => Unchanged,
        // Taking it again settles a claim whose holder died: the search for its job goes on under the new claim.
        (Event::Claimed { .. }, None) => Unchanged,
        (Event::Claimed { .. }, Some(_)) => Refused(Refusal::NotQueued),
    }
}

#[cfg(test)]
mod tests;
