//! `rules.toml`: the rules in order, by section.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A rule's number, such as 12.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number {
    pub(crate) section: u32,
    pub(crate) rule: u32,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.section, self.rule)
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not the number of a rule; one looks like 12.4");
        let (section, rule) = text.split_once('.').ok_or_else(wrong)?;
        let read = |part: &str| part.parse().map_err(|_| wrong());
        Ok(Self { section: read(section)?, rule: read(rule)? })
    }
}

/// The list.
pub(crate) struct Rules {
    /// Number and title of each section.
    pub(crate) sections: BTreeMap<u32, String>,
    pub(crate) rules: BTreeMap<Number, Rule>,
}

/// One rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Such as `12.4`.
    number: String,
    /// What it says, in one short sentence.
    pub(crate) sentence: String,
    /// Why no test shows it.
    pub(crate) gap: Option<String>,
    /// What its tests do not show of it.
    pub(crate) partly: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    sections: BTreeMap<String, String>,
    rule: Vec<Rule>,
}

impl Rules {
    pub(crate) fn read(text: &str) -> Self {
        let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("tests/contract/rules.toml: {error}"));
        let sections = file.sections.into_iter().map(|(number, title)| (number.parse().unwrap(), title)).collect();
        let mut rules = BTreeMap::new();
        for rule in file.rule {
            let number: Number = rule.number.parse().unwrap();
            assert!(rules.insert(number, rule).is_none(), "tests/contract/rules.toml names rule {number} twice");
        }
        Self { sections, rules }
    }
}
