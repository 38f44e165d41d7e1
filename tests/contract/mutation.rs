//! An entry of `mutations.toml`: a rule's code taken out, and the test that must fail then.

use serde::Deserialize;

/// What to change, and what must notice.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutation {
    /// Such as `12.4`.
    pub(crate) rule: String,
    /// In the repository.
    pub(crate) file: String,
    /// Text of the file that occurs once in it.
    old: String,
    /// What stands there instead.
    new: String,
    /// A command that runs the test, and whose last word is its name or a part of it.
    pub(crate) test: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mutation: Vec<Mutation>,
}

/// All entries of the file with this text.
pub(crate) fn read(text: &str) -> Result<Vec<Mutation>, String> {
    toml::from_str::<File>(text).map(|file| file.mutation).map_err(|error| error.to_string())
}

impl Mutation {
    /// The file's text with the change made, or why it cannot be.
    pub(crate) fn applied(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.old).count() {
            _ if self.old == self.new => Err("the change changes nothing".to_owned()),
            1 => Ok(text.replacen(&self.old, &self.new, 1)),
            times => Err(format!("the text to be changed occurs {times} times in {}, not once", self.file)),
        }
    }

    /// The words of the command that runs the test.
    pub(crate) fn command(&self) -> Vec<&str> {
        self.test.split_whitespace().collect()
    }

    /// The name of the test, or a part of it, without the modules it lies in.
    pub(crate) fn test_name(&self) -> &str {
        let last = self.test.split_whitespace().next_back().unwrap_or_default();
        last.rsplit("::").next().unwrap_or(last)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_made_in_one_place() {
        let [mutation] = &read(
            "[[mutation]]\nrule = '3.1'\nfile = 'a'\nold = '''x == y'''\nnew = '''true'''\n\
             test = 'cargo test --lib tests::rule_3_1'",
        )
        .unwrap()[..] else {
            panic!("there is one entry")
        };
        assert_eq!(mutation.applied("if x == y {").as_deref(), Ok("if true {"));
        assert!(mutation.applied("x = y").is_err() && mutation.applied("x == y || x == y").is_err());
        assert_eq!((mutation.command().len(), mutation.test_name()), (4, "rule_3_1"));
    }
}
