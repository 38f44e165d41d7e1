//! The verb `stage-out`: turns, outputs, the report.
//!
//! It never waits for what only somebody outside could bring about but for one thing: that the container of the next
//! executor comes. Where its image cannot be had, the job is ended from outside.

use std::io;
use std::process::ExitCode;

use tokio::sync::Notify;

use super::conduct::Conductor;
use super::places::Places;
use super::plan;
use super::process::{DONE, FAILED, fail, journal, run};
use super::say::say;
use crate::course::after::{After, after, ignored_failure};
use crate::course::disk::{note_used, watch_tree};
use crate::course::ending::{End, deliver, out_of_time, time_left};
use crate::course::trouble::Trouble;
use crate::doing::Work;
use crate::node::attempt::{Attempt, Mark};
use crate::node::journal::Journal;
use crate::plan::Plan;
use crate::report::{Fault, Outcome};
use crate::tree::Tree;

/// The verb: `stage-out`.
pub fn main(arguments: &[String]) -> ExitCode {
    let places = Places::of(arguments);
    run(async || stage_out(&places).await)
}

async fn stage_out(places: &Places) -> u8 {
    let attempt = Attempt::at(&places.attempt);
    let plan = match plan::got(places, &attempt) {
        Ok(plan) => plan,
        Err(trouble) => return fail(places, None, trouble, false).await,
    };
    let pod = match Pod::open(attempt, plan.clone()) {
        Ok(pod) => pod,
        Err(trouble) => return fail(places, Some(&plan), trouble, false).await,
    };
    pod.journal.show();
    let end = tokio::select! {
        biased;
        () = pod.time_is_over() => {
            pod.conductor.halt(&pod.plan, &pod.journal).await;
            out_of_time(&pod.plan.limits, &pod.journal)
        }
        end = pod.work() => end,
    };
    let complete = end.outcome == Outcome::Complete;
    let report = pod.journal.report(end.outcome, end.outputs, []);
    if let Some(log) = pod.journal.log() {
        say(places, Some(&pod.plan), log, report).await;
    }
    if complete { DONE } else { FAILED }
}

/// What stage-out works with.
struct Pod {
    plan: Plan,
    tree: Tree,
    journal: Journal,
    conductor: Conductor,
    /// Rung when the first command is known to have started.
    clock_starts: Notify,
}

impl Pod {
    fn open(attempt: Attempt, plan: Plan) -> Result<Self, Trouble> {
        let journal = journal(&attempt, &plan)?;
        let root = attempt.tree();
        let tree =
            Tree::open(&root).map_err(|error: io::Error| Trouble::disk("opening the task's tree", &root, &error))?;
        let conductor = Conductor::open(&attempt, plan.executors.len())?;
        Ok(Self { plan, tree, journal, conductor, clock_starts: Notify::new() })
    }

    async fn work(&self) -> End {
        match self.run().await {
            Ok(end) => end,
            Err(trouble) => {
                // Only now does every mark say what it will always say: the command was started, or never will be.
                self.conductor.halt(&self.plan, &self.journal).await;
                self.journal.note(trouble.message.clone());
                let user_code_started =
                    self.conductor.marks().any(|mark| !matches!(mark, Ok(Mark::None | Mark::Never)));
                let fault = Fault { class: trouble.class, message: trouble.message, user_code_started };
                End { outcome: Outcome::Failed(fault), outputs: Vec::new() }
            }
        }
    }

    async fn run(&self) -> Result<End, Trouble> {
        let failed = tokio::select! {
            failed = self.run_commands() => failed?,
            trouble = watch_tree(&self.plan.limits, &self.tree, &self.journal) => return Err(trouble),
        };
        if failed.is_some() {
            self.conductor.dismiss();
        }
        note_used(&self.plan.limits, &self.tree, &self.journal).await;
        Ok(deliver(&self.plan, &self.tree, &self.journal, failed).await)
    }

    /// Gives the executors their turns; answers which one failed, so that no other ran, and its exit code.
    async fn run_commands(&self) -> Result<Option<(u32, i32)>, Trouble> {
        for (step, executor) in (0..).zip(&self.plan.executors) {
            let code = {
                let _turn = self.journal.begins(Work::Running { executor: step });
                let started = |at| {
                    if self.journal.started(at) {
                        self.clock_starts.notify_one();
                        self.journal.show();
                    }
                };
                self.conductor.turn(step, &self.plan, &self.journal, &started).await?
            };
            match after(code, executor.ignore_error) {
                After::Next => {}
                After::NextAllTheSame => self.journal.note(ignored_failure(step, code)),
                After::Nothing => return Ok(Some((step, code))),
            }
            if (step as usize) + 1 < self.plan.executors.len() || !self.plan.outputs.is_empty() {
                self.journal.show();
            }
        }
        Ok(None)
    }

    /// Returns when the wall time is over.
    async fn time_is_over(&self) {
        loop {
            match time_left(&self.plan.limits, self.journal.started_at()) {
                Some(left) => return tokio::time::sleep(left).await,
                None => self.clock_starts.notified().await,
            }
        }
    }
}
