//! One after another, and the table.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::mutation::{self, Mutation};
use super::trial::{Outcome, trial};
use crate::command::stopped;
use crate::house;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these rules, such as 12.4, or all of a section, such as 12.
    ///
    /// `simulation` for the rules of the engine that the simulation's invariants guard, or `simulation WORD…` for those
    /// whose sentences hold a word. Each builds the server anew: a minute or two, so this is not part of `cargo xtask test`.
    rules: Vec<String>,
}

/// Tries them; an error when a test passes without the code of its rule, or a change could not be tried.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (list, asked, is_simulated) = match arguments.rules.split_first() {
        Some((first, rest)) if first == "simulation" => ("tests/simulation/mutations.toml", rest, true),
        Some(_) | None => ("tests/contract/mutations.toml", &arguments.rules[..], false),
    };
    let text = fs::read_to_string(house::root().join(list)).with_context(|| format!("cannot read {list}"))?;
    let mutations = mutation::read(&text).map_err(|error| anyhow::anyhow!("{list}: {error}"))?;
    let is_wanted = |rule: &str| {
        let named = || asked.is_empty() || asked.iter().any(|word| rule.contains(word.as_str()));
        if is_simulated { named() } else { is_wanted(asked, rule) }
    };
    let wanted: Vec<&Mutation> = mutations.iter().filter(|one| is_wanted(&one.rule)).collect();
    if wanted.is_empty() {
        bail!("{list} has no entry for {}", arguments.rules.join(", "));
    }
    let logs = house::folder("logs")?;
    let mut failed = 0;
    println!("{:5}  {:64}  seen to fail", "rule", "test");
    for (at, mutation) in wanted.iter().enumerate() {
        let log = logs.join(format!("mutation-{}-{at}.log", mutation.rule.replace(' ', "-")));
        let _ = fs::remove_file(&log);
        let began = Instant::now();
        let outcome = trial(mutation, is_simulated, &log);
        if stopped() {
            bail!("stopped; every file is as it was");
        }
        let said = match outcome {
            Ok(Outcome::SeenToFail) => "yes".to_owned(),
            Ok(Outcome::Passes) => format!("NO, it passes; see {}", log.display()),
            Err(error) => format!("NO, {error:#}"),
        };
        failed += usize::from(said != "yes");
        let seconds = began.elapsed().as_secs();
        println!("{:5}  {:64}  {said} ({seconds} s)", mutation.rule, mutation.test_name());
    }
    if failed > 0 {
        bail!("{failed} of {} tests were not seen to fail", wanted.len());
    }
    Ok(())
}

fn is_wanted(asked: &[String], rule: &str) -> bool {
    let section = rule.split('.').next().unwrap_or(rule);
    asked.is_empty() || asked.iter().any(|one| one == rule || one == section)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_sections_are_asked_for() {
        let asked = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(is_wanted(&[], "12.4"));
        assert!(is_wanted(&asked(&["3", "12.4"]), "12.4") && is_wanted(&asked(&["12"]), "12.4"));
        assert!(!is_wanted(&asked(&["1", "12.40", "12.5"]), "12.4"));
    }
}
