//! Watches what is written, after every step: the part of the invariants that the store's journal shows.

use std::collections::HashMap;

use tessera::store::memory::ground::Ground;
use tessera::store::memory::{By, Written};
use tessera::store::{ChangeId, Claim, Fence};
use tessera::task::{Event, Step, TaskId, TaskState};
use tessera_contract::JobId;

use crate::invariants::Invariant;
use crate::network::Sites;
use crate::several::Shared;

/// What is known of each task from the journal alone.
#[derive(Default)]
pub(crate) struct Watch {
    read: usize,
    tasks: HashMap<TaskId, Known>,
    last_change: ChangeId,
    changes_due: usize,
    changes_seen: usize,
}

#[derive(Clone)]
struct Known {
    state: TaskState,
    fence: Fence,
    claim: Option<Claim>,
    cancel_requested: bool,
}

/// How far a clock may be from the right one, of an engine's patience: what is asked for of clocks.
pub(crate) const SKEW: u64 = 3;

impl Watch {
    /// Reads what was written since the last look, and tells it.
    pub(crate) fn look(&mut self, shared: &Shared, sites: &Sites, ground: &Ground, who: &str) {
        for written in &ground.journal[self.read..] {
            shared.tell(who, Some(&written.task), || sentence(written));
            self.one(shared, ground, written);
            if written.after == TaskState::Canceled {
                is_gone(shared, sites, &written.task);
            }
        }
        self.read = ground.journal.len();
        self.changes(shared, ground);
    }

    fn one(&mut self, shared: &Shared, ground: &Ground, written: &Written) {
        let task = &written.task;
        let broken = |invariant, what: &str| shared.broken(invariant, Some(task), || what.to_owned());
        let known = self.tasks.get(task).cloned();
        let state = known.as_ref().map(|known| known.state.clone());
        let apart_ms = 2 * shared.lock().patience_ms / SKEW;
        if written.before != state {
            broken(Invariant::HistoryIsLegal, &format!("it stood at {state:?}, and goes on from {:?}", written.before));
        }
        let mut known = known.unwrap_or(Known {
            state: written.after.clone(),
            fence: Fence(0),
            claim: None,
            cancel_requested: false,
        });
        let before = known.state.clone();
        if written.under.is_some_and(|under| under < known.fence) {
            broken(Invariant::OldFencesAreRefused, &format!("{:?} was taken under {:?}", written.by, written.under));
        }
        if before.is_terminal() && before != written.after {
            broken(Invariant::TerminalStands, &format!("{before:?} became {:?}", written.after));
        }
        match &written.by {
            By::Creation => {}
            By::Claim(claim) => {
                let lasts = |other: &Claim| {
                    // Who claims goes by its own clock.
                    let early = written.at.duration_since(other.until).as_millis() < -i128::from(apart_ms);
                    other.holder != claim.holder && early && matches!(before, TaskState::Queued { claimed: true, .. })
                };
                if written.fence <= known.fence || known.claim.as_ref().is_some_and(lasts) {
                    broken(Invariant::ClaimsAreExclusive, &format!("{claim:?} after {:?}", known.claim));
                }
                known.claim = Some(claim.clone());
            }
            By::Release => known.claim = None,
            By::TakeOver(_) => {
                if written.fence <= known.fence {
                    broken(Invariant::ClaimsAreExclusive, "it was taken over, and its fence did not rise");
                }
            }
            By::Event(event) => {
                let legal = match before.after(event) {
                    Step::Moves(after) => after == written.after,
                    Step::Unchanged => matches!(**event, Event::Noted { .. }) && before == written.after,
                    Step::Refused(_) => false,
                };
                if !legal {
                    broken(Invariant::HistoryIsLegal, &format!("{before:?} became {:?} by {event:?}", written.after));
                }
                known.cancel_requested |= matches!(**event, Event::CancelRequested { .. });
            }
        }
        if known.cancel_requested && written.after.is_terminal() && written.after != TaskState::Canceled {
            broken(Invariant::CancelWins, &format!("its cancel was requested, and it ended as {:?}", written.after));
        }
        if before.phase() != written.after.phase() || written.before.is_none() {
            self.changes_due += 1;
        }
        known.state = written.after.clone();
        known.fence = known.fence.max(written.fence);
        if known.state.is_terminal() && retold(ground, task).as_ref() != Some(&known.state) {
            broken(Invariant::HistoryIsLegal, &format!("its events tell {:?}", retold(ground, task)));
        }
        self.tasks.insert(task.clone(), known);
    }

    fn changes(&mut self, shared: &Shared, ground: &Ground) {
        if self.changes_seen == self.changes_due {
            return;
        }
        let new: Vec<_> = ground.changes().filter(|one| one.id > self.last_change).collect();
        self.changes_seen += new.len();
        if self.changes_seen != self.changes_due {
            let (seen, due) = (self.changes_seen, self.changes_due);
            let task = ground.changes().last().map(|one| one.task.clone());
            shared.broken(Invariant::NumbersRise, task.as_ref(), || format!("{seen} numbers for {due} changes"));
            self.changes_seen = self.changes_due;
        }
        self.last_change = new.last().map_or(self.last_change, |last| last.id);
    }
}

/// Nothing of a task lives outside.
fn is_gone(shared: &Shared, sites: &Sites, task: &TaskId) {
    shared.lock().canceled.insert(task.clone());
    let live = (1..=5).find(|attempt| sites.live_in_reach(&JobId::of_attempt(task.as_str(), *attempt)) > 0);
    if let Some(attempt) = live {
        shared.broken(Invariant::CanceledIsGone, Some(task), || format!("attempt {attempt} of it lives"));
    }
}

/// The state that a task's events lead to. Claims are no events: one stands before whatever needs it.
fn retold(ground: &Ground, task: &TaskId) -> Option<TaskState> {
    let mut state = TaskState::new();
    for (_, event) in ground.events(task) {
        if let TaskState::Queued { attempt, claimed: false, .. } = state
            && !matches!(event, Event::Noted { .. } | Event::CancelRequested { .. } | Event::Ended { .. })
            && let Step::Moves(claimed) = state.after(&Event::Claimed { attempt })
        {
            state = claimed;
        }
        // A cancel between claim and hand-over: whether it was claimed, only what follows tells.
        state = match state.after(event) {
            Step::Moves(after) => after,
            Step::Unchanged => state,
            Step::Refused(_) => return None,
        };
    }
    Some(state)
}

fn sentence(written: &Written) -> String {
    let fence = written.fence.0;
    let what = match &written.by {
        By::Creation => return "the task is created".to_owned(),
        By::Claim(claim) => return format!("claims it for `{}` until {} (fence {fence})", claim.backend, claim.until),
        By::Release => return "its claim is over, for its holder is dead".to_owned(),
        By::TakeOver(holder) => return format!("`{}` takes it over (fence {fence})", holder.0),
        By::Event(event) => match &**event {
            Event::Claimed { .. } => "Claimed".to_owned(),
            Event::Postponed { reason, .. } => format!("Postponed: {reason}"),
            Event::Submitted { job, .. } => format!("Submitted to `{}` as `{}`", job.backend, job.shown()),
            Event::Advanced { started, executors, .. } => {
                format!("Advanced: started {}, {} executors more", started.is_some(), executors.len())
            }
            Event::Paused { .. } => "Paused".to_owned(),
            Event::Resumed { .. } => "Resumed".to_owned(),
            Event::Preempted { reason, .. } => format!("Preempted: {reason}"),
            Event::Retried { attempt, result, .. } => {
                format!("Retried after attempt {attempt}: {:?}", result.notes.last().map(|line| &line.text))
            }
            Event::Ended { result, .. } => {
                format!("Ended as {:?}: {:?}", result.verdict, result.notes.last().map(|line| &line.text))
            }
            Event::CancelRequested { .. } => "cancel requested".to_owned(),
            Event::Stopped { .. } => "Stopped: nothing is left".to_owned(),
            Event::Noted { text, .. } => format!("notes: {text}"),
        },
    };
    let under = written.under.map_or_else(String::new, |under| format!(" (under fence {} of {fence})", under.0));
    format!("{what}{under}: it is {:?} now", written.after.phase())
}
