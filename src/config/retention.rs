//! `[retention]`: how long tasks are kept after their end.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::problem::Problems;

/// `[retention]`. What has not ended, or has left something behind, is always kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Days that a task is kept, counted from its end; 0 is for ever. Default 0.
    pub keep_days: u32,
    /// How many ended tasks of each owner are kept, the newest; 0 is all. Default 0.
    pub keep_tasks: u64,
    /// `[[retention.owners]]`: owners with bounds of their own. Default none.
    pub owners: Vec<OwnRetention>,
}

/// An owner with bounds of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRetention {
    /// The owner, by the name in `[auth]`, or `anonymous`.
    pub name: String,
    /// As above. Default as for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    /// As above. Default as for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_tasks: Option<u64>,
}

impl Retention {
    pub(super) fn check(&self, auth: &Auth, problems: &mut Problems) {
        let mut names = BTreeSet::new();
        for (index, owner) in self.owners.iter().enumerate() {
            let at = |key: &str| format!("retention.owners[{index}].{key}");
            if !names.insert(&owner.name) {
                problems.add(&at("name"), format!("`{}` is there twice", owner.name));
            }
            // Who may log in no longer may still have tasks, but a wrong name would keep what should go.
            if auth.is_required() && owner.name != "anonymous" && !auth.knows(&owner.name) {
                let name = &owner.name;
                problems.add(&at("name"), format!("`{name}` is no name of [[auth.tokens]] or [[auth.users]]"));
            }
            if owner.keep_days.is_none() && owner.keep_tasks.is_none() {
                problems.add(&at("name"), "says neither keep_days nor keep_tasks; say one, or leave it out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::tests::{assert_names, parsed};

    #[test]
    fn owners_may_have_bounds_of_their_own() {
        let text = "[retention]\nkeep_days = 30\n[[retention.owners]]\nname = 'ann'\nkeep_tasks = 0\n\
                    [[retention.owners]]\nname = 'bob'\nkeep_days = 0";
        let retention = parsed(text).unwrap().retention;
        assert_eq!((retention.keep_days, retention.keep_tasks), (30, 0));
        assert_eq!((retention.owners[0].keep_days, retention.owners[0].keep_tasks), (None, Some(0)));
        assert_eq!(retention.owners[1].keep_days, Some(0));
    }

    #[test]
    fn bounds_of_nobody_twice_or_none_are_named() {
        assert_names(
            "[retention]\nkeep_days = -1\n[[retention.owners]]\nkeep_days = 1",
            &[],
            &["2|retention.keep_days|invalid value", "3|retention.owners[0]|missing field `name`"],
        );
        assert_names(
            "[[auth.tokens]]\nname = 'ann'\ntoken = 'x'\n[[retention.owners]]\nname = 'ann'\nkeep_days = 1\n\
             [[retention.owners]]\nname = 'ann'\nkeep_tasks = 1\n[[retention.owners]]\nname = 'carl'\nkeep_days = 1\n\
             [[retention.owners]]\nname = 'anonymous'",
            &[],
            &[
                "8|retention.owners[1].name|`ann` is there twice",
                "11|retention.owners[2].name|`carl` is no name",
                "14|retention.owners[3].name|says neither",
            ],
        );
    }
}
