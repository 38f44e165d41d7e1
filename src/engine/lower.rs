//! From a task to a job: TES subtracted, defaults applied. Pure.

use std::collections::BTreeMap;

use tessera_contract::{Honours, Job, JobId, Profile};
use tessera_runtime::plan::{Executor, Input, Kind, Limits, Network, Output, PLAN_VERSION, Plan, Source};
use tessera_runtime::storage::location::{Location, Remote};
use tessera_runtime::storage::settings::Storage;

use super::amounts;
use super::settings::JobSettings;
use crate::store::Claimed;
use crate::task::TaskSpec;
use crate::task::spec::{self, FileKind};

/// A job, and what is worth telling the user about how it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// The job.
    pub job: Job,
    /// Sentences about wishes that are not honoured (TES contract 13.2, 13.3).
    pub notes: Vec<String>,
}

/// The backend a job is made for.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its facts.
    pub profile: &'a Profile,
    /// The wishes it honours.
    pub honours: Honours,
}

/// Makes the job of a claimed task; the error is a sentence that ends it.
pub fn lower(claimed: &Claimed, target: Target<'_>, settings: &JobSettings) -> Result<Lowered, String> {
    let spec = &claimed.spec;
    let id = JobId::of_attempt(claimed.task.as_str(), claimed.attempt);
    let mut notes = Vec::new();
    let mut parameters = parameters(spec, target.profile, settings, &mut notes)?;
    let asked = limits(spec, &mut parameters, settings)?;
    let limits = amounts::settle(asked, settings, &target.profile.capacity)?;
    unhonoured(spec, target, &mut notes);
    let resources = spec.resources.as_ref();
    let inputs: Vec<Input> = spec.inputs.iter().map(input).collect();
    let outputs: Vec<Output> = spec.outputs.iter().map(output).collect();
    let storage = storage(settings.owners.get(&claimed.owner.0).unwrap_or(&settings.storage), &inputs, &outputs);
    let plan = Plan {
        version: PLAN_VERSION,
        job: id.to_string(),
        inputs,
        executors: spec.executors.iter().map(executor).collect(),
        outputs,
        volumes: spec.volumes.clone(),
        limits,
        policy: settings.policy.clone(),
        storage,
    };
    let job = Job {
        id,
        owner: claimed.owner.0.clone(),
        plan,
        preemptible: resources.and_then(|r| r.preemptible).unwrap_or(false),
        zones: resources.and_then(|r| r.zones.clone()).unwrap_or_default(),
        parameters,
    };
    Ok(Lowered { job, notes })
}

/// What the job's own URLs need. Each job is on a host where others may be, so that none holds all keys; the lists go
/// with it, because where a redirect or an identifier leads to is known only in the job.
fn storage(whole: &Storage, inputs: &[Input], outputs: &[Output]) -> Storage {
    let sources = inputs.iter().filter_map(|input| match &input.source {
        Source::Url(url) => Some(url),
        Source::Content(_) => None,
    });
    let urls = sources.chain(outputs.iter().map(|output| &output.url));
    let remotes: Vec<Remote> = urls
        .filter_map(|url| match Location::parse(url) {
            Ok(Location::Remote(remote)) => Some(remote),
            // A file needs no key; what cannot be read is refused by the job, in words of its own.
            Ok(Location::Host(_)) | Err(_) => None,
        })
        .collect();
    whole.only_for(&remotes)
}

/// 9.1: text that is not empty counts more than a URL, and empty text without a URL is an empty file.
fn input(input: &spec::Input) -> Input {
    let content = input.content.clone().filter(|content| !content.is_empty());
    let source = match (content, &input.url) {
        (Some(content), _) => Source::Content(content),
        (None, Some(url)) => Source::Url(url.clone()),
        (None, None) => Source::Content(String::new()),
    };
    Input { path: input.path.clone(), source, kind: input.kind.map(kind) }
}

fn output(output: &spec::Output) -> Output {
    Output {
        path: output.path.clone(),
        url: output.url.clone(),
        path_prefix: output.path_prefix.clone(),
        kind: output.kind.map(kind),
    }
}

fn kind(kind: FileKind) -> Kind {
    match kind {
        FileKind::File => Kind::File,
        FileKind::Directory => Kind::Directory,
    }
}

fn executor(executor: &spec::Executor) -> Executor {
    Executor {
        image: executor.image.clone(),
        command: executor.command.clone(),
        workdir: executor.workdir.clone(),
        env: executor.env.clone().unwrap_or_default(),
        stdin: executor.stdin.clone(),
        stdout: executor.stdout.clone(),
        stderr: executor.stderr.clone(),
        ignore_error: executor.ignore_error.unwrap_or(false),
    }
}

/// The parameters that the backend honours, keys in lower case, defaults applied; the others are noted, or end the
/// task when it asked for that (TES contract 13.3, 13.4).
fn parameters(
    spec: &TaskSpec,
    profile: &Profile,
    settings: &JobSettings,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, String> {
    let honoured = |key: &str| profile.parameters.iter().any(|known| known == key);
    let resources = spec.resources.as_ref();
    let strict = resources.and_then(|r| r.backend_parameters_strict).unwrap_or(false);
    let mut kept: BTreeMap<String, String> = settings
        .parameters
        .iter()
        .map(|(key, value)| (key.to_lowercase(), value.clone()))
        .filter(|(key, _)| honoured(key))
        .collect();
    for (key, value) in resources.and_then(|r| r.backend_parameters.as_ref()).into_iter().flatten() {
        let lower = key.to_lowercase();
        // Which backend it is has been decided before, by the name.
        if lower == "backend" {
            continue;
        }
        if honoured(&lower) {
            kept.insert(lower, value.clone());
            continue;
        }
        let name = &profile.name;
        if strict {
            return Err(format!(
                "backend `{name}` cannot honour the backend parameter `{key}`, and the task is strict"
            ));
        }
        notes.push(format!("backend `{name}` cannot honour the backend parameter `{key}`; it is ignored"));
    }
    Ok(kept)
}

/// The words that mean the same on every backend (TES contract 13.6); they are taken out of the parameters.
fn limits(
    spec: &TaskSpec,
    parameters: &mut BTreeMap<String, String>,
    settings: &JobSettings,
) -> Result<Limits, String> {
    let walltime_ms = parameters.remove("walltime").map(|text| walltime_ms(&text)).transpose()?;
    let gpu_count = parameters.remove("gpu_count").map(|text| gpu_count(&text)).transpose()?.flatten();
    let network = parameters.remove("network").map(|text| network(&text, settings)).transpose()?.unwrap_or_default();
    Ok(Limits {
        cpu_milli: spec.cpu_milli(),
        ram_bytes: spec.ram_bytes(),
        disk_bytes: spec.disk_bytes(),
        pids: settings.pids,
        gpu_count,
        walltime_ms,
        network,
        container_user: parameters.remove("container_user").filter(|user| !user.is_empty()),
    })
}

fn gpu_count(text: &str) -> Result<Option<u32>, String> {
    let count: u32 = text.trim().parse().map_err(|_| {
        format!("the backend parameter `gpu_count` is {text:?}, which is no whole number of GPUs; write `1`")
    })?;
    Ok(Some(count).filter(|count| *count > 0))
}

fn network(text: &str, settings: &JobSettings) -> Result<Network, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "bridge" => Ok(Network::Bridge),
        "none" => Ok(Network::None),
        "host" if settings.host_network => Ok(Network::Host),
        "host" => Err("the backend parameter `network` asks for the host's own network, which this server does not \
                       allow; write `bridge` or `none`"
            .to_owned()),
        _ => Err(format!("the backend parameter `network` is {text:?}; write `bridge` or `none`")),
    }
}

/// Reads a wall time: seconds (`90`), or amounts with units (`1h30m`, `2d`), as milliseconds.
pub fn walltime_ms(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!("the backend parameter `walltime` is {text:?}, which is no length of time; write seconds or `1h30m`")
    };
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u64>() {
        return seconds.checked_mul(1_000).filter(|ms| *ms > 0).ok_or_else(wrong);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let mut behind = behind.chars();
        let unit_ms: u64 = match behind.next().map(|unit| unit.to_ascii_lowercase()) {
            Some('d') => 86_400_000,
            Some('h') => 3_600_000,
            Some('m') => 60_000,
            Some('s') => 1_000,
            Some(_) | None => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        total = number.checked_mul(unit_ms).and_then(|ms| total.checked_add(ms)).ok_or_else(wrong)?;
        rest = behind.as_str().trim_start();
    }
    Some(total).filter(|ms| *ms > 0).ok_or_else(wrong)
}

fn unhonoured(spec: &TaskSpec, target: Target<'_>, notes: &mut Vec<String>) {
    let Some(resources) = &spec.resources else { return };
    let name = &target.profile.name;
    if spec.disk_bytes().is_some() && !target.honours.disk {
        notes.push(format!("backend `{name}` sets no limit on disk use; `disk_gb` is ignored"));
    }
    if resources.preemptible == Some(true) && !target.honours.preemptible {
        notes.push(format!("backend `{name}` has no preemptible capacity; `preemptible` is ignored"));
    }
    if resources.zones.as_ref().is_some_and(|zones| !zones.is_empty()) && !target.honours.zones {
        notes.push(format!("backend `{name}` has no zones; `zones` is ignored"));
    }
}

#[cfg(test)]
mod tests;
