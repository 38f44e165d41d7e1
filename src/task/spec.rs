//! What a user asked for. Its JSON is the stored form, not a protocol: fields are only ever added, with a default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A task as it was asked for. Immutable once created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskSpec {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Files to bring in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    /// Files to deliver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<Output>,
    /// What it needs; `None` when nothing was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Commands, run in order. Never empty.
    pub executors: Vec<Executor>,
    /// Empty shared directories.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Labels for finding it again; `None` when none were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// File or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// One regular file.
    File,
    /// A directory with everything below it.
    Directory,
}

/// A file to bring in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where from; ignored when `content` is not empty (TES contract 9.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The text itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Absolute container path.
    pub path: String,
    /// What it is, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// A permission to stream, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streamable: Option<bool>,
}

/// A file to deliver.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A description for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where to.
    pub url: String,
    /// Absolute container path, or a pattern.
    pub path: String,
    /// Removed from matched paths before they are appended to `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// What it is, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
}

/// A command in an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Executor {
    /// Image reference.
    pub image: String,
    /// Argument vector. Never empty.
    pub command: Vec<String>,
    /// Working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Container path of standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// Container path of standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// Container path of standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Environment; `None` when none was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Go on after a failure, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_error: Option<bool>,
}

/// What a task needs. Numbers are as they were sent, so that they can be shown again; zero means unset (4.8).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<f64>,
    /// Memory in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ram_gb: Option<f64>,
    /// Disk in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<f64>,
    /// Capacity that may be reclaimed is good enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preemptible: Option<bool>,
    /// Zones wished for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// Parameters that a configured backend honours, keys as they were sent (13.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_parameters: Option<BTreeMap<String, String>>,
    /// Refuse parameters that no backend honours, if it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_parameters_strict: Option<bool>,
}

/// Bytes in a GiB; `ram_gb` and `disk_gb` count GiB (TES contract 13.1).
const GIB: f64 = 1_073_741_824.0;

impl TaskSpec {
    /// Thousandths of a core asked for, rounded up; `None` when unset.
    pub fn cpu_milli(&self) -> Option<u64> {
        positive(self.resources.as_ref()?.cpu_cores, 1_000.0)
    }

    /// Bytes of memory asked for, rounded up; `None` when unset.
    pub fn ram_bytes(&self) -> Option<u64> {
        positive(self.resources.as_ref()?.ram_gb, GIB)
    }

    /// Bytes of disk asked for, rounded up; `None` when unset.
    pub fn disk_bytes(&self) -> Option<u64> {
        positive(self.resources.as_ref()?.disk_gb, GIB)
    }

    /// A backend parameter; keys are compared without case (TES contract 13.3).
    pub fn parameter(&self, key: &str) -> Option<&str> {
        let parameters = self.resources.as_ref()?.backend_parameters.as_ref()?;
        parameters.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str())
    }
}

/// `amount × unit`, rounded up; nothing for what is absent, zero or no number.
fn positive(amount: Option<f64>, unit: f64) -> Option<u64> {
    let amount = amount.filter(|a| a.is_finite() && *a > 0.0)?;
    // `as` saturates, so an absurd request stays absurd instead of wrapping to a small one.
    Some((amount * unit).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(cpu_cores: f64, ram_gb: f64) -> TaskSpec {
        let resources = Resources { cpu_cores: Some(cpu_cores), ram_gb: Some(ram_gb), ..Resources::default() };
        TaskSpec { resources: Some(resources), ..TaskSpec::default() }
    }

    #[test]
    fn rule_13_1_fractions_round_up_and_zero_is_unset() {
        assert_eq!(asking(0.0601, 0.0).cpu_milli(), Some(61));
        assert_eq!(asking(0.0, 0.0).cpu_milli(), None);
        assert_eq!(asking(1.0, 0.5).ram_bytes(), Some(536_870_912));
        assert_eq!(asking(1e300, 1.0).cpu_milli(), Some(u64::MAX));
    }

    #[test]
    fn a_stored_spec_of_the_first_release_is_still_read() {
        let stored = r#"{"executors":[{"image":"alpine","command":["true"]}],"resources":{"cpu_cores":2.0}}"#;
        let spec: TaskSpec = serde_json::from_str(stored).expect("the stored form is frozen");
        assert_eq!(spec.cpu_milli(), Some(2_000));
        let again = serde_json::to_string(&spec).expect("a spec serialises");
        assert_eq!(serde_json::from_str::<TaskSpec>(&again).expect("it reads what it wrote"), spec);
    }
}
