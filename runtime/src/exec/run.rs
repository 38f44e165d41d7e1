//! The order in which a step is done.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::WaitStatus;

use super::directory::StepDirectory;
use super::kept::Kept;
use super::launch::launch;
use super::paths::Paths;
use super::signals::Signals;
use super::streams::{StreamFiles, open_stdin};
use super::supervise::{Sink, supervise};
use super::usage::Meter;
use crate::entry::Changed;
use crate::frames::Writer;
use crate::notes::Notes;
use crate::step::{STEP_PATH, STEP_VERSION, StepEnd, StepFile, StepRecord, TREE_PATH, exit};
use crate::tree::Tree;

/// Where a wrapper finds what it works with.
#[derive(Debug, Clone)]
pub struct Places {
    /// The step directory.
    pub step: PathBuf,
    /// The task's tree.
    pub tree: PathBuf,
    /// The image's file system.
    pub image: PathBuf,
}

/// The verb: `exec [STEP [TREE [IMAGE]]]`.
pub fn main(arguments: &[String]) -> ExitCode {
    let place = |at: usize, default: &str| {
        let given = arguments.get(at).map(String::as_str);
        PathBuf::from(given.unwrap_or(default))
    };
    let code = run(&Places { step: place(0, STEP_PATH), tree: place(1, TREE_PATH), image: place(2, "/") });
    // Exit codes are bytes wherever they come from.
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

/// Does a step, and answers the exit code: the command's, or one of [`exit`].
pub fn run(places: &Places) -> i32 {
    match attempt(places) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tessera-runtime exec: {error}");
            exit::WRAPPER
        }
    }
}

fn about(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

fn attempt(places: &Places) -> io::Result<i32> {
    let mut signals = Signals::catch()?;
    let directory = StepDirectory::open(&places.step).map_err(|e| about(&places.step, e))?;
    let step = directory.read_step().map_err(|e| about(&places.step, e));
    // Nobody else would say it in a pod, and its turn would be waited for.
    let step = step.inspect_err(|error| directory.give_up(error))?;
    if directory.is_marked() {
        return Ok(exit::MARKED);
    }
    // A session of our own, where we do not lead one already.
    let _leader = rustix::process::setsid();
    if !step.in_turn {
        return work(places, &signals, &directory, &step);
    }
    let mut in_turn = || {
        signals.listen_to(directory.come()?);
        match signals.turn_comes()? {
            true => work(places, &signals, &directory, &step),
            false => Ok(exit::NO_TURN),
        }
    };
    in_turn().inspect_err(|error| directory.give_up(error))
}

/// What the step is there for. An error: there is no record.
fn work(places: &Places, signals: &Signals, directory: &StepDirectory, step: &StepFile) -> io::Result<i32> {
    let tree = Tree::open(&places.tree).map_err(|e| about(&places.tree, e))?;
    let image = Tree::open(&places.image).map_err(|e| about(&places.image, e))?;

    let mut notes = Notes::default();
    let mut wrapper = Wrapper {
        paths: Paths { image: &image, tree: &tree, step, notes: &mut notes, laid_in: Vec::new() },
        directory,
        signals,
        step,
        meter: Meter::begin(),
        stopped: false,
        started: Timestamp::now(),
    };
    let end = wrapper.work();
    let Some(end) = end? else {
        return Ok(exit::MARKED);
    };
    let record = StepRecord {
        version: STEP_VERSION,
        step: step.step,
        end,
        started: wrapper.started,
        ended: Timestamp::now(),
        stopped: wrapper.stopped,
        usage: wrapper.meter.read(),
        out_of_memory: wrapper.meter.out_of_memory(),
        notes: notes.into_lines(),
    };
    let written = directory.write_record(&record);
    directory.ring();
    written.map_err(|error| about(&places.step.join("record.json"), error))?;
    Ok(match record.end {
        StepEnd::Exited { code, .. } => code,
        StepEnd::Fault { .. } => exit::WRAPPER,
    })
}

struct Wrapper<'a> {
    paths: Paths<'a>,
    directory: &'a StepDirectory,
    signals: &'a Signals,
    step: &'a StepFile,
    meter: Meter,
    stopped: bool,
    started: Timestamp,
}

impl Wrapper<'_> {
    /// Everything up to the record; `None` when the mark was there before.
    fn work(&mut self) -> io::Result<Option<StepEnd>> {
        let files = match self.prepare() {
            Ok(files) => files,
            Err(message) => return Ok(Some(fault(message, false))),
        };
        if self.signals.stop_asked() {
            self.stopped = true;
        }
        if self.stopped {
            let message = "the step was stopped before its command was started".to_owned();
            return Ok(Some(fault(message, false)));
        }
        let Some(since) = self.directory.mark()? else {
            return Ok(None);
        };
        self.started = Timestamp::now();
        self.directory.ring();
        let end = self.command(&files, since)?;
        Ok(Some(end))
    }

    fn prepare(&mut self) -> Result<StreamFiles, String> {
        let signals = self.signals;
        let stopped = std::cell::Cell::new(false);
        let stop = || {
            stopped.set(stopped.get() || signals.stop_asked());
            stopped.get()
        };
        let laid_in = self.paths.lay_in(&stop);
        self.stopped = stopped.get();
        laid_in?;
        if let Some(workdir) = &self.step.workdir {
            let made = self.paths.image.make_directory(Path::new(workdir));
            made.and_then(|_| std::env::set_current_dir(self.paths.image.path().join(&workdir[1..]))).map_err(
                |error| {
                    let user = rustix::process::geteuid().as_raw();
                    format!("cannot use `{workdir}` as working directory as user {user}: {error}")
                },
            )?;
        }
        StreamFiles::open(self.paths.tree, self.step.stdout.as_deref(), self.step.stderr.as_deref())
    }

    fn command(&mut self, files: &StreamFiles, since: Changed) -> io::Result<StepEnd> {
        if let Err(message) = files.truncate() {
            return Ok(fault(message, false));
        }
        let frames = match self.directory.frames() {
            Ok(frames) => {
                let frames = Kept::in_file(frames);
                // There the container's log is the only way to what is printed.
                let frames = if self.step.in_turn { frames.and_in(io::stdout()) } else { frames };
                Writer::new(frames, self.step.log_cap_bytes)
            }
            Err(error) => {
                let message = format!("cannot keep what the command prints: {error}");
                return Ok(fault(message, false));
            }
        };
        let (out_reader, out_writer) = io::pipe()?;
        let (err_reader, err_writer) = io::pipe()?;
        let mut sink = Sink::new(
            frames,
            self.step.in_turn,
            (out_reader, files.stdout.clone()),
            (err_reader, files.stderr.clone()),
        )?;

        let stdin = match &self.step.stdin {
            None => Ok(Stdio::null()),
            Some(path) => open_stdin(self.paths.tree, path).map(Stdio::from),
        };
        let not_started = match stdin {
            Ok(stdin) => match launch(self.step, stdin, out_writer.into(), err_writer.into()) {
                Ok(command) => return self.supervised(command, sink, since),
                Err(failed) => (failed.code, failed.reason),
            },
            // TES contract 12.8.
            Err(reason) => (1, reason),
        };
        let (code, reason) = not_started;
        sink.say(&reason);
        sink.finish();
        self.paths.notes.add(reason);
        if let Some(message) = sink.broken {
            return Ok(fault(message, false));
        }
        Ok(StepEnd::Exited { code, signal: None })
    }

    fn supervised(&mut self, command: rustix::process::Pid, mut sink: Sink, since: Changed) -> io::Result<StepEnd> {
        let grace = Duration::from_millis(self.step.stop_grace_ms);
        let ended = supervise(command, self.signals, &mut sink, &mut self.meter, grace)?;
        sink.finish();
        self.stopped = ended.stopped;
        if ended.left {
            let note = "a process of the command did not end within seconds of being killed";
            self.paths.notes.add(note.into());
        }
        if let Some(error) = &sink.lost {
            let note = format!("what the command printed could not all be kept: {error}");
            self.paths.notes.add(note);
        }
        let (code, signal) = exit_code(ended.status);
        let mut problems = Vec::from_iter(sink.broken.take());
        problems.extend(self.paths.harvest(since));
        if code == 0 && !problems.is_empty() {
            return Ok(fault(problems.swap_remove(0), true));
        }
        // After a failure the failure is what counts (TES contract 10.3).
        for problem in problems {
            self.paths.notes.add(problem);
        }
        Ok(StepEnd::Exited { code, signal })
    }
}

fn fault(message: String, command_started: bool) -> StepEnd {
    StepEnd::Fault { message, command_started }
}

/// A shell's reading of a status (TES contract 12.6).
fn exit_code(status: WaitStatus) -> (i32, Option<i32>) {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code, None),
        (None, Some(signal)) => (128 + signal, Some(signal)),
        // Neither is not possible for a process that has been reaped.
        (None, None) => (exit::WRAPPER, None),
    }
}
