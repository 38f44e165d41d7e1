//! The tests that are named after rules, found in the sources.
//!
//! `rule_9_5_words`, and for several rules `rule_10_8_and_10_9_words` or `rule_9_6_words_and_9_7_more`.

use std::fs;
use std::path::Path;

use crate::rules::Number;

/// Where tests are, and in which language.
const PLACES: &[(&str, &str)] =
    &[("src", "rs"), ("runtime", "rs"), ("backends", "rs"), ("xtask", "rs"), ("tests", "rs"), ("tests/clients", "py")];

/// A test that is named after rules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    /// In the repository.
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) rules: Vec<Number>,
}

/// All of them, by file and line, or what is wrong with some.
pub(crate) fn tests(house: &Path) -> Result<Vec<Test>, Vec<String>> {
    let mut sources = Vec::new();
    for (folder, ending) in PLACES {
        collect(house, &house.join(folder), ending, &mut sources);
    }
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (file, text) in &sources {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(name) = defined(line).filter(|name| is_named_after_rules(name)) else { continue };
            match rules_of(name) {
                Ok(rules) => found.push(Test { file: file.clone(), name: name.to_owned(), rules }),
                Err(why) => wrong.push(format!("`{name}` in {file}: {why}")),
            }
            // A promise of a conformance suite is run by the suite, which names it.
            let named = || sources.iter().map(|(_, text)| text.matches(name).count()).sum::<usize>() > 1;
            if !is_marked(&lines[..at]) && !named() {
                wrong.push(format!("`{name}` in {file} is no test, and no suite names it"));
            }
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

fn collect(house: &Path, folder: &Path, ending: &str, sources: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(house, &path, ending, sources);
            }
        } else if path.extension().is_some_and(|it| it == ending) {
            let file = path.strip_prefix(house).unwrap().display().to_string();
            sources.push((file, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The name of the function that begins in this line.
fn defined(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "async "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ").or_else(|| rest.strip_prefix("def "))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}

/// Whether an attribute or a decorator makes a test of what comes after these lines.
fn is_marked(before: &[&str]) -> bool {
    let mut above = before.iter().rev().map(|line| line.trim());
    let ends = |line: &&str| line.starts_with("#[") || line.starts_with('@') || line.starts_with("//");
    above.by_ref().take_while(ends).any(|line| line.starts_with("@case") || line.contains("test"))
}

fn is_named_after_rules(name: &str) -> bool {
    let words: Vec<&str> = name.split('_').collect();
    words.windows(2).any(|pair| pair[0] == "rule" && number(pair[1]).is_some())
}

/// Every `n_m` behind `rule` or `and`.
fn rules_of(name: &str) -> Result<Vec<Number>, String> {
    let words: Vec<&str> = name.split('_').collect();
    let begin = words.iter().position(|word| *word == "rule").unwrap_or(words.len());
    let mut rules = Vec::new();
    for (at, word) in words.iter().enumerate().skip(begin) {
        let pair = match words.get(at + 1..at + 3) {
            Some([section, rule]) => number(section).zip(number(rule)),
            Some(_) | None => None,
        };
        match (*word, pair) {
            ("rule" | "and", Some((section, rule))) => rules.push(Number { section, rule }),
            ("rule", None) => return Err("a rule's number has two parts".to_owned()),
            ("to", Some(_)) => return Err("name each rule, with `and` between them".to_owned()),
            _ => {}
        }
    }
    Ok(rules)
}

fn number(word: &str) -> Option<u32> {
    word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()))
}

#[test]
fn every_rule_in_a_name_counts() {
    let shown = |name: &str| rules_of(name).map(|rules| rules.iter().map(Number::to_string).collect::<Vec<_>>());
    for (name, rules) in [
        ("rule_9_5_words_of_what_it_says", vec!["9.5"]),
        ("rule_10_8_and_10_9_words", vec!["10.8", "10.9"]),
        ("rule_9_6_any_storage_and_9_7_confined_and_3_files", vec!["9.6", "9.7"]),
        ("rule_3_11_broken_utf_8_and_nul", vec!["3.11"]),
        ("case_rule_4_10_content_of_128_kib", vec!["4.10"]),
    ] {
        assert_eq!(shown(name).unwrap(), rules, "{name}");
        assert!(is_named_after_rules(name));
    }
    assert!(shown("rule_7_words").is_err());
    assert!(shown("rule_8_4_to_8_7_filters").is_err());
    assert!(!is_named_after_rules("rule_of_thumb_4_5"));
}

#[test]
fn functions_are_found_and_marks_seen() {
    let name = format!("rule_{}_words", "9_5");
    for line in
        [format!("    async fn {name}() {{"), format!("pub(crate) fn {name}<T>("), format!("def {name}(story):")]
    {
        assert_eq!(defined(&line), Some(name.as_str()), "{line}");
    }
    assert_eq!(defined(&format!("    {name}(&stage);")), None);
    assert!(is_marked(&["#[tokio::test]", "#[allow(clippy::unwrap_used)]", "/// Says why."]));
    assert!(is_marked(&["", "@case"]));
    assert!(!is_marked(&["#[test]", "fn another() {}", "/// Says why."]));
}
