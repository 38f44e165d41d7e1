//! Our words into GA4GH's: a task as a view shows it (TES contract §7). What is shown depends on the view alone,
//! never on what the task happens to hold (7.2).

use super::wire::answer::{
    Executor, ExecutorLog, FileType, Input, Output, OutputFileLog, Resources, State, Task, TaskLog,
};
use crate::store::Summary;
use crate::task::spec::{self, FileKind};
use crate::task::{self, Attempt, Phase};

/// How much of a task is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Id and state.
    Minimal,
    /// BASIC or FULL.
    Whole(Detail),
}

/// How much of a whole task is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All but contents, system logs and what executors printed.
    Basic,
    /// All.
    Full,
}

impl View {
    /// The view that a word names; in capitals only (7.1).
    pub fn named(word: &str) -> Option<Self> {
        match word {
            "MINIMAL" => Some(Self::Minimal),
            "BASIC" => Some(Self::Whole(Detail::Basic)),
            "FULL" => Some(Self::Whole(Detail::Full)),
            _ => None,
        }
    }
}

impl Detail {
    fn full<T>(self, value: T) -> Option<T> {
        (self == Self::Full).then_some(value)
    }
}

/// A phase in GA4GH's words.
pub fn state(phase: Phase) -> State {
    match phase {
        Phase::Queued => State::Queued,
        Phase::Initializing => State::Initializing,
        Phase::Running => State::Running,
        Phase::Paused => State::Paused,
        Phase::Preempted => State::Preempted,
        Phase::Canceling => State::Canceling,
        Phase::Complete => State::Complete,
        Phase::ExecutorError => State::ExecutorError,
        Phase::SystemError => State::SystemError,
        Phase::Canceled => State::Canceled,
    }
}

/// MINIMAL is exactly id and state (7.1).
pub fn minimal(summary: &Summary) -> Task<'_> {
    Task {
        id: summary.id.as_str(),
        state: state(summary.phase),
        name: None,
        description: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        resources: None,
        executors: None,
        volumes: &[],
        tags: None,
        logs: None,
        creation_time: None,
    }
}

/// A task as it is shown where QUEUED is not: it is being made ready (14.9).
pub fn without_queued(mut task: Task<'_>) -> Task<'_> {
    if matches!(task.state, State::Queued) {
        task.state = State::Initializing;
    }
    task
}

/// A task in BASIC or FULL.
pub fn task(task: &task::Task, detail: Detail) -> Task<'_> {
    let spec = &task.spec;
    Task {
        id: task.id.as_str(),
        state: state(task.state.phase()),
        name: spec.name.as_deref(),
        description: spec.description.as_deref(),
        inputs: spec.inputs.iter().map(|entry| input(entry, detail)).collect(),
        outputs: spec.outputs.iter().map(output).collect(),
        resources: spec.resources.as_ref().map(resources),
        executors: Some(spec.executors.iter().map(executor).collect()),
        volumes: &spec.volumes,
        tags: spec.tags.as_ref(),
        logs: Some(task.attempts.iter().map(|attempt| attempt_log(attempt, detail)).collect()),
        creation_time: Some(task.created),
    }
}

fn kind(kind: Option<FileKind>) -> FileType {
    match kind {
        Some(FileKind::Directory) => FileType::Directory,
        // 6.3: always there; FILE until the real kind is known.
        Some(FileKind::File) | None => FileType::File,
    }
}

fn input(input: &spec::Input, detail: Detail) -> Input<'_> {
    Input {
        name: input.name.as_deref(),
        description: input.description.as_deref(),
        url: input.url.as_deref(),
        path: &input.path,
        kind: kind(input.kind),
        content: input.content.as_deref().and_then(|content| detail.full(content)),
        streamable: input.streamable,
    }
}

fn output(output: &spec::Output) -> Output<'_> {
    Output {
        name: output.name.as_deref(),
        description: output.description.as_deref(),
        url: &output.url,
        path: &output.path,
        path_prefix: output.path_prefix.as_deref(),
        kind: kind(output.kind),
    }
}

fn resources(resources: &spec::Resources) -> Resources<'_> {
    Resources {
        cpu_cores: resources.cpu_cores,
        preemptible: resources.preemptible,
        ram_gb: resources.ram_gb,
        disk_gb: resources.disk_gb,
        zones: resources.zones.as_deref(),
        backend_parameters: resources.backend_parameters.as_ref(),
        backend_parameters_strict: resources.backend_parameters_strict,
    }
}

fn executor(executor: &spec::Executor) -> Executor<'_> {
    Executor {
        image: &executor.image,
        command: &executor.command,
        workdir: executor.workdir.as_deref(),
        stdin: executor.stdin.as_deref(),
        stdout: executor.stdout.as_deref(),
        stderr: executor.stderr.as_deref(),
        env: executor.env.as_ref(),
        ignore_error: executor.ignore_error,
    }
}

fn attempt_log(attempt: &Attempt, detail: Detail) -> TaskLog<'_> {
    TaskLog {
        logs: executor_logs(attempt, detail),
        metadata: Some(&attempt.metadata).filter(|metadata| !metadata.is_empty()),
        start_time: attempt.started,
        end_time: attempt.ended,
        outputs: attempt.outputs.iter().map(output_file).collect(),
        system_logs: match detail {
            Detail::Basic => Vec::new(),
            Detail::Full => attempt.log.iter().map(|line| format!("{} {}", line.at, line.text)).collect(),
        },
    }
}

/// In executor order and without gaps, so that a position in the list is the executor's index (15.2).
fn executor_logs(attempt: &Attempt, detail: Detail) -> Vec<ExecutorLog<'_>> {
    let mut ended: Vec<&task::ExecutorLog> = attempt.executors.iter().collect();
    ended.sort_by_key(|log| log.index);
    let in_order =
        ended.into_iter().enumerate().take_while(|(position, log)| u32::try_from(*position) == Ok(log.index));
    let shown = in_order.map(|(_, log)| ExecutorLog {
        start_time: log.started,
        end_time: log.ended,
        // Also when nothing was printed: clients add them up.
        stdout: detail.full(log.stdout.as_str()),
        stderr: detail.full(log.stderr.as_str()),
        exit_code: log.exit_code,
    });
    shown.collect()
}

fn output_file(file: &task::OutputFile) -> OutputFileLog<'_> {
    OutputFileLog { url: &file.url, path: &file.path, size_bytes: file.size_bytes.to_string() }
}

#[cfg(test)]
mod tests;
