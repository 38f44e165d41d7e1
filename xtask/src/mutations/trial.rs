//! One change: made, built, tested, put back.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::changed::Changed;
use super::mutation::Mutation;
use crate::command::{logged, program, stopped};
use crate::house;

/// How long building or testing may take, seconds. A change can also make a test wait for ever.
const PATIENCE: &str = "900";

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The test has noticed.
    SeenToFail,
    /// The test passes without the rule's code.
    Passes,
}

/// An error is a change that could not be tried: it does not build, or its file is not as it should be.
pub(crate) fn trial(mutation: &Mutation, is_simulated: bool, log: &Path) -> Result<Outcome> {
    let changed = Changed::new(house::root(), &mutation.file, |text| mutation.applied(text))?;
    let words = mutation.command();
    let is_cargo = words.starts_with(&["cargo", "test"]);
    if is_cargo {
        let mut build = words.clone();
        build.insert(2, "--no-run");
        logged(&mut bounded(&build, mutation), log).context("the change does not build")?;
    }
    fs::write(log, "").with_context(|| format!("cannot empty {}", log.display()))?;
    let ended = logged(&mut bounded(&words, mutation), log);
    changed.put_back();
    if stopped() {
        bail!("stopped");
    }
    if ended.is_ok() {
        return Ok(Outcome::Passes);
    }
    let said = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    if is_cargo && !has_failed(&said, mutation.test_name()) {
        bail!("the command failed, and not by a failing test; see {}", log.display());
    }
    // The simulation has one test for all invariants: the one of this rule is to be the broken one.
    if is_simulated && !said.contains(&format!("BROKEN: {}", mutation.rule)) {
        let broken = said.lines().find(|line| line.starts_with("BROKEN")).unwrap_or("nothing");
        bail!("another one failed ({broken}); see {}", log.display());
    }
    Ok(Outcome::SeenToFail)
}

fn bounded(words: &[&str], mutation: &Mutation) -> std::process::Command {
    let mut command = program(&[&["timeout", PATIENCE], words].concat());
    // Only the simulation reads these: one rule taken out may break several invariants, and the one it is for is sought.
    command.env("TESSERA_SIMULATION_STEPS", "3000000").env("TESSERA_SIMULATION_SEEKS", &mutation.rule);
    command
}

/// Whether a test with this in its name failed, as cargo's tests say it.
fn has_failed(said: &str, name: &str) -> bool {
    said.lines().any(|line| line.starts_with("test ") && line.contains(name) && line.ends_with("FAILED"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failing_test_counts() {
        let said = "running 2 tests\ntest a::rule_3_1_words ... FAILED\ntest b::rule_3_2_words ... ok\n";
        assert!(has_failed(said, "rule_3_1"));
        assert!(!has_failed(said, "rule_3_2"));
        assert!(!has_failed("error: could not compile `tessera` rule_3_1 FAILED", "rule_3_1"));
    }
}
