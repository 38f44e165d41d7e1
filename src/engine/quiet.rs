//! Saying a thing to a task's user when it first holds or changes, and then at growing distance.
//!
//! Only remembered in memory: after a restart a task is told once more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::task::TaskId;

/// Sentences of one kind that a task is told at most, as long as it is remembered.
const MOST: u32 = 6;
/// The first distance between two equal sentences; each further one is four times as long.
const DISTANCE: Duration = Duration::from_secs(60);
/// Tasks remembered; beyond that all are forgotten, and some are told once more.
const REMEMBERED: usize = 100_000;

/// Remembers what tasks have been told.
#[derive(Debug, Default)]
pub struct Quiet(Mutex<HashMap<TaskId, Told>>);

#[derive(Debug)]
struct Told {
    reason: String,
    since: Timestamp,
    times: u32,
    next: Timestamp,
}

impl Quiet {
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to tell a task this reason now, after it has held for a while; if so, it counts as told.
    pub fn ask(&self, task: &TaskId, reason: &str, now: Timestamp, holds_for: Duration) -> bool {
        let due = self.is_due(task, reason, now, holds_for);
        if due {
            self.told(task, now);
        }
        due
    }

    /// The same where telling may fail: it counts as told when [`Quiet::told`] says so.
    pub fn is_due(&self, task: &TaskId, reason: &str, now: Timestamp, holds_for: Duration) -> bool {
        let mut all = self.lock();
        if all.len() >= REMEMBERED && !all.contains_key(task) {
            all.clear();
        }
        let told = all.entry(task.clone()).or_insert_with(|| Told {
            reason: reason.to_owned(),
            since: now,
            times: 0,
            next: after(now, holds_for),
        });
        if told.reason != reason {
            reason.clone_into(&mut told.reason);
            told.since = now;
            told.next = after(now, holds_for);
        }
        now >= told.next && told.times < MOST
    }

    /// A task was told the reason that was asked for last.
    pub fn told(&self, task: &TaskId, now: Timestamp) {
        if let Some(told) = self.lock().get_mut(task) {
            told.next = after(now, DISTANCE.saturating_mul(4_u32.saturating_pow(told.times)));
            told.times += 1;
        }
    }

    /// The reason that was asked for last.
    pub fn reason(&self, task: &TaskId) -> Option<String> {
        self.lock().get(task).map(|told| told.reason.clone())
    }

    /// How long the reason has held that was asked for last.
    pub fn held(&self, task: &TaskId, now: Timestamp) -> Option<Duration> {
        let since = self.lock().get(task)?.since;
        Duration::try_from(now.duration_since(since)).ok()
    }

    /// There is nothing more to say to this task.
    pub fn forget(&self, task: &TaskId) {
        self.lock().remove(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }

    #[test]
    fn a_reason_is_told_when_it_has_held_when_it_changes_and_then_seldom() {
        let quiet = Quiet::default();
        let task = TaskId::new(at(0));
        let wait = Duration::from_secs(1);
        let told = |second, reason| quiet.ask(&task, reason, at(second), wait);
        assert!(!told(0, "cores"));
        assert!(told(1, "cores"));
        assert!(!told(2, "cores"));
        assert!(told(61, "cores"));
        assert!(!told(121, "cores"));
        assert!(!told(122, "memory"));
        assert!(told(123, "memory"));
        assert_eq!(quiet.held(&task, at(130)), Some(Duration::from_secs(8)));
    }

    #[test]
    fn a_task_is_told_a_few_times_and_no_more() {
        let quiet = Quiet::default();
        let task = TaskId::new(at(0));
        let told = (0..100_000).filter(|n| {
            let reason = if n % 2 == 0 { "a" } else { "b" };
            quiet.ask(&task, reason, at(*n), Duration::ZERO)
        });
        assert_eq!(told.count(), MOST as usize);
        quiet.forget(&task);
        assert!(quiet.ask(&task, "a", at(0), Duration::ZERO));
    }
}
