//! One file, the environment and the flags in; a configuration, or everything that is wrong with it, out.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path as KeyPath, Segment};
use toml::de::DeTable;
use toml::{Table, Value};

use super::Config;
use super::backends::{self, Backends};
use super::overrides::Override;
use super::problem::{Origins, Problems, join, line_of};

/// Reads a configuration. What is written wins over the defaults, a later override over an earlier one and over
/// the file.
pub fn read(file: Option<&Path>, overrides: Vec<Override>) -> Result<Config, Problems> {
    let (mut table, mut origins) = match file {
        Some(file) => read_file(file)?,
        None => (Table::new(), Origins::default()),
    };
    let mut misplaced = Vec::new();
    let mut applied = Vec::new();
    for mut override_ in overrides {
        match override_.apply(&mut table) {
            Ok(()) => {
                origins.overridden(override_.key(), override_.by.clone());
                applied.push(override_);
            }
            Err(reason) => misplaced.push((override_.by, reason)),
        }
    }
    let mut problems = Problems::new(origins);
    for (by, reason) in misplaced {
        problems.add_at(by, None, reason);
    }

    let written_backends = table.remove("backends");
    let shaped: Option<Config> = shape(&mut table, "", &applied, &mut problems);
    let backends = match written_backends {
        Some(Value::Table(written)) => backends::read(written, &applied, &mut problems),
        Some(_) => {
            problems.add("backends", "is not a table; write [backends.docker]");
            Backends::default()
        }
        None => Backends::default(),
    };
    if let Some(mut config) = shaped {
        config.backends = backends;
        config.check(&mut problems);
        if problems.found.is_empty() {
            return Ok(config);
        }
    }
    Err(problems.in_order())
}

fn read_file(file: &Path) -> Result<(Table, Origins), Problems> {
    let mut problems = Problems::default();
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            problems.add_at(file.display().to_string(), None, format!("cannot be read: {error}"));
            return Err(problems);
        }
    };
    let (spans, errors) = DeTable::parse_recoverable(&text);
    for error in &errors {
        let line = error.span().map(|span| line_of(&text, span));
        problems.add_at(file.display().to_string(), line, error.message());
    }
    match toml::from_str::<Table>(&text) {
        Ok(table) if errors.is_empty() => Ok((table, Origins::of_file(file, &text, spans.get_ref()))),
        Ok(_) => Err(problems.in_order()),
        Err(error) => {
            if problems.found.is_empty() {
                problems.add_at(file.display().to_string(), None, error.message());
            }
            Err(problems.in_order())
        }
    }
}

/// Makes a struct of a table. serde stops at the first wrong key or value: it is noted, taken out, and the rest is
/// tried again, so that all of them are found at once.
pub(super) fn shape<T: DeserializeOwned>(
    table: &mut Table,
    above: &str,
    overrides: &[Override],
    problems: &mut Problems,
) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, T>(Value::Table(table.clone())) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let key = key_of(above, error.path());
        // A number in the environment may be meant as text: `TESSERA_…__NAME=2024`.
        let meant_as_text = overrides.iter().rev().find(|it| it.key() == key && !it.value.is_str());
        let slot = slot(table, error.path());
        if let (Some(override_), Some(value)) = (meant_as_text, slot)
            && !value.is_str()
        {
            *value = Value::String(override_.text.clone());
            continue;
        }
        // What was taken out because it was wrong is not missing.
        if !(error.inner().message().starts_with("missing field") && problems.knows_below(&key)) {
            problems.add(&key, said_of(&key, error.inner()));
        }
        if !take_out(table, error.path()) {
            return None;
        }
    }
}

/// What serde says, which shows the wrong value; but a secret without its quotes is a secret.
fn said_of(key: &str, error: &toml::de::Error) -> String {
    const SECRETS: [&str; 8] =
        ["password", "token", "secret", "secret_access_key", "account_key", "service_account", "private_key", "proxy"];
    let secret = SECRETS.iter().any(|it| key.ends_with(it));
    if secret { "must be a text in quotes".to_owned() } else { error.message().to_owned() }
}

/// The value at a path, if there is one.
fn slot<'a>(table: &'a mut Table, path: &KeyPath) -> Option<&'a mut Value> {
    let mut segments = path.iter();
    let Some(Segment::Map { key }) = segments.next() else { return None };
    let mut at = table.get_mut(key)?;
    for segment in segments {
        at = match segment {
            Segment::Map { key } => at.get_mut(key.as_str())?,
            Segment::Seq { index } => at.get_mut(*index)?,
            Segment::Enum { .. } | Segment::Unknown => return Some(at),
        };
    }
    Some(at)
}

/// Removes what a path names, and answers whether anything was there.
fn take_out(table: &mut Table, path: &KeyPath) -> bool {
    let segments: Vec<&Segment> = path.iter().collect();
    let Some((Segment::Map { key: first }, rest)) = segments.split_first() else { return false };
    let Some((last, above)) = rest.split_last() else { return table.remove(first).is_some() };
    let Some(mut at) = table.get_mut(first) else { return false };
    for segment in above {
        let next = match segment {
            Segment::Map { key } => at.get_mut(key.as_str()),
            Segment::Seq { index } => at.get_mut(*index),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match (last, at) {
        (Segment::Map { key }, Value::Table(table)) => table.remove(key.as_str()).is_some(),
        // The whole list: without one item the others would be named by the wrong index.
        (Segment::Seq { .. }, Value::Array(items)) if !items.is_empty() => {
            items.clear();
            true
        }
        (_, _) => table.remove(first).is_some(),
    }
}

/// `auth.tokens[0].name`.
fn key_of(above: &str, path: &KeyPath) -> String {
    path.iter().fold(above.to_owned(), |key, segment| match segment {
        Segment::Map { key: next } => join(&key, next),
        Segment::Seq { index } => format!("{key}[{index}]"),
        Segment::Enum { .. } | Segment::Unknown => key,
    })
}

impl Config {
    /// What no single value shows: each concern looks at itself and at what it depends on.
    fn check(&self, problems: &mut Problems) {
        self.server.check(problems);
        self.auth.check(&self.server, problems);
        self.store.check(problems);
        self.replica.check(problems);
        self.storage.check(&self.auth, problems);
        self.engine.check(&self.backends, problems);
        self.limits.check(problems);
        self.logs.check(problems);
        self.policy.check(problems);
        self.service_info.check(problems);
        self.telemetry.check(problems);
        self.events.check(&self.auth, problems);
    }
}
