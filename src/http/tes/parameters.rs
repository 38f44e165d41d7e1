//! Backend parameters: which are known here, and what becomes of those that are not (TES contract 13.3-13.6).

use std::collections::{BTreeMap, BTreeSet};

use super::places::shown;
use crate::http::error::ApiError;
use crate::http::settings::BackendFacts;

/// The parameter that asks for a backend; the engine honours it whatever the backend.
const BACKEND: &str = "backend";

/// Where they stand in a task.
const FIELD: &str = "/resources/backend_parameters";

/// What the configured backends know.
#[derive(Debug, Clone, Default)]
pub struct Known {
    backends: BTreeMap<String, BTreeSet<String>>,
    all: BTreeSet<String>,
}

/// What is kept of a task's parameters, and a sentence on each that is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// As they were sent.
    pub kept: BTreeMap<String, String>,
    /// For the system log.
    pub notes: Vec<String>,
}

impl Known {
    /// What these backends know.
    pub fn new(backends: &[BackendFacts]) -> Self {
        let backends: BTreeMap<_, _> = backends
            .iter()
            .map(|backend| {
                let keys = backend.parameters.iter().map(|key| key.to_ascii_lowercase());
                (backend.name.clone(), keys.chain([BACKEND.to_owned()]).collect::<BTreeSet<_>>())
            })
            .collect();
        let all = backends.values().flatten().cloned().collect();
        Self { backends, all }
    }

    /// Every key that some backend knows, in lower case (13.5).
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    /// The names of the backends.
    pub fn backends(&self) -> impl Iterator<Item = &str> {
        self.backends.keys().map(String::as_str)
    }

    /// Keeps what is known, and drops the rest with a sentence; or refuses it, if that was asked for (13.4).
    pub fn sort(&self, sent: BTreeMap<String, String>, strict: bool) -> Result<Sorted, ApiError> {
        let mut seen = BTreeSet::new();
        if let Some(key) = sent.keys().find(|key| !seen.insert(key.to_ascii_lowercase())) {
            let message = format!("{} is there twice; keys are the same in any case", shown(key));
            return Err(ApiError::field(field(key), message));
        }
        let asked = sent.iter().find(|(key, _)| key.eq_ignore_ascii_case(BACKEND));
        let (supported, whose) = match asked {
            // A server without backends knows no parameter at all.
            Some((key, name)) if !self.backends.is_empty() => {
                (self.of_backend(key, name)?, format!("backend `{name}`"))
            }
            Some(_) | None => (&self.all, "any configured backend".to_owned()),
        };
        let (kept, dropped): (BTreeMap<_, _>, BTreeMap<_, _>) =
            sent.into_iter().partition(|(key, _)| supported.contains(&key.to_ascii_lowercase()));
        if strict && let Some(key) = dropped.keys().next() {
            let message = format!(
                "{} is not known to {whose}, and backend_parameters_strict is set; known: {}",
                shown(key),
                list(supported)
            );
            return Err(ApiError::field(field(key), message));
        }
        let note = |key: &String| format!("backend parameter {} was dropped: not known to {whose}", shown(key));
        Ok(Sorted { notes: dropped.keys().map(note).collect(), kept })
    }

    fn of_backend(&self, key: &str, name: &str) -> Result<&BTreeSet<String>, ApiError> {
        self.backends.get(name).ok_or_else(|| {
            let names: BTreeSet<String> = self.backends.keys().cloned().collect();
            ApiError::field(field(key), format!("no backend is named {}; there are: {}", shown(name), list(&names)))
        })
    }
}

/// JSON pointer to one of them.
fn field(key: &str) -> String {
    format!("{FIELD}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn list(words: &BTreeSet<String>) -> String {
    if words.is_empty() { "none".to_owned() } else { words.iter().cloned().collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn known() -> Known {
        let backend = |name: &str, parameters: &[&str]| BackendFacts {
            name: name.to_owned(),
            parameters: parameters.iter().map(|key| (*key).to_owned()).collect(),
            stops_within: Duration::from_secs(2),
        };
        Known::new(&[backend("local", &["walltime", "network"]), backend("batch", &["walltime", "vm_size"])])
    }

    fn sent(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn rule_13_3_what_no_backend_knows_is_dropped_with_a_note() {
        let sorted = known().sort(sent(&[("VM_Size", "big"), ("internal_path_prefix", "/x")]), false).unwrap();
        assert_eq!(sorted.kept, sent(&[("VM_Size", "big")]));
        assert_eq!(
            sorted.notes,
            ["backend parameter `internal_path_prefix` was dropped: not known to any configured backend"]
        );
    }

    #[test]
    fn rule_13_3_keys_that_differ_in_case_alone_are_refused() {
        let error = known().sort(sent(&[("vm_size", "a"), ("VM_SIZE", "b")]), false).unwrap_err();
        assert_eq!(error.blamed(), Some("/resources/backend_parameters/vm_size"));
    }

    #[test]
    fn rule_13_4_strict_refuses_what_is_not_known() {
        let error = known().sort(sent(&[("a/b", "x")]), true).unwrap_err();
        assert_eq!(error.blamed(), Some("/resources/backend_parameters/a~1b"));
        assert!(known().sort(sent(&[("Walltime", "60")]), true).is_ok());
    }

    #[test]
    fn rule_13_5_the_keys_told_are_those_of_the_backends_and_no_others() {
        assert_eq!(known().keys().collect::<Vec<_>>(), ["backend", "network", "vm_size", "walltime"]);
    }

    #[test]
    fn rule_13_6_a_chosen_backend_decides_what_is_known() {
        let sorted =
            known().sort(sent(&[("Backend", "local"), ("vm_size", "big"), ("network", "none")]), false).unwrap();
        assert_eq!(sorted.kept, sent(&[("Backend", "local"), ("network", "none")]));
        assert_eq!(sorted.notes.len(), 1);
        let error = known().sort(sent(&[("backend", "nowhere")]), false).unwrap_err();
        assert_eq!(error.blamed(), Some("/resources/backend_parameters/backend"));
        assert!(error.message().contains("batch, local"));
    }

    #[test]
    fn without_backends_nothing_is_known() {
        let sorted = Known::default().sort(sent(&[("backend", "x")]), false).unwrap();
        assert!(sorted.kept.is_empty());
        assert_eq!(Known::default().keys().count(), 0);
    }
}
