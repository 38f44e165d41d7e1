//! GA4GH's words into ours: a request body into a [`TaskSpec`], or a 400 that names the field (TES contract §4).

use serde::Deserialize as _;
use serde_path_to_error::Segment;

use super::parameters::Known;
use super::wire::lenient::{Object, StringMap, Text};
use super::wire::request;
use super::{places, urls};
use crate::http::error::ApiError;
use crate::http::settings::{Files, Lists, Places, Settings};
use crate::task::spec::{Executor, FileKind, Input, Output, Resources};
use crate::task::{Owner, TaskSpec};

/// What a task is judged by.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Which places it may name.
    pub places: Places,
    /// Which backend parameters are known.
    pub parameters: Known,
}

/// A task as it was asked for, and what is to be said about it in its log.
#[derive(Debug, PartialEq)]
pub struct Asked {
    /// What was asked for.
    pub spec: TaskSpec,
    /// Sentences on what was dropped.
    pub notes: Vec<String>,
}

/// Which places one caller may name.
#[derive(Clone, Copy)]
struct May<'a> {
    files: &'a Files,
    lists: &'a Lists,
}

impl May<'_> {
    fn name(self, url: &str) -> Result<(), String> {
        urls::allowed(url, self.files, self.lists)
    }
}

impl Rules {
    /// The rules of a server.
    pub fn new(settings: &Settings) -> Self {
        Self { places: settings.places.clone(), parameters: Known::new(&settings.backends) }
    }
}

/// Reads a request body of a caller.
pub fn task(body: &[u8], caller: &Owner, rules: &Rules) -> Result<Asked, ApiError> {
    let sent = parse(body)?;
    let may = May { files: &rules.places.files, lists: rules.places.lists_of(caller) };
    let (resources, notes) = match sent.resources {
        Some(Object(sent)) => resources(sent, rules).map(|(resources, notes)| (Some(resources), notes))?,
        None => (None, Vec::new()),
    };
    let spec = TaskSpec {
        name: text(sent.name),
        description: text(sent.description),
        inputs: each("/inputs", sent.inputs, |at, sent| input(at, sent, may))?,
        outputs: each("/outputs", sent.outputs, |at, sent| output(at, sent, may))?,
        resources,
        executors: each("/executors", sent.executors, executor)?,
        volumes: each("/volumes", sent.volumes, |at, Text(path)| {
            places::below_root(&path).map_err(|wrong| ApiError::field(at, wrong)).map(|()| path)
        })?,
        tags: sent.tags.map(|StringMap(tags)| tags),
    };
    if spec.executors.is_empty() {
        return Err(ApiError::field("/executors", "there is none; a task has at least one"));
    }
    Ok(Asked { spec, notes })
}

fn parse(body: &[u8]) -> Result<request::Task, ApiError> {
    let body = std::str::from_utf8(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not UTF-8 at byte {}", error.valid_up_to())))?;
    if body.trim_ascii().is_empty() {
        return Err(ApiError::bad_request("the body is empty; send a task as JSON"));
    }
    // A member that is dropped is skipped without a look at its strings; half a surrogate pair and NUL (3.11) are
    // refused there too.
    if body.contains("\\ud") || body.contains("\\uD") || body.contains("\\u0000") {
        let whole = serde_json::from_str::<serde_json::Value>(body).map_err(|_| blame(body))?;
        // A field that is kept names itself in the error below.
        let kept = serde_json::from_str::<Object<request::Task>>(body);
        if kept.is_ok() && holds_nul(&whole) {
            return Err(ApiError::bad_request("a text holds the character NUL (\\u0000); leave it out"));
        }
    }
    serde_json::from_str::<Object<request::Task>>(body).map(|Object(task)| task).map_err(|_| blame(body))
}

/// Depth is bounded by the parser that made the value.
fn holds_nul(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Reads a body that was refused once more, slowly, to find out what is to blame.
fn blame(body: &str) -> ApiError {
    let mut json = serde_json::Deserializer::from_str(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let outcome = Object::<request::Task>::deserialize(tracked).map(|_| ()).and_then(|()| json.end());
    let Err(error) = outcome.and_then(|()| serde_json::from_str::<serde_json::Value>(body).map(|_| ())) else {
        return ApiError::bad_request("the body cannot be read as a task");
    };
    if !error.is_data() {
        return ApiError::bad_request(format!("the body is not JSON: {error}"));
    }
    let field = pointer(&track.path());
    if let Some(name) = twice(&error.to_string()) {
        let message = format!("{name} is there twice; snake_case and camelCase are the same name");
        return ApiError::field(format!("{field}/{name}"), message);
    }
    if field.is_empty() {
        return ApiError::bad_request(format!("the body is no task: {error}"));
    }
    ApiError::field(field, error.to_string())
}

/// The member that serde met for the second time, under whichever name.
fn twice(error: &str) -> Option<&str> {
    error.strip_prefix("duplicate field `")?.split('`').next()
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    pointer
}

fn input(at: &str, Object(sent): Object<request::Input>, may: May<'_>) -> Result<Input, ApiError> {
    let path = required(at, "path", sent.path)?;
    places::below_root(&path).map_err(|wrong| ApiError::field(format!("{at}/path"), wrong))?;
    let url = text(sent.url).filter(|url| !url.is_empty());
    let content = text(sent.content);
    // 9.1: content that is not empty wins over the URL, which is then not even read.
    let content_counts = match (&content, &url) {
        (Some(content), Some(_)) => !content.is_empty(),
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => {
            return Err(ApiError::field(at, "neither url nor content is given; an input needs one of them"));
        }
    };
    if content_counts && sent.kind == Some(request::FileType::Directory) {
        return Err(ApiError::field(format!("{at}/type"), "content makes a FILE, not a DIRECTORY"));
    }
    if let (Some(url), false) = (&url, content_counts) {
        may.name(url).map_err(|wrong| ApiError::field(format!("{at}/url"), wrong))?;
    }
    Ok(Input {
        name: text(sent.name),
        description: text(sent.description),
        url,
        content,
        path,
        kind: kind(sent.kind),
        streamable: sent.streamable,
    })
}

fn output(at: &str, Object(sent): Object<request::Output>, may: May<'_>) -> Result<Output, ApiError> {
    let path = required(at, "path", sent.path)?;
    places::below_root(&path).map_err(|wrong| ApiError::field(format!("{at}/path"), wrong))?;
    let url = required(at, "url", sent.url)?;
    may.name(&url).map_err(|wrong| ApiError::field(format!("{at}/url"), wrong))?;
    let path_prefix = text(sent.path_prefix).filter(|prefix| !prefix.is_empty());
    places::pattern(&path, path_prefix.as_deref())
        .map_err(|wrong| ApiError::field(format!("{at}/path_prefix"), wrong))?;
    Ok(Output {
        name: text(sent.name),
        description: text(sent.description),
        url,
        path,
        path_prefix,
        kind: kind(sent.kind),
    })
}

fn executor(at: &str, Object(sent): Object<request::Executor>) -> Result<Executor, ApiError> {
    let command = sent.command.unwrap_or_default();
    if command.is_empty() {
        let message = "there is none; the command is an array of the program and its arguments";
        return Err(ApiError::field(format!("{at}/command"), message));
    }
    let place = |name: &str, path: Option<Text>, check: fn(&str) -> Result<(), String>| {
        let path = text(path);
        let wrong = path.as_deref().and_then(|path| check(path).err());
        wrong.map_or(Ok(path), |wrong| Err(ApiError::field(format!("{at}/{name}"), wrong)))
    };
    Ok(Executor {
        image: required(at, "image", sent.image)?,
        command: command.into_iter().map(|Text(word)| word).collect(),
        workdir: place("workdir", sent.workdir, places::absolute)?,
        stdin: place("stdin", sent.stdin, places::below_root)?,
        stdout: place("stdout", sent.stdout, places::below_root)?,
        stderr: place("stderr", sent.stderr, places::below_root)?,
        env: sent.env.map(|StringMap(env)| env),
        ignore_error: sent.ignore_error,
    })
}

fn resources(sent: request::Resources, rules: &Rules) -> Result<(Resources, Vec<String>), ApiError> {
    /// `cpu_cores` is an int32 in the specification.
    const MOST_CORES: f64 = 2_147_483_647.0;
    let strict = sent.backend_parameters_strict == Some(true);
    let sorted = sent.backend_parameters.map(|StringMap(sent)| rules.parameters.sort(sent, strict)).transpose()?;
    let (backend_parameters, notes) = sorted.map_or((None, Vec::new()), |sorted| (Some(sorted.kept), sorted.notes));
    let resources = Resources {
        cpu_cores: amount("cpu_cores", sent.cpu_cores, MOST_CORES)?,
        ram_gb: amount("ram_gb", sent.ram_gb, f64::MAX)?,
        disk_gb: amount("disk_gb", sent.disk_gb, f64::MAX)?,
        preemptible: sent.preemptible,
        zones: sent.zones.map(|zones| zones.into_iter().map(|Text(zone)| zone).collect()),
        backend_parameters,
        backend_parameters_strict: sent.backend_parameters_strict,
    };
    Ok((resources, notes))
}

/// Zero is unset (4.8).
fn amount(name: &str, sent: Option<f64>, most: f64) -> Result<Option<f64>, ApiError> {
    match sent {
        Some(amount) if amount < 0.0 => {
            Err(ApiError::field(format!("/resources/{name}"), format!("{amount} is negative; ask for 0 or more")))
        }
        Some(amount) if amount > most => {
            Err(ApiError::field(format!("/resources/{name}"), format!("{amount} is too much; at most {most}")))
        }
        Some(amount) => Ok(Some(amount).filter(|amount| *amount != 0.0)),
        None => Ok(None),
    }
}

fn kind(sent: Option<request::FileType>) -> Option<FileKind> {
    sent.map(|kind| match kind {
        request::FileType::File => FileKind::File,
        request::FileType::Directory => FileKind::Directory,
    })
}

fn text(sent: Option<Text>) -> Option<String> {
    sent.map(|Text(text)| text)
}

/// A text that must be there and say something.
fn required(at: &str, name: &str, sent: Option<Text>) -> Result<String, ApiError> {
    match sent {
        Some(Text(text)) if !text.is_empty() => Ok(text),
        Some(_) => Err(ApiError::field(format!("{at}/{name}"), format!("{name} is empty"))),
        None => Err(ApiError::field(format!("{at}/{name}"), format!("{name} is missing"))),
    }
}

/// Reads every element of a list; a list that is absent is empty.
fn each<S, T>(
    list: &str,
    sent: Option<Vec<S>>,
    read: impl Fn(&str, S) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let sent = sent.unwrap_or_default();
    sent.into_iter().enumerate().map(|(index, entry)| read(&format!("{list}/{index}"), entry)).collect()
}

#[cfg(test)]
mod tests;
