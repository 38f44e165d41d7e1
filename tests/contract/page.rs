//! `docs/contract.md`.

use std::fmt::Write as _;

use crate::mutation::Mutation;
use crate::rules::{Number, Rule, Rules};
use crate::scan::Test;

const HEAD: &str = "\
# The TES contract, rule by rule

What a GA4GH TES 1.1 server has to do, what this one does where the specification is silent, and the tests that show it.
A rule is written down here in one sentence; the tests say it exactly. Sections without numbered rules are left out.

*Seen to fail*: `cargo xtask mutations` takes the rule's code out and sees that a test of the rule fails.
Tests in `tests/clients/cases.py` run with every client of the matrix, on a real engine; those of
`src/store/conformance` with every store.

Written by `cargo xtask contract` from `tests/contract/rules.toml` and the names of the tests; do not edit.
";

/// The page.
pub(crate) fn page(rules: &Rules, tests: &[Test], mutations: &[Mutation]) -> String {
    let mut page = HEAD.to_owned();
    let shown = rules.rules.values().filter(|rule| rule.gap.is_none()).count();
    let failing = rules.rules.keys().filter(|number| seen(mutations, **number)).count();
    let all = rules.rules.len();
    let _ = writeln!(page, "\n{all} rules: {shown} with a test, {failing} of them seen to fail; {} gaps.", all - shown);
    for (section, title) in &rules.sections {
        let _ = writeln!(
            page,
            "\n## {section}. {title}\n\n| rule | what it says | shown by | seen to fail |\n|---|---|---|---|"
        );
        for (number, rule) in in_section(rules, *section) {
            let tests: Vec<_> = showing(tests, number).map(cell).collect();
            let tests = if tests.is_empty() { "see [gaps](#gaps)".to_owned() } else { tests.join("<br>") };
            let seen = if seen(mutations, number) { "yes" } else { "" };
            let _ = writeln!(page, "| {number} | {} | {tests} | {seen} |", rule.sentence);
        }
    }
    page.push_str("\n## Gaps\n");
    list(&mut page, "Rules that no test shows, and why.", rules, |rule| rule.gap.as_ref());
    list(&mut page, "What the tests of a rule do not show of it.", rules, |rule| rule.partly.as_ref());
    page
}

/// A table of the rules that have something to confess.
fn list(page: &mut String, title: &str, rules: &Rules, said: fn(&Rule) -> Option<&String>) {
    let lines: Vec<_> = rules.rules.iter().filter_map(|(number, rule)| Some((number, said(rule)?))).collect();
    let _ = writeln!(page, "\n{title}\n");
    if lines.is_empty() {
        page.push_str("None.\n");
        return;
    }
    page.push_str("| rule | what is missing |\n|---|---|\n");
    for (number, said) in lines {
        let _ = writeln!(page, "| {number} | {said} |");
    }
}

fn in_section(rules: &Rules, section: u32) -> impl Iterator<Item = (Number, &Rule)> {
    rules.rules.iter().filter(move |(number, _)| number.section == section).map(|(number, rule)| (*number, rule))
}

/// The tests that show a rule.
pub(crate) fn showing(tests: &[Test], number: Number) -> impl Iterator<Item = &Test> {
    tests.iter().filter(move |test| test.rules.contains(&number))
}

/// Whether a test of the rule is made to fail by `cargo xtask mutations`.
fn seen(mutations: &[Mutation], number: Number) -> bool {
    mutations.iter().any(|one| one.rule == number.to_string())
}

fn cell(test: &Test) -> String {
    format!("`{}` in [{}](../{})", test.name, test.file, test.file)
}
