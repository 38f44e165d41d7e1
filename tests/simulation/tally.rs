//! How much was done, and what went wrong how often.

use std::collections::BTreeMap;
use std::fmt;

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
        *self.faults.entry(kind).or_default() += 1;
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
