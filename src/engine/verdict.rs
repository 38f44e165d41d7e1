//! What a backend's words mean for a task. Pure: the only place that turns an observation or a report into an event.

use jiff::Timestamp;
use tessera_contract::{JobId, Observation};
use tessera_runtime::report::{Note, Outcome, Progress, REPORT_VERSION, Report, StepReport};

use super::retry::{Next, Trouble, Why, next};
use super::settings::Settings;
use crate::clock::after;
use crate::store::Active;
use crate::task::{AttemptResult, Event, ExecutorLog, LogLine, OutputFile, Phase, Seen, TaskState, Verdict};

/// What an observation means.
#[derive(Debug, Clone, PartialEq)]
pub enum Means {
    /// Nothing new.
    Nothing,
    /// It waits, and this is why: worth a sentence, once.
    Waits(String),
    /// It could not be read, and this is why. Says nothing about the job.
    Dark(String),
    /// This has happened.
    Event(Event),
    /// This has happened; but the job ended otherwise than by the stop that was asked for, and its container may still
    /// be there: it is removed before anybody is told that nothing is left.
    AfterRelease(Event),
}

/// What an observation of a task's job means.
pub fn means(settings: &Settings, active: &Active, observation: &Observation, now: Timestamp) -> Means {
    let Some(attempt) = active.state.attempt() else { return Means::Nothing };
    let case = Case { settings, active, attempt, seen: active.state.seen(), now };
    if let Observation::Ended(report) = observation
        && let Some(reason) = case.unusable(report)
    {
        return Means::Dark(reason);
    }
    match &active.state {
        TaskState::Canceling { .. } => case.canceling(observation),
        TaskState::Preempted { .. } => Means::Event(after_preempted(settings, active, attempt, now)),
        TaskState::Initializing { .. } | TaskState::Running { .. } | TaskState::Paused { .. } => {
            case.outside(observation)
        }
        TaskState::Queued { .. }
        | TaskState::Complete
        | TaskState::ExecutorError
        | TaskState::SystemError
        | TaskState::Canceled => Means::Nothing,
    }
}

/// What follows a preemption (TES contract 14.8).
pub fn after_preempted(settings: &Settings, active: &Active, attempt: u32, now: Timestamp) -> Event {
    let case = Case { settings, active, attempt, seen: active.state.seen(), now };
    case.failed(Trouble::Preempted, true, &format!("attempt {attempt} was preempted"), case.bare(Verdict::SystemError))
}

/// What follows when the machine of a job does not come back. Nobody knows how far the job has come since: a command may
/// have run (TES contract 12.10).
pub fn after_loss(settings: &Settings, active: &Active, attempt: u32, now: Timestamp, message: &str) -> Event {
    let case = Case { settings, active, attempt, seen: active.state.seen(), now };
    case.failed(Trouble::Lost, true, message, case.bare(Verdict::SystemError))
}

/// Whether a report holds all that the job's executors printed. One that was stopped, or failed otherwise than by a
/// command, may have had an executor of which it does not tell.
pub fn tells_all(report: &Report) -> bool {
    let all_told = match &report.outcome {
        Outcome::Complete | Outcome::ExecutorFailed { .. } => true,
        Outcome::Failed(_) | Outcome::Canceled => report.started.is_none(),
    };
    all_told && report.steps.iter().all(|step| step.stdout_whole && step.stderr_whole)
}

struct Case<'a> {
    settings: &'a Settings,
    active: &'a Active,
    attempt: u32,
    seen: Seen,
    now: Timestamp,
}

impl Case<'_> {
    /// Why a report is not one to act on.
    fn unusable(&self, report: &Report) -> Option<String> {
        if report.version > REPORT_VERSION {
            return Some(format!(
                "its report is of version {}, this server reads {REPORT_VERSION}; start the newer server",
                report.version
            ));
        }
        let job = JobId::of_attempt(self.active.task.as_str(), self.attempt);
        (report.job != job.as_str()).then(|| format!("its report is about the job `{}`", report.job))
    }

    fn outside(&self, observation: &Observation) -> Means {
        let attempt = self.attempt;
        let phase = self.active.state.phase();
        match observation {
            Observation::Waiting { reason } => reason.clone().map_or(Means::Nothing, Means::Waits),
            Observation::Working(progress) => match self.advanced(progress) {
                Some(event) => Means::Event(event),
                None if phase == Phase::Paused => Means::Event(Event::Resumed { attempt }),
                None => Means::Nothing,
            },
            Observation::Paused if phase == Phase::Running => Means::Event(Event::Paused { attempt }),
            Observation::Paused => Means::Nothing,
            Observation::Ended(report) => Means::Event(self.ended(report)),
            // Nobody asked us to stop it; whoever did, the work is lost, and a command may have run.
            Observation::Stopped => Means::Event(self.failed(
                Trouble::Lost,
                true,
                "the job was stopped from outside",
                self.bare(Verdict::SystemError),
            )),
            Observation::Preempted { reason } => Means::Event(Event::Preempted { attempt, reason: reason.clone() }),
            Observation::Lost { reason, user_code_started } => Means::Event(self.failed(
                Trouble::Lost,
                *user_code_started || self.has_started(),
                &format!("the job was lost: {reason}"),
                self.bare(Verdict::SystemError),
            )),
            Observation::Unreadable { reason } => Means::Dark(reason.clone()),
        }
    }

    /// 14.4: whatever it says, a job whose stop was asked for ends as cancelled; what it did is kept.
    fn canceling(&self, observation: &Observation) -> Means {
        let attempt = self.attempt;
        let gone = Event::Stopped { attempt, result: None };
        match observation {
            Observation::Ended(report) => {
                let mut result = self.result(report, Verdict::Canceled);
                if report.outcome == Outcome::Canceled {
                    return Means::Event(Event::Stopped { attempt, result: Some(Box::new(result)) });
                }
                self.say(&mut result, "the job ended by itself while it was being stopped".to_owned());
                Means::AfterRelease(Event::Stopped { attempt, result: Some(Box::new(result)) })
            }
            Observation::Stopped => Means::Event(gone),
            // Its runtime is gone; a container of it may still be there.
            Observation::Lost { .. } | Observation::Preempted { .. } => Means::AfterRelease(gone),
            Observation::Working(progress) => self.advanced(progress).map_or(Means::Nothing, Means::Event),
            Observation::Waiting { .. } | Observation::Paused => Means::Nothing,
            Observation::Unreadable { reason } => Means::Dark(reason.clone()),
        }
    }

    fn has_started(&self) -> bool {
        match self.active.state.phase() {
            Phase::Running | Phase::Paused => true,
            Phase::Queued
            | Phase::Initializing
            | Phase::Preempted
            | Phase::Canceling
            | Phase::Complete
            | Phase::ExecutorError
            | Phase::SystemError
            | Phase::Canceled => false,
        }
    }

    /// The job has got on since it was last told of, if it has.
    fn advanced(&self, progress: &Progress) -> Option<Event> {
        let executors = unseen(&progress.steps, self.seen.executors);
        let notes = unseen(&progress.notes, self.seen.notes);
        let starts = progress.started.is_some() && self.active.state.phase() == Phase::Initializing;
        if executors.is_empty() && notes.is_empty() && !starts {
            return None;
        }
        Some(Event::Advanced {
            attempt: self.attempt,
            started: progress.started,
            executors: executors.iter().map(executor).collect(),
            notes: notes.iter().map(line).collect(),
            seen: Seen {
                executors: count(&progress.steps).max(self.seen.executors),
                notes: count(&progress.notes).max(self.seen.notes),
            },
        })
    }

    fn ended(&self, report: &Report) -> Event {
        let attempt = self.attempt;
        match &report.outcome {
            Outcome::Complete => Event::Ended { attempt, result: Box::new(self.result(report, Verdict::Complete)) },
            Outcome::ExecutorFailed { step } => {
                let mut result = self.result(report, Verdict::ExecutorError);
                // 15.5: the runtime may have explained it already, and better: a signal, the memory.
                let explained = format!("executor {step} ");
                if result.notes.last().is_none_or(|last| !last.text.starts_with(&explained)) {
                    let code = report.steps.iter().find(|one| one.step == *step).map(|one| one.exit_code);
                    let code = code.map_or_else(|| "an unknown exit code".to_owned(), |c| format!("exit code {c}"));
                    self.say(&mut result, format!("{explained}failed with {code}"));
                }
                Event::Ended { attempt, result: Box::new(result) }
            }
            Outcome::Failed(fault) => {
                let started = fault.user_code_started || report.started.is_some();
                let result = self.result(report, Verdict::SystemError);
                self.failed(fault.class.into(), started, &fault.message, result)
            }
            // Nobody asked us to stop it.
            Outcome::Canceled => self.failed(
                Trouble::Lost,
                report.started.is_some() || self.has_started(),
                "the job was stopped from outside",
                self.result(report, Verdict::SystemError),
            ),
        }
    }

    /// The attempt failed: a new one, or the end; the last line says why, and what follows.
    fn failed(&self, trouble: Trouble, started: bool, message: &str, mut result: AttemptResult) -> Event {
        let attempt = self.attempt;
        match next(self.settings, trouble, started, attempt, self.active.task.as_str()) {
            Next::Again(wait) => {
                let not_before = after(self.now, wait);
                self.say(&mut result, format!("{message}; attempt {} begins after {not_before:.0}", attempt + 1));
                Event::Retried { attempt, result: Box::new(result), not_before: Some(not_before) }
            }
            Next::End(why) => {
                let line = match why {
                    Why::Final => message.to_owned(),
                    Why::Started => format!("{message}; not tried again, because a command of the task may have run"),
                    Why::Spent => format!("{message}; given up after {attempt} attempts"),
                };
                self.say(&mut result, line);
                Event::Ended { attempt, result: Box::new(result) }
            }
        }
    }

    /// Adds a last line, unless it is the last line already.
    fn say(&self, result: &mut AttemptResult, text: String) {
        if result.notes.last().is_none_or(|last| last.text != text) {
            result.notes.push(LogLine { at: self.now, text });
        }
    }

    fn bare(&self, verdict: Verdict) -> AttemptResult {
        ended_bare(verdict, self.now)
    }

    fn result(&self, report: &Report, verdict: Verdict) -> AttemptResult {
        AttemptResult {
            verdict,
            started: report.started,
            ended: report.ended,
            executors: unseen(&report.steps, self.seen.executors).iter().map(executor).collect(),
            outputs: report
                .outputs
                .iter()
                .map(|file| OutputFile {
                    url: file.url.clone(),
                    path: file.path.clone(),
                    size_bytes: file.size_bytes,
                    sha256: file.sha256.clone(),
                })
                .collect(),
            notes: unseen(&report.notes, self.seen.notes).iter().map(line).collect(),
            metadata: report.metadata.clone(),
        }
    }
}

/// The end of an attempt of which nothing is known but that it is over.
pub fn ended_bare(verdict: Verdict, ended: Timestamp) -> AttemptResult {
    AttemptResult {
        verdict,
        started: None,
        ended,
        executors: Vec::new(),
        outputs: Vec::new(),
        notes: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
    }
}

/// A task that ends without a job, or without one that can be asked: the sentence is its last line.
pub fn ended_with(attempt: u32, now: Timestamp, sentence: String) -> Event {
    let mut result = ended_bare(Verdict::SystemError, now);
    result.notes.push(LogLine { at: now, text: sentence });
    Event::Ended { attempt, result: Box::new(result) }
}

fn unseen<T>(all: &[T], seen: u32) -> &[T] {
    all.get(usize::try_from(seen).unwrap_or(usize::MAX)..).unwrap_or_default()
}

fn count<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

fn executor(step: &StepReport) -> ExecutorLog {
    ExecutorLog {
        index: step.step,
        exit_code: step.exit_code,
        started: step.started,
        ended: step.ended,
        stdout: step.stdout_tail.clone(),
        stderr: step.stderr_tail.clone(),
        stdout_whole: step.stdout_whole,
        stderr_whole: step.stderr_whole,
    }
}

fn line(note: &Note) -> LogLine {
    LogLine { at: note.at, text: note.text.clone() }
}

#[cfg(test)]
mod tests;
