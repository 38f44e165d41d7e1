//! Whether a fault is tried again, and when. Pure.
//!
//! The whole of it is a table, *fault × phase → state, log line, retried?*, in `ARCHITECTURE.md` between the marks
//! `faults`; a test walks every row of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tessera_runtime::report::FaultClass;

use super::settings::Settings;

/// What went wrong with an attempt that had a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It would fail again.
    Rejected,
    /// It may pass.
    Unavailable,
    /// An operator must act.
    Misconfigured,
    /// The node, the engine or the job was lost.
    Lost,
    /// Capacity was reclaimed.
    Preempted,
}

impl From<FaultClass> for Trouble {
    fn from(class: FaultClass) -> Self {
        match class {
            FaultClass::Rejected => Self::Rejected,
            FaultClass::Unavailable => Self::Unavailable,
            FaultClass::Misconfigured => Self::Misconfigured,
            FaultClass::Lost => Self::Lost,
        }
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// A new attempt, after a while.
    Again(Duration),
    /// The end, and why there is no new attempt.
    End(Why),
}

/// Why there is no new attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It would fail again, or an operator must act first.
    Final,
    /// A command of the user may have run (TES contract 12.10).
    Started,
    /// The attempts are spent.
    Spent,
}

/// What follows a trouble in an attempt.
pub fn next(settings: &Settings, trouble: Trouble, user_code_started: bool, attempt: u32, seed: &str) -> Next {
    match trouble {
        Trouble::Rejected | Trouble::Misconfigured => return Next::End(Why::Final),
        Trouble::Unavailable | Trouble::Lost if user_code_started && !settings.retry_after_start => {
            return Next::End(Why::Started);
        }
        // Whoever allows capacity to be reclaimed allows the command to be started again (TES contract 14.8).
        Trouble::Unavailable | Trouble::Lost | Trouble::Preempted => {}
    }
    if attempt >= settings.attempts {
        return Next::End(Why::Spent);
    }
    Next::Again(backoff(settings.backoff_first_ms, settings.backoff_most_ms, attempt.saturating_sub(1), seed))
}

/// How long to wait after so many failures before this one: twice as long each time, up to a bound, and a little
/// apart for each seed, so that what failed together does not come back together.
pub fn backoff(first_ms: u64, most_ms: u64, failures_before: u32, seed: &str) -> Duration {
    let grown = first_ms.saturating_mul(1_u64.checked_shl(failures_before.min(40)).unwrap_or(u64::MAX)).min(most_ms);
    let mut hasher = DefaultHasher::new();
    (seed, failures_before).hash(&mut hasher);
    let quarter = grown / 4;
    Duration::from_millis(grown - hasher.finish() % (quarter + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::default()
    }

    #[test]
    fn faults_that_would_come_again_are_final_at_once() {
        for trouble in [Trouble::Rejected, Trouble::Misconfigured] {
            assert_eq!(next(&settings(), trouble, false, 1, "t"), Next::End(Why::Final));
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_until_the_attempts_are_spent() {
        for trouble in [Trouble::Unavailable, Trouble::Lost, Trouble::Preempted] {
            assert!(matches!(next(&settings(), trouble, false, 1, "t"), Next::Again(_)));
            assert!(matches!(next(&settings(), trouble, false, 2, "t"), Next::Again(_)));
            assert_eq!(next(&settings(), trouble, false, 3, "t"), Next::End(Why::Spent));
        }
    }

    #[test]
    fn rule_12_10_once_user_code_may_have_run_only_policy_or_preemption_allows_another() {
        for trouble in [Trouble::Unavailable, Trouble::Lost] {
            assert_eq!(next(&settings(), trouble, true, 1, "t"), Next::End(Why::Started));
            let allowing = Settings { retry_after_start: true, ..settings() };
            assert!(matches!(next(&allowing, trouble, true, 1, "t"), Next::Again(_)));
        }
        assert!(matches!(next(&settings(), Trouble::Preempted, true, 1, "t"), Next::Again(_)));
    }

    #[test]
    fn waits_grow_are_bounded_and_differ() {
        let wait = |failures, seed: &str| backoff(1_000, 60_000, failures, seed).as_millis();
        for failures in 0..80 {
            let most = (1_000_u128 << failures.min(20)).min(60_000);
            let found = wait(failures, "a");
            assert!(found <= most && found >= most * 3 / 4, "after {failures}: {found}");
            assert_eq!(found, wait(failures, "a"));
        }
        let apart: std::collections::BTreeSet<_> = (0..20).map(|n| wait(6, &n.to_string())).collect();
        assert!(apart.len() > 10, "{apart:?}");
        assert_eq!(backoff(0, 0, 9, "a"), Duration::ZERO);
    }
}
