//! Domain values as the columns of a database, and back: the same in every store.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::task::{JobRef, Owner, Phase, TaskId, TaskState};

/// A column that this build cannot read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub(super) String);

/// Every phase with its number. Stored: numbers are never given anew.
const PHASES: [(Phase, i64); 10] = [
    (Phase::Queued, 0),
    (Phase::Initializing, 1),
    (Phase::Running, 2),
    (Phase::Paused, 3),
    (Phase::Preempted, 4),
    (Phase::Canceling, 5),
    (Phase::Complete, 6),
    (Phase::ExecutorError, 7),
    (Phase::SystemError, 8),
    (Phase::Canceled, 9),
];

/// A phase's number.
pub(super) fn from_phase(phase: Phase) -> i64 {
    match phase {
        Phase::Queued => 0,
        Phase::Initializing => 1,
        Phase::Running => 2,
        Phase::Paused => 3,
        Phase::Preempted => 4,
        Phase::Canceling => 5,
        Phase::Complete => 6,
        Phase::ExecutorError => 7,
        Phase::SystemError => 8,
        Phase::Canceled => 9,
    }
}

/// A number's phase.
pub(super) fn phase(number: i64) -> Result<Phase, Unreadable> {
    let known = PHASES.iter().find(|(_, n)| *n == number).map(|(phase, _)| *phase);
    known.ok_or_else(|| Unreadable(format!("a task is in phase {number}, which this build does not know")))
}

/// Waits, unclaimed.
pub(super) const WAITING: i64 = 0;
/// Waits, claimed.
pub(super) const CLAIMED: i64 = 1;
/// A backend has it.
pub(super) const OUTSIDE: i64 = 2;
/// Its cancel was requested.
pub(super) const CANCELING: i64 = 3;
/// Never changes again.
pub(super) const ENDED: i64 = 4;

/// What the partial indexes sort by.
pub(super) fn from_state(state: &TaskState) -> i64 {
    match state {
        TaskState::Queued { claimed: false, .. } => WAITING,
        TaskState::Queued { claimed: true, .. } => CLAIMED,
        TaskState::Initializing { .. }
        | TaskState::Running { .. }
        | TaskState::Paused { .. }
        | TaskState::Preempted { .. } => OUTSIDE,
        TaskState::Canceling { .. } => CANCELING,
        TaskState::Complete | TaskState::ExecutorError | TaskState::SystemError | TaskState::Canceled => ENDED,
    }
}

/// A moment as nanoseconds since 1970; moments beyond the years 1677 and 2262 are stored as those.
pub(super) fn from_moment(moment: Timestamp) -> i64 {
    let nanos = moment.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// The moment of so many nanoseconds since 1970.
pub(super) fn moment(nanos: i64) -> Result<Timestamp, Unreadable> {
    Timestamp::from_nanosecond(i128::from(nanos)).map_err(|error| Unreadable(error.to_string()))
}

/// A moment that may be absent; absent sorts before all others.
pub(super) fn from_optional_moment(moment: Option<Timestamp>) -> i64 {
    moment.map_or(i64::MIN, from_moment)
}

/// An amount; what is more than a column holds is stored as the most it holds.
pub(super) fn from_amount(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// An amount. Never negative.
pub(super) fn amount(column: i64) -> u64 {
    u64::try_from(column).unwrap_or(0)
}

/// A value as JSON.
pub(super) fn from_document<T: Serialize>(value: &T) -> Result<String, Unreadable> {
    serde_json::to_string(value).map_err(|error| Unreadable(format!("cannot be written as JSON: {error}")))
}

/// A value from its JSON.
pub(super) fn document<T: DeserializeOwned>(what: &str, task: &str, json: &str) -> Result<T, Unreadable> {
    serde_json::from_str(json).map_err(|error| {
        warn!(task, "the {what} of a task cannot be read: {error}");
        Unreadable(format!("the {what} of task `{task}` cannot be read by this build: {error}"))
    })
}

/// An id.
pub(super) fn task_id(text: &str) -> Result<TaskId, Unreadable> {
    TaskId::parse(text).ok_or_else(|| Unreadable(format!("`{text}` is no id of a task")))
}

/// An owner.
pub(super) fn owner(text: &str) -> Owner {
    Owner(text.to_owned())
}

/// Before when a state is not to be tried; absent sorts before all moments.
pub(super) fn not_before(state: &TaskState) -> i64 {
    match state {
        TaskState::Queued { not_before, .. } => from_optional_moment(*not_before),
        TaskState::Initializing { .. }
        | TaskState::Running { .. }
        | TaskState::Paused { .. }
        | TaskState::Preempted { .. }
        | TaskState::Canceling { .. }
        | TaskState::Complete
        | TaskState::ExecutorError
        | TaskState::SystemError
        | TaskState::Canceled => from_optional_moment(None),
    }
}

/// The job that this step is the end of: its leavings are to be removed.
pub(super) fn over<'a>(from: &'a TaskState, to: &TaskState) -> Option<&'a JobRef> {
    from.job().filter(|_| to.job().is_none())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn phases_and_numbers_are_the_same_both_ways() {
        for (known, number) in PHASES {
            assert_eq!(from_phase(known), number);
            assert_eq!(phase(number).unwrap(), known);
        }
        assert!(phase(10).is_err());
    }

    #[test]
    fn moments_keep_their_nanoseconds_and_absurd_ones_their_order() {
        let fine: Timestamp = "2026-11-22T01:02:03.123456789Z".parse().unwrap();
        assert_eq!(moment(from_moment(fine)).unwrap(), fine);
        assert!(from_optional_moment(None) < from_moment(fine));
        assert_eq!(from_moment(Timestamp::MAX), i64::MAX);
        assert_eq!(from_moment(Timestamp::MIN), i64::MIN);
    }
}
