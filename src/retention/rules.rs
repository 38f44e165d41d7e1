//! Who keeps what. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::store::{Expiry, Surplus};
use crate::task::{Owner, TaskId};

/// How long a task stays at least after its end, however many are kept: its owner is to see how it ended.
const SEEN: SignedDuration = SignedDuration::from_hours(1);

/// How long ended tasks are kept, and how many. `None` is for ever, and all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// Days after the end.
    pub keep_days: Option<u32>,
    /// The newest of an owner.
    pub keep_tasks: Option<u64>,
}

/// The rules of all owners.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of those who have none of their own.
    pub everybody: Rule,
    /// Of these.
    pub owners: BTreeMap<Owner, Rule>,
}

impl Rules {
    /// An owner's rule.
    pub fn of(&self, owner: &Owner) -> Rule {
        self.owners.get(owner).copied().unwrap_or(self.everybody)
    }

    /// Whether nothing ever goes.
    pub fn keep_all(&self) -> bool {
        self.everybody.keeps_all() && self.owners.values().all(Rule::keeps_all)
    }
}

impl Rule {
    /// Whether nothing ever goes.
    pub fn keeps_all(&self) -> bool {
        self.keep_days.is_none() && self.keep_tasks.is_none()
    }

    /// What is to go at a moment; `beyond` is the newest task that is more than are kept.
    pub fn expiry(&self, now: Timestamp, beyond: Option<TaskId>) -> Expiry {
        let age = |days: u32| SignedDuration::from_hours(24).saturating_mul(i32::try_from(days).unwrap_or(i32::MAX));
        // Before all time nothing has ended.
        let before = |age: SignedDuration| now.checked_sub(age).ok();
        Expiry {
            ended_before: self.keep_days.and_then(|days| before(age(days))),
            surplus: beyond.zip(before(SEEN)).map(|(newest, ended_before)| Surplus { newest, ended_before }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_owner_has_their_own_rule_or_everybodys() {
        let own = Rule { keep_days: None, keep_tasks: Some(1) };
        let rules =
            Rules { everybody: Rule::default(), owners: [(Owner("ann".to_owned()), own)].into_iter().collect() };
        assert_eq!(rules.of(&Owner("ann".to_owned())), own);
        assert!(rules.of(&Owner("bob".to_owned())).keeps_all());
        assert!(!rules.keep_all() && Rules::default().keep_all());
    }

    #[test]
    fn days_and_numbers_become_moments() {
        let now = at("2026-11-22T12:00:00Z");
        let task = TaskId::new(now);
        let rule = Rule { keep_days: Some(2), keep_tasks: Some(5) };
        let expiry = rule.expiry(now, Some(task.clone()));
        assert_eq!(expiry.ended_before, Some(at("2026-11-20T12:00:00Z")));
        assert_eq!(expiry.surplus, Some(Surplus { newest: task, ended_before: at("2026-11-22T11:00:00Z") }));
        assert_eq!(rule.expiry(now, None).surplus, None);
        let ages = Rule { keep_days: Some(u32::MAX), keep_tasks: None };
        assert_eq!(ages.expiry(now, None), Expiry::default(), "before all time");
    }
}
