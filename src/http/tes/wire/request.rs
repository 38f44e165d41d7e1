//! What callers send. Every member may be `null`, which is absent (4.1); unknown members are dropped (4.3); each
//! name is also read in camelCase, and both spellings in one object are refused (4.5).

use serde::de::{Deserialize, Deserializer, Error};
use utoipa::ToSchema;

use super::lenient::{Ignored, Object, StringMap, Text};

/// A task to be run.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[schema(as = tesTask)]
pub struct Task {
    /// Set by the server; what is sent is ignored.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub id: Ignored,
    /// Set by the server; what is sent is ignored.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub state: Ignored,
    /// A name for people; `name_prefix` finds it again.
    #[schema(value_type = Option<String>)]
    pub name: Option<Text>,
    /// A description for people.
    #[schema(value_type = Option<String>)]
    pub description: Option<Text>,
    /// Files that are laid into the task's tree before the first executor starts.
    #[schema(value_type = Option<Vec<Input>>)]
    pub inputs: Option<Vec<Object<Input>>>,
    /// Files that are delivered after the last executor has ended.
    #[schema(value_type = Option<Vec<Output>>)]
    pub outputs: Option<Vec<Object<Output>>>,
    /// What the task needs.
    #[schema(value_type = Option<Resources>)]
    pub resources: Option<Object<Resources>>,
    /// Commands, run one after another over the same files. The first failure ends the task, unless that executor
    /// has `ignore_error`.
    #[schema(value_type = Vec<Executor>, required)]
    pub executors: Option<Vec<Object<Executor>>>,
    /// Container paths of directories that start empty and are shared by all executors.
    #[schema(value_type = Option<Vec<String>>)]
    pub volumes: Option<Vec<Text>>,
    /// Labels; listings can be filtered by them.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub tags: Option<StringMap>,
    /// Set by the server; what is sent is ignored.
    #[serde(default)]
    #[schema(value_type = Option<serde_json::Value>)]
    pub logs: Ignored,
    /// Set by the server; what is sent is ignored.
    #[serde(default, alias = "creationTime")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub creation_time: Ignored,
}

/// A command in an image.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[schema(as = tesExecutor)]
pub struct Executor {
    /// The image, as a container engine names it.
    #[schema(value_type = String, required)]
    pub image: Option<Text>,
    /// The program and its arguments. No shell is between, and the image's entry point does not take part.
    #[schema(value_type = Vec<String>, required)]
    pub command: Option<Vec<Text>>,
    /// Directory to start in; the image's own when absent.
    #[schema(value_type = Option<String>)]
    pub workdir: Option<Text>,
    /// Container path of a file to read standard input from.
    #[schema(value_type = Option<String>)]
    pub stdin: Option<Text>,
    /// Container path of a file that receives standard output.
    #[schema(value_type = Option<String>)]
    pub stdout: Option<Text>,
    /// Container path of a file that receives standard error.
    #[schema(value_type = Option<String>)]
    pub stderr: Option<Text>,
    /// Environment, added to the image's.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub env: Option<StringMap>,
    /// Record a failure and go on with the next executor.
    #[serde(alias = "ignoreError")]
    pub ignore_error: Option<bool>,
}

/// A file or directory to bring in: from a URL, or given as text.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[schema(as = tesInput)]
pub struct Input {
    /// A name for people.
    #[schema(value_type = Option<String>)]
    pub name: Option<Text>,
    /// A description for people.
    #[schema(value_type = Option<String>)]
    pub description: Option<Text>,
    /// Where it comes from; needed unless `content` is given. `file://` URLs and bare absolute paths are taken only
    /// below the directories that this server allows.
    #[schema(value_type = Option<String>)]
    pub url: Option<Text>,
    /// Absolute container path.
    #[schema(value_type = String, required)]
    pub path: Option<Text>,
    /// What it is; decided from what is there when absent.
    #[serde(rename = "type")]
    pub kind: Option<FileType>,
    /// The file's text itself; when it is not empty, `url` is ignored.
    #[schema(value_type = Option<String>)]
    pub content: Option<Text>,
    /// It may be streamed instead of copied.
    pub streamable: Option<bool>,
}

/// A file, a directory or a pattern of files to deliver.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[schema(as = tesOutput)]
pub struct Output {
    /// A name for people.
    #[schema(value_type = Option<String>)]
    pub name: Option<Text>,
    /// A description for people.
    #[schema(value_type = Option<String>)]
    pub description: Option<Text>,
    /// Where it goes; a directory when `path` is a pattern. `file://` URLs and bare absolute paths are taken only
    /// below the directories that this server allows.
    #[schema(value_type = String, required)]
    pub url: Option<Text>,
    /// Absolute container path. With `path_prefix` it may be a POSIX shell pattern.
    #[schema(value_type = String, required)]
    pub path: Option<Text>,
    /// Removed from the path of each match; the rest is appended to `url`. Needed with `*` and `?`, where it must be,
    /// directory by directory, how the pattern begins (this document can only say so for `/`); ignored without.
    #[serde(alias = "pathPrefix")]
    #[schema(value_type = Option<String>)]
    pub path_prefix: Option<Text>,
    /// What it is; FILE when absent.
    #[serde(rename = "type")]
    pub kind: Option<FileType>,
}

/// What a task needs. Zero means unset.
#[derive(Debug, Default, serde::Deserialize, ToSchema)]
#[schema(as = tesResources)]
pub struct Resources {
    /// Cores; fractions are welcome.
    #[serde(alias = "cpuCores")]
    pub cpu_cores: Option<f64>,
    /// Capacity that may be reclaimed is good enough.
    pub preemptible: Option<bool>,
    /// Memory in GiB.
    #[serde(alias = "ramGb")]
    pub ram_gb: Option<f64>,
    /// Disk in GiB.
    #[serde(alias = "diskGb")]
    pub disk_gb: Option<f64>,
    /// Zones wished for.
    #[schema(value_type = Option<Vec<String>>)]
    pub zones: Option<Vec<Text>>,
    /// Wishes for the backend, keys in any case. Service info lists the keys that are known here; others are dropped
    /// and noted in the system log, unless `backend_parameters_strict` is set.
    #[serde(alias = "backendParameters")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub backend_parameters: Option<StringMap>,
    /// Refuse the task when a backend parameter is not known here.
    #[serde(alias = "backendParametersStrict")]
    pub backend_parameters_strict: Option<bool>,
}

/// Whether something is one regular file, or a directory with everything below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = tesFileType)]
pub enum FileType {
    /// One regular file.
    File,
    /// A directory.
    Directory,
}

impl<'de> Deserialize<'de> for FileType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not derived: a derived enum would also read `{"FILE": null}`.
        match String::deserialize(deserializer)?.as_str() {
            "FILE" => Ok(Self::File),
            "DIRECTORY" => Ok(Self::Directory),
            other => Err(D::Error::custom(format_args!("`{other}` is no type; FILE and DIRECTORY are"))),
        }
    }
}
