//! The page is current, the list is whole, and what `cargo xtask mutations` wants to change is there.

use std::fs;
use std::path::Path;

use crate::mutation::{self, Mutation};
use crate::page;
use crate::rules::{Number, Rules};
use crate::scan::{self, Test};

fn house() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(house().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rules() -> Rules {
    Rules::read(&read("tests/contract/rules.toml"))
}

fn tests() -> Vec<Test> {
    scan::tests(house()).unwrap_or_else(|wrong| panic!("{}", wrong.join("\n")))
}

fn mutations() -> Vec<Mutation> {
    let name = "tests/contract/mutations.toml";
    mutation::read(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A rule of the simulation is the sentence of an invariant.
#[test]
fn every_mutation_of_the_simulation_can_be_made_and_names_its_invariant() {
    let (name, sentences) = ("tests/simulation/mutations.toml", read("tests/simulation/invariants.rs"));
    for mutation in mutation::read(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}")) {
        assert!(sentences.contains(&format!("\"{}\"", mutation.rule)), "no invariant says `{}`", mutation.rule);
        if let Err(why) = mutation.applied(&read(&mutation.file)) {
            panic!("{}: {why}", mutation.rule);
        }
    }
}

/// With `TESSERA_WRITE_CONTRACT=1` in the environment the page is written, and then it is current.
#[test]
fn the_page_is_current() {
    let path = house().join("docs/contract.md");
    let meant = page::page(&rules(), &tests(), &mutations());
    if std::env::var_os("TESSERA_WRITE_CONTRACT").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &meant).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == meant, "docs/contract.md is stale; write it with `cargo xtask contract`");
}

#[test]
fn every_rule_has_a_test_or_a_reason() {
    let (rules, tests) = (rules(), tests());
    let mut wrong = Vec::new();
    for (number, rule) in &rules.rules {
        let shown: Vec<_> = page::showing(&tests, *number).map(|test| test.name.as_str()).collect();
        match (&rule.gap, &shown[..]) {
            (None, []) => wrong.push(format!(
                "rule {number} has no test: name one `rule_{}_{}_…`, or give its entry in rules.toml a `gap`",
                number.section, number.rule
            )),
            (Some(_), [first, ..]) => {
                wrong.push(format!("rule {number} is shown by `{first}`: take its `gap` out of rules.toml"));
            }
            (None, [_, ..]) | (Some(_), []) => {}
        }
        if !rules.sections.contains_key(&number.section) {
            wrong.push(format!("rule {number} is in a section that rules.toml gives no title"));
        }
        if rule.gap.is_some() && rule.partly.is_some() {
            wrong.push(format!("rule {number} is either a `gap` or shown `partly`"));
        }
        let sentences = [Some(&rule.sentence), rule.gap.as_ref(), rule.partly.as_ref()];
        if sentences.into_iter().flatten().any(|text| text.trim().is_empty() || text.contains(['|', '\n'])) {
            wrong.push(format!("rule {number}: a sentence fits into one cell of a table"));
        }
    }
    for test in &tests {
        for number in test.rules.iter().filter(|number| !rules.rules.contains_key(number)) {
            wrong.push(format!("`{}` in {} names rule {number}, which does not exist", test.name, test.file));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mutation_can_be_made_and_names_its_test() {
    let (rules, tests) = (rules(), tests());
    let mut wrong = Vec::new();
    for mutation in mutations() {
        let number: Number = mutation.rule.parse().unwrap();
        let mut find =
            |what: String| wrong.push(format!("the mutation of rule {number} by `{}`: {what}", mutation.test));
        if !rules.rules.contains_key(&number) {
            find("there is no such rule".to_owned());
        }
        if let Err(why) = mutation.applied(&read(&mutation.file)) {
            find(why);
        }
        let own = format!("rule_{}_{}", number.section, number.rule);
        if !mutation.test_name().contains("rule_")
            || !page::showing(&tests, number).any(|test| test.name.contains(mutation.test_name()))
        {
            find(format!("no test of the rule has this name; the last word is that of a test such as `{own}_…`"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
