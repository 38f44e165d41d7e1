//! How much was done, and what went wrong how often.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that can go wrong.
const KINDS: [&str; 25] = [
    "a backend was out of reach",
    "a call of the store conflicted",
    "a call of the store failed",
    "a call of the store was late",
    "a held job went on",
    "a job could be read again",
    "a job could not be read",
    "a job was held",
    "a job was lost",
    "a job was preempted",
    "a machine did not come back",
    "a request to a backend came twice",
    "a request to a backend was late",
    "a request to a backend was lost",
    "a request to a backend was overtaken",
    "a server died",
    "a server was stopped, and went on",
    "a server's clock jumped",
    "all clocks jumped",
    "an answer of a backend was late",
    "an answer of a backend was lost",
    "an answer of the store was late",
    "an answer of the store was lost",
    "the configuration of backends was changed",
    "the store was out of reach of a server",
];

/// Steps, seeds, and faults by kind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) seeds: u64,
    pub(crate) tasks: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub(crate) fn fault(&mut self, kind: &'static str) {
        assert!(KINDS.contains(&kind), "`{kind}` is not among the kinds of faults");
        *self.faults.entry(kind).or_default() += 1;
    }

    /// What has never gone wrong.
    pub(crate) fn never(&self) -> Vec<&'static str> {
        KINDS.into_iter().filter(|kind| !self.faults.contains_key(kind)).collect()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.seeds += other.seeds;
        self.tasks += other.tasks;
        for (kind, count) in &other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} steps, {} seeds, {} tasks; what went wrong:", self.steps, self.seeds, self.tasks)?;
        for (kind, count) in &self.faults {
            writeln!(f, "{count:>9}  {kind}")?;
        }
        Ok(())
    }
}
