//! What a script has done at a moment: a pure function of the job, its submit time, and what was done to it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tessera_runtime::doing::{Doing, Work};
use tessera_runtime::plan::Plan;
use tessera_runtime::report::{Fault, FaultClass, Note, Outcome, Progress, REPORT_VERSION, Report, StepReport};

use super::words::{Staging, Word, of_executor, of_input};
use crate::{JobId, Observation};

/// What was done to a job from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// It was told to stop.
    pub stop: Option<Timestamp>,
    /// Its node vanished.
    pub lost: Option<Timestamp>,
    /// Its capacity was reclaimed.
    pub preempted: Option<Timestamp>,
    /// It is held since.
    pub paused: Option<Timestamp>,
}

/// Something a job does outside of itself, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// An executor's command is started.
    Start(u32),
    /// A line is appended to a file.
    Append {
        /// The file, on the host.
        file: String,
        /// The line, without its end.
        line: String,
    },
    /// One is added to a count.
    Count(String),
}

/// How far a job has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Played {
    /// What an observer sees.
    pub seen: Observation,
    /// What it has done outside, in order, each under a name that is its own within the job.
    pub effects: Vec<(String, Effect)>,
    /// What each executor has printed: standard output, standard error.
    pub printed: Vec<(String, String)>,
    /// Executors whose command works now.
    pub working: bool,
    /// When something changes by itself next.
    pub next_change: Option<Timestamp>,
}

impl Played {
    /// Whether an executor has ended, though the job may go on.
    pub fn has_ended(&self, step: u32) -> bool {
        let has = |steps: &[StepReport]| steps.iter().any(|one| one.step == step);
        match &self.seen {
            Observation::Working(progress) => has(&progress.steps),
            Observation::Ended(_) | Observation::Stopped | Observation::Preempted { .. } | Observation::Lost { .. } => {
                true
            }
            Observation::Waiting { .. } | Observation::Paused | Observation::Unreadable { .. } => false,
        }
    }

    /// Whether nothing of the job works any more.
    pub fn is_over(&self) -> bool {
        match self.seen {
            Observation::Ended(_) | Observation::Stopped | Observation::Preempted { .. } | Observation::Lost { .. } => {
                true
            }
            Observation::Waiting { .. }
            | Observation::Working(_)
            | Observation::Paused
            | Observation::Unreadable { .. } => false,
        }
    }
}

/// Plays a job from its submit until now.
pub fn play(id: &JobId, plan: &Plan, submitted: Timestamp, told: &Told, now: Timestamp) -> Played {
    // What happens after it was stopped, lost, reclaimed or held does not happen.
    let horizon = [told.stop, told.lost, told.preempted, told.paused].into_iter().flatten().fold(now, Timestamp::min);
    let mut player = Player {
        attempt: id.attempt().map_or(1, |(_, attempt)| attempt),
        horizon,
        at: submitted,
        began: None,
        started: None,
        steps: Vec::new(),
        notes: Vec::new(),
        effects: Vec::new(),
        printed: vec![(String::new(), String::new()); plan.executors.len()],
        running: None,
        stubborn: SignedDuration::ZERO,
        next_change: None,
    };
    let halt = player.run(plan);
    player.told(id, plan, told, now, halt)
}

/// Why playing came to a halt.
enum Halt {
    /// The horizon is reached.
    Now,
    /// The job is over.
    Over(Outcome),
    /// The script says that it is preempted.
    Preempted,
}

struct Player {
    attempt: u32,
    horizon: Timestamp,
    at: Timestamp,
    began: Option<Timestamp>,
    started: Option<Timestamp>,
    steps: Vec<StepReport>,
    notes: Vec<Note>,
    effects: Vec<(String, Effect)>,
    printed: Vec<(String, String)>,
    /// The executor that works, and since when.
    running: Option<(u32, Timestamp)>,
    stubborn: SignedDuration,
    next_change: Option<Timestamp>,
}

impl Player {
    fn run(&mut self, plan: &Plan) -> Halt {
        match self.stage(plan).and_then(|()| self.execute(plan)) {
            Ok(()) => Halt::Over(Outcome::Complete),
            Err(halt) => halt,
        }
    }

    /// Lets time pass, up to the horizon.
    fn pass(&mut self, time: SignedDuration) -> Result<(), Halt> {
        let then = self.at.checked_add(time).unwrap_or(Timestamp::MAX);
        if then > self.horizon {
            self.next_change = Some(then);
            return Err(Halt::Now);
        }
        self.at = then;
        Ok(())
    }

    fn stage(&mut self, plan: &Plan) -> Result<(), Halt> {
        let scripts: Result<Vec<_>, String> = plan.inputs.iter().map(of_input).collect();
        let scripts: Vec<Staging> = match scripts {
            Ok(scripts) => scripts.into_iter().flatten().collect(),
            Err(message) => return Err(self.fault(FaultClass::Rejected, message)),
        };
        for script in &scripts {
            if let Staging::Wait(time) = script {
                self.pass(*time)?;
            }
        }
        self.began = Some(self.at);
        for script in scripts {
            match script {
                Staging::Wait(_) => {}
                Staging::Take(time) => self.pass(time)?,
                Staging::Stall => return Err(Halt::Now),
                Staging::Fault { until, class } => {
                    if until.is_none_or(|until| self.attempt < until) {
                        return Err(self.fault(class, "staging failed, as the script says".to_owned()));
                    }
                }
            }
        }
        Ok(())
    }

    fn execute(&mut self, plan: &Plan) -> Result<(), Halt> {
        for (step, executor) in (0_u32..).zip(&plan.executors) {
            let begun = self.at;
            self.started = self.started.or(Some(begun));
            self.running = Some((step, begun));
            let code = match of_executor(executor) {
                Ok(words) => {
                    self.effects.push((format!("start-{step}"), Effect::Start(step)));
                    self.speak(step, words)?
                }
                Err(message) => {
                    self.print(step, |(_, err)| err.push_str(&message));
                    127
                }
            };
            self.end_step(plan, step, begun, code);
            if code != 0 && !executor.ignore_error {
                return Err(Halt::Over(Outcome::ExecutorFailed { step }));
            }
        }
        Ok(())
    }

    fn speak(&mut self, step: u32, words: Vec<Word>) -> Result<i32, Halt> {
        for (n, word) in words.into_iter().enumerate() {
            let name = format!("effect-{step}-{n}");
            match word {
                Word::Exit(code) => return Ok(code),
                Word::Run(time) => self.pass(time)?,
                Word::Hang => return Err(Halt::Now),
                Word::Stubborn(time) => self.stubborn = time,
                Word::Print(text) => self.print(step, |(out, _)| out.push_str(&text)),
                Word::PrintErr(text) => self.print(step, |(_, err)| err.push_str(&text)),
                Word::Append { file, line } => self.effects.push((name, Effect::Append { file, line })),
                Word::Count(mark) => self.effects.push((name, Effect::Count(mark))),
                Word::Note(text) => self.notes.push(Note { at: self.at, text }),
                Word::Fault { until, class, message } => {
                    if until.is_none_or(|until| self.attempt < until) {
                        return Err(self.fault(class, message));
                    }
                }
                Word::PreemptedUntil(until) => {
                    if self.attempt < until {
                        return Err(Halt::Preempted);
                    }
                }
            }
        }
        Ok(0)
    }

    fn print(&mut self, step: u32, write: impl FnOnce(&mut (String, String))) {
        if let Some(streams) = self.printed.get_mut(step as usize) {
            write(streams);
        }
    }

    fn end_step(&mut self, plan: &Plan, step: u32, started: Timestamp, exit_code: i32) {
        let (out, err) = self.printed.get(step as usize).cloned().unwrap_or_default();
        let bytes = usize::try_from(plan.policy.log_tail_bytes).unwrap_or(usize::MAX);
        self.running = None;
        self.steps.push(StepReport {
            step,
            exit_code,
            started,
            ended: self.at,
            stdout_tail: tail(&out, bytes).to_owned(),
            stderr_tail: tail(&err, bytes).to_owned(),
            stdout_whole: out.len() <= bytes && !out.contains('\0'),
            stderr_whole: err.len() <= bytes && !err.contains('\0'),
        });
    }

    fn fault(&mut self, class: FaultClass, message: String) -> Halt {
        self.notes.push(Note { at: self.at, text: message.clone() });
        Halt::Over(Outcome::Failed(Fault { class, message, user_code_started: self.started.is_some() }))
    }

    fn told(mut self, id: &JobId, plan: &Plan, told: &Told, now: Timestamp, halt: Halt) -> Played {
        let working = self.running.is_some();
        let seen = match halt {
            Halt::Over(outcome) => self.report(id, outcome),
            Halt::Preempted => Observation::Preempted { reason: "the script says so".to_owned() },
            Halt::Now => {
                if let Some(at) = told.lost.filter(|at| *at <= now) {
                    let reason = format!("its node vanished at {at}");
                    Observation::Lost { reason, user_code_started: self.started.is_some() }
                } else if told.preempted.is_some() {
                    Observation::Preempted { reason: "capacity was reclaimed".to_owned() }
                } else if let Some(stop) = told.stop {
                    self.stopped(id, plan, stop, now)
                } else if told.paused.is_some() {
                    Observation::Paused
                } else {
                    self.at_work(id)
                }
            }
        };
        let mut played = Played {
            seen,
            effects: self.effects,
            printed: self.printed,
            working,
            next_change: self.next_change.filter(|_| told.paused.is_none()),
        };
        if played.is_over() {
            played.working = false;
            played.next_change = None;
        }
        played
    }

    fn stopped(&mut self, id: &JobId, plan: &Plan, stop: Timestamp, now: Timestamp) -> Observation {
        let gone = stop.checked_add(self.stubborn).unwrap_or(Timestamp::MAX);
        self.next_change = Some(gone);
        if now < gone {
            return self.at_work(id);
        }
        let Some((step, started)) = self.running else { return Observation::Stopped };
        self.at = gone;
        self.end_step(plan, step, started, 143);
        self.report(id, Outcome::Canceled)
    }

    fn at_work(&self, id: &JobId) -> Observation {
        let Some(began) = self.began else {
            return Observation::Waiting { reason: Some("the script lets it wait".to_owned()) };
        };
        Observation::Working(Progress {
            version: REPORT_VERSION,
            job: id.to_string(),
            began,
            started: self.started,
            steps: self.steps.clone(),
            notes: self.notes.clone(),
            doing: Some(self.doing(began)),
        })
    }

    fn doing(&self, began: Timestamp) -> Doing {
        match self.running {
            Some((executor, since)) => Doing { since, work: Work::Running { executor } },
            None => Doing { since: began, work: Work::Fetching { files: 0, of_files: 1, bytes: 0, of_bytes: None } },
        }
    }

    fn report(&self, id: &JobId, outcome: Outcome) -> Observation {
        Observation::Ended(Report {
            version: REPORT_VERSION,
            job: id.to_string(),
            outcome,
            began: self.began.unwrap_or(self.at),
            started: self.started,
            ended: self.at,
            steps: self.steps.clone(),
            outputs: Vec::new(),
            notes: self.notes.clone(),
            metadata: BTreeMap::from([("node".to_owned(), "scripted".to_owned())]),
        })
    }
}

/// The end of a text, in whole characters.
fn tail(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default()
}
