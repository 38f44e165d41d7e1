//! `tessera run`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, Number, Value};

use super::connection::Connection;
use super::failure::Failure;
use super::printer::Printer;
use super::{exit, pair, watch};
use crate::client::wire::{Executor, Input, Output, Resources, State, Task};
use crate::client::{Client, Printed, Said, Wanted};

/// Run a command in an image as a task, and wait for it
///
/// Prints what the command prints, as it does (of a server other than Tessera in the end, and of each stream the end)
/// and exits with the command's exit code; 5 when the task ended SYSTEM_ERROR, 6 when it was cancelled. Ctrl-C cancels the task and
/// waits until nothing of it is left; a second Ctrl-C stops waiting and exits with 130.
#[derive(Debug, Args)]
pub struct Run {
    /// The image
    image: String,

    /// The command and its arguments, behind `--`; no shell is involved
    #[arg(required = true, last = true, value_name = "ARGV")]
    command: Vec<String>,

    /// A file or directory to bring in: container path and URL, or a path of this machine if the server shares it
    #[arg(short, long = "input", value_name = "PATH=URL", value_parser = pair::parse)]
    inputs: Vec<(String, String)>,

    /// A file to deliver: container path and URL; a path that ends in `/` is a directory, `*` and `?` are patterns
    #[arg(short, long = "output", value_name = "PATH=URL", value_parser = pair::parse)]
    outputs: Vec<(String, String)>,

    /// A variable of the command's environment
    #[arg(short, long = "env", value_name = "KEY=VALUE", value_parser = pair::parse)]
    env: Vec<(String, String)>,

    /// An empty directory in the container
    #[arg(long = "volume", value_name = "PATH")]
    volumes: Vec<String>,

    /// Working directory
    #[arg(long, value_name = "PATH")]
    workdir: Option<String>,

    /// Container path that is read as standard input
    #[arg(long, value_name = "PATH")]
    stdin: Option<String>,

    /// Container path that receives standard output
    #[arg(long, value_name = "PATH")]
    stdout: Option<String>,

    /// Container path that receives standard error
    #[arg(long, value_name = "PATH")]
    stderr: Option<String>,

    /// A name for the task
    #[arg(long)]
    name: Option<String>,

    /// A tag for the task
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair::parse)]
    tags: Vec<(String, String)>,

    /// Cores
    #[arg(long, value_name = "N")]
    cpu: Option<f64>,

    /// Memory, GiB
    #[arg(long, value_name = "GB")]
    ram: Option<f64>,

    /// Disk, GiB
    #[arg(long, value_name = "GB")]
    disk: Option<f64>,

    /// A backend parameter, such as `backend=docker`, `network=none` or `walltime=1h`
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = pair::parse)]
    parameters: Vec<(String, String)>,

    /// A name for this creation, 1 to 255 visible ASCII characters: run again with the same name and task, it follows
    /// the first one
    ///
    /// A lost answer is asked for again. Only for a server that knows the header `Idempotency-Key`, as Tessera does:
    /// another one may run the task twice.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Print the task's id and do not wait
    #[arg(long)]
    detach: bool,

    #[command(flatten)]
    connection: Connection,
}

impl Run {
    /// Runs the command.
    pub async fn run(self, printer: &mut Printer) -> Result<(), Failure> {
        let client = self.connection.client()?;
        let task = self.task()?;
        let id = match &self.idempotency_key {
            None => client.create(&task).await?,
            Some(key) => client.create_once(&task, key).await?,
        };
        if self.detach {
            return if printer.is_json() { printer.json(&serde_json::json!({ "id": id })) } else { printer.line(&id) };
        }
        let mut shown = Shown::default();
        follow(&client, &id, &mut shown, printer).await?;
        let task = client.get(&id, "FULL").await?;
        tell(&task, &shown, printer)?;
        match code(&task) {
            exit::OK => Ok(()),
            code => Err(Failure::silent(code)),
        }
    }

    fn task(&self) -> Result<Task, Failure> {
        let executor = Executor {
            image: self.image.clone(),
            command: self.command.clone(),
            workdir: self.workdir.clone(),
            stdin: self.stdin.clone(),
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
            env: optional(&self.env),
            other: Map::new(),
        };
        let inputs = self
            .inputs
            .iter()
            .map(|(path, url)| Ok(Input { url: Some(whole_url(url)?), path: path.clone(), other: Map::new() }));
        let outputs = self.outputs.iter().map(|(path, url)| output(path, &whole_url(url)?));
        Ok(Task {
            name: self.name.clone(),
            inputs: inputs.collect::<Result<_, Failure>>()?,
            outputs: outputs.collect::<Result<_, Failure>>()?,
            resources: self.resources()?,
            executors: vec![executor],
            volumes: self.volumes.clone(),
            tags: optional(&self.tags),
            ..Task::default()
        })
    }

    fn resources(&self) -> Result<Option<Resources>, Failure> {
        let cpu_cores = self.cpu.map(number).transpose()?;
        let mut other = Map::new();
        if !self.parameters.is_empty() {
            let parameters: Map<String, Value> =
                self.parameters.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
            other.insert("backend_parameters".to_owned(), Value::Object(parameters));
            // Whoever names a parameter here wants it honoured, or to be told.
            other.insert("backend_parameters_strict".to_owned(), Value::Bool(true));
        }
        let resources = Resources { cpu_cores, ram_gb: self.ram, disk_gb: self.disk, other };
        Ok((resources != Resources::default()).then_some(resources))
    }
}

/// Between two looks at a task that has not printed anything yet.
const SILENT: Duration = Duration::from_secs(1);

/// Waits for the task's end; Ctrl-C cancels it.
async fn follow(client: &Client, id: &str, shown: &mut Shown, printer: &mut Printer) -> Result<(), Failure> {
    let mut printed = client.printed(id, &Wanted { follow: true, ..Wanted::default() }).of_one_that_answers();
    let interrupted = tokio::select! {
        ended = show(client, id, &mut printed, shown, printer) => { ended?; false }
        signal = tokio::signal::ctrl_c() => { signal?; true }
    };
    if !interrupted {
        return Ok(());
    }
    printer.say(&format!("cancelling task {id}; Ctrl-C again stops waiting"));
    client.cancel(id).await?;
    tokio::select! {
        ended = show(client, id, &mut printed, shown, printer) => ended,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            Err(Failure::new(exit::INTERRUPTED, format!("task {id} is being cancelled; not waiting for it")))
        }
    }
}

/// What was shown while the task ran.
#[derive(Debug, Default)]
struct Shown {
    /// Whatever the command printed.
    everything: bool,
    /// The line on standard error is not at its end.
    in_a_line: bool,
}

/// Shows what the command prints until the task has ended; before it prints anything, where the task stands.
async fn show(
    client: &Client,
    id: &str,
    printed: &mut Printed,
    shown: &mut Shown,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let ids = [id.to_owned()];
    if printer.is_json() {
        return watch::until_ended(client, &ids, None, printer).await.map(|_| ());
    }
    let began = Instant::now();
    let (mut silent, mut told, mut state) = (true, false, None);
    loop {
        let said = {
            let mut said = std::pin::pin!(printed.next());
            loop {
                tokio::select! {
                    said = &mut said => break said?,
                    () = tokio::time::sleep(SILENT), if silent => {}
                }
                // Not worth more than a look: whether it can be reached is found out by the other question.
                let Ok(task) = client.get(id, "MINIMAL").await else { continue };
                let waits = matches!(task.state, Some(State::Queued | State::Initializing));
                let reason = if waits { client.waiting(id).await.ok().flatten() } else { None };
                let reason = reason.map(|waiting| format!(": {}", waiting.message)).unwrap_or_default();
                let now = task.state.map(|state| state.word().to_owned());
                let seconds = began.elapsed().as_secs_f32();
                let word = now.as_deref().unwrap_or("?");
                printer.progress(&format!("{id} {word} {seconds:.1}s{reason}"), now != state);
                state = now;
            }
        };
        match said {
            Said::Out(bytes) => {
                printer.end_progress();
                printer.write(&bytes)?;
            }
            Said::Err(bytes) => {
                printer.write_error(&bytes)?;
                shown.in_a_line = bytes.last().is_some_and(|last| *last != b'\n');
            }
            Said::Lost { attempt, reason } => {
                printer.say(&format!("not all of what attempt {attempt} of task {id} printed can be had: {reason}"));
            }
            Said::End(_) => {
                printer.end_progress();
                shown.everything = true;
                return Ok(());
            }
            Said::BreaksOff => {
                if !std::mem::replace(&mut told, true) {
                    printer.say(&format!("the server breaks off what task {id} prints again and again; asking on"));
                }
                // How it ended counts for more than what it printed; of that the ends are shown.
                let seen = client.get(id, "MINIMAL").await;
                if seen.is_ok_and(|task| task.state.is_some_and(|state| state.is_final())) {
                    return Ok(());
                }
                continue;
            }
            Said::NotTold => return watch::until_ended(client, &ids, None, printer).await.map(|_| ()),
        }
        silent = false;
    }
}

fn tell(task: &Task, shown: &Shown, printer: &mut Printer) -> Result<(), Failure> {
    if printer.is_json() {
        return printer.json(task);
    }
    let last = task.logs.last().map_or(&[][..], |log| &log.logs);
    for executor in last.iter().filter(|_| !shown.everything) {
        printer.write(executor.stdout.as_deref().unwrap_or_default().as_bytes())?;
        let stderr = executor.stderr.as_deref().unwrap_or_default().trim_end_matches('\n');
        if !stderr.is_empty() {
            printer.say(stderr);
        }
    }
    let ended = task.state.as_ref();
    if shown.in_a_line && ended != Some(&State::Complete) {
        printer.write_error(b"\n")?;
    }
    if ended != Some(&State::Complete) {
        let id = task.id.as_deref().unwrap_or_default();
        printer.say(&format!("task {id} ended {}", ended.map_or("without a state", State::word)));
        // An executor's failure has said why on its own standard error.
        if ended != Some(&State::ExecutorError) {
            task.system_logs().iter().for_each(|line| printer.say(line));
        }
    }
    Ok(())
}

fn code(task: &Task) -> u8 {
    let Some(state) = &task.state else { return exit::FAILURE };
    let own = task.exit_code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    match (state, own) {
        (State::ExecutorError, Some(own)) => own,
        (state, _) => watch::exit_code(state),
    }
}

/// A URL as it is; a path of this machine made absolute.
fn whole_url(url: &str) -> Result<String, Failure> {
    if url.contains("://") {
        return Ok(url.to_owned());
    }
    let absolute = std::path::absolute(url).map_err(|error| Failure::usage(format!("`{url}` is no path: {error}")))?;
    absolute.into_os_string().into_string().map_err(|_| Failure::usage(format!("`{url}` is not valid UTF-8")))
}

fn output(path: &str, url: &str) -> Result<Output, Failure> {
    let kind = path.ends_with('/').then(|| "DIRECTORY".to_owned());
    let path_prefix = path.find(['*', '?']).map(|at| {
        // The fixed head of the pattern up to its last whole component (TES contract 10.10).
        let head = &path[..at];
        head.rfind('/').map_or("/", |end| if end == 0 { "/" } else { &head[..end] }).to_owned()
    });
    Ok(Output { url: url.to_owned(), path: path.to_owned(), path_prefix, kind, other: Map::new() })
}

fn number(cores: f64) -> Result<Number, Failure> {
    // Whole cores go as an integer: older servers take nothing else.
    let whole = cores.fract() == 0.0 && (0.0..f64::from(u32::MAX)).contains(&cores);
    let number = if whole { Some(Number::from(cores as u64)) } else { Number::from_f64(cores) };
    number.ok_or_else(|| Failure::usage(format!("{cores} is no number of cores")))
}

fn optional(pairs: &[(String, String)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::wire::{ExecutorLog, TaskLog};

    #[test]
    fn an_output_says_what_its_path_means() {
        assert_eq!(output("/out/", "file:///x").unwrap().kind.as_deref(), Some("DIRECTORY"));
        assert_eq!(output("/out/a*.txt", "file:///x").unwrap().path_prefix.as_deref(), Some("/out"));
        assert_eq!(output("/*.txt", "file:///x").unwrap().path_prefix.as_deref(), Some("/"));
        assert_eq!(output("/out/a", "file:///x").unwrap().path_prefix, None);
    }

    #[test]
    fn paths_of_this_machine_become_absolute() {
        assert_eq!(whole_url("s3://b/k").unwrap(), "s3://b/k");
        assert!(whole_url("data.txt").unwrap().starts_with('/'));
    }

    #[test]
    fn whole_cores_are_integers() {
        assert_eq!(number(2.0).unwrap().to_string(), "2");
        assert_eq!(number(0.5).unwrap().to_string(), "0.5");
        assert!(number(f64::NAN).is_err());
    }

    #[test]
    fn the_exit_code_follows_the_task() {
        let ended = |state: State, exit_code: Option<i32>| {
            let logs = vec![ExecutorLog { exit_code, ..ExecutorLog::default() }];
            Task { state: Some(state), logs: vec![TaskLog { logs, ..TaskLog::default() }], ..Task::default() }
        };
        assert_eq!(code(&ended(State::Complete, Some(0))), 0);
        // With `ignore_error` a task is complete whatever its last executor said.
        assert_eq!(code(&ended(State::Complete, Some(3))), 0);
        assert_eq!(code(&ended(State::ExecutorError, Some(137))), 137);
        assert_eq!(code(&ended(State::ExecutorError, None)), exit::EXECUTOR_ERROR);
        assert_eq!(code(&ended(State::SystemError, Some(1))), exit::SYSTEM_ERROR);
        assert_eq!(code(&ended(State::Canceled, None)), exit::CANCELED);
    }
}
