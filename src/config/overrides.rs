//! What is written outside the file and wins over it: `TESSERA_<SECTION>__<KEY>` variables, then flags.
//!
//! Two underscores part the levels, case does not matter: `TESSERA_SERVER__LISTEN`,
//! `TESSERA_BACKENDS__DOCKER__MAX_JOBS`. The value is read as TOML, and as plain text when it is none, so that
//! `false`, `0`, `["/data"]` and `127.0.0.1:80` all mean what they say. A list replaces the file's list. Variables
//! without `__` (`TESSERA_SERVER`, `TESSERA_TOKEN`) belong to the command line and are not looked at here.

use toml::{Table, Value};

/// A value that wins over the file's.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The key, level by level.
    pub(super) path: Vec<String>,
    /// The value.
    pub(super) value: Value,
    /// The value as it was written, to be taken as text where a text is wanted.
    pub(super) text: String,
    /// Who says so: a variable or a flag.
    pub(super) by: String,
}

impl Override {
    /// A flag of the command line.
    pub fn flag(name: &str, path: &[&str], value: impl Into<Value>) -> Self {
        let value = value.into();
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self { path: path.iter().map(|&level| level.to_owned()).collect(), value, text, by: name.to_owned() }
    }

    /// A variable of the environment, if it speaks of the configuration.
    fn variable(name: &str, text: &str) -> Option<Self> {
        let levels = name.strip_prefix("TESSERA_")?;
        if !levels.contains("__") {
            return None;
        }
        let path = levels.split("__").map(str::to_ascii_lowercase).collect();
        Some(Self { path, value: as_toml(text), text: text.to_owned(), by: name.to_owned() })
    }

    /// The key in one piece.
    pub(super) fn key(&self) -> String {
        self.path.join(".")
    }

    /// Writes the value into the table; the error is a sentence.
    pub(super) fn apply(&mut self, table: &mut Table) -> Result<(), String> {
        let Some((last, above)) = self.path.split_last() else { return Ok(()) };
        if self.path.iter().any(String::is_empty) {
            return Err("names no key; write TESSERA_<SECTION>__<KEY>".to_owned());
        }
        let mut at = table;
        let mut real = Vec::new();
        for level in above {
            let level = existing(at, level);
            real.push(level.clone());
            at = at
                .entry(level)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .ok_or_else(|| format!("`{}` is not a table", real.join(".")))?;
        }
        let last = existing(at, last);
        real.push(last.clone());
        at.insert(last, self.value.clone());
        self.path = real;
        Ok(())
    }
}

/// The overrides of an environment, sorted by name.
pub fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Vec<Override> {
    let mut found: Vec<_> = variables.into_iter().filter_map(|(name, text)| Override::variable(&name, &text)).collect();
    found.sort_by(|a, b| a.by.cmp(&b.by));
    found
}

/// A key that is there already under the same name but for `-`, which the name of a variable cannot hold.
fn existing(table: &Table, level: &str) -> String {
    let same = |key: &&String| key.replace('-', "_").eq_ignore_ascii_case(level);
    table.keys().find(same).cloned().unwrap_or_else(|| level.to_owned())
}

fn as_toml(text: &str) -> Value {
    let document = format!("value = {text}");
    let one_line = !text.contains('\n');
    let read = one_line.then(|| toml::from_str::<Table>(&document).ok()).flatten();
    read.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}
