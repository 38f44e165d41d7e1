//! What is wrong with a configuration, and where it was written.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// One wrong key or value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it was written: a file, a variable, a flag; `None` for what was written nowhere.
    pub written: Option<String>,
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The key, such as `auth.tokens[0].name`; empty for the file as a whole.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.written, self.line) {
            (Some(written), Some(line)) => write!(f, "{written}:{line}: ")?,
            (Some(written), None) => write!(f, "{written}: ")?,
            (None, _) => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with a configuration. Never empty as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", .found.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems {
    /// Each of them, in the order found.
    pub found: Vec<Problem>,
    origins: Origins,
}

impl Problems {
    pub(super) fn new(origins: Origins) -> Self {
        Self { found: Vec::new(), origins }
    }

    /// Something is wrong with the value of a key. The first word on a key is the one that helps.
    pub(super) fn add(&mut self, key: &str, message: impl Into<String>) {
        let (written, line) = self.origins.of(key);
        let problem = Problem { written, line, key: key.to_owned(), message: message.into() };
        if self.found.iter().all(|known| known.key != problem.key) {
            self.found.push(problem);
        }
    }

    /// Whether something below this key is known to be wrong.
    pub(super) fn knows_below(&self, key: &str) -> bool {
        self.found.iter().any(|known| known.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Something is wrong where no key can be named.
    pub(super) fn add_at(&mut self, written: String, line: Option<usize>, message: impl Into<String>) {
        self.found.push(Problem { written: Some(written), line, key: String::new(), message: message.into() });
    }

    /// In the order of the file; what is not in the file comes first.
    pub(super) fn in_order(mut self) -> Self {
        self.found.sort_by_key(|problem| problem.line);
        self
    }
}

/// Where each key was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origins {
    file: Option<PathBuf>,
    lines: Vec<(String, usize)>,
    overrides: Vec<(String, String)>,
}

impl Origins {
    /// The keys of a file, with their lines.
    pub(super) fn of_file(file: &Path, text: &str, table: &DeTable<'_>) -> Self {
        let mut origins = Self { file: Some(file.to_owned()), ..Self::default() };
        origins.walk(text, "", table);
        origins
    }

    /// A key was overridden by a variable or a flag.
    pub(super) fn overridden(&mut self, key: String, by: String) {
        self.overrides.push((key, by));
    }

    /// Where a key was written, or else the nearest table or list that holds it.
    fn of(&self, key: &str) -> (Option<String>, Option<usize>) {
        let mut key = key;
        loop {
            // The last word counts: flags stand behind variables.
            if let Some((_, by)) = self.overrides.iter().rev().find(|(overridden, _)| overridden == key) {
                return (Some(by.clone()), None);
            }
            if let Some((_, line)) = self.lines.iter().find(|(written, _)| written == key) {
                return (self.file.as_ref().map(|file| file.display().to_string()), Some(*line));
            }
            let Some(end) = key.rfind(['.', '[']) else { return (None, None) };
            key = &key[..end];
        }
    }

    fn walk(&mut self, text: &str, above: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = join(above, key.get_ref());
            self.lines.push((path.clone(), line_of(text, key.span())));
            self.walk_value(text, &path, value.get_ref());
        }
    }

    fn walk_value(&mut self, text: &str, path: &str, value: &DeValue<'_>) {
        if let Some(table) = value.as_table() {
            self.walk(text, path, table);
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            self.lines.push((path.clone(), line_of(text, item.span())));
            self.walk_value(text, &path, item.get_ref());
        }
    }
}

/// A key below another.
pub(super) fn join(above: &str, key: &str) -> String {
    if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") }
}

/// The line, from 1, in which a piece of a text begins.
pub(super) fn line_of(text: &str, span: Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}
