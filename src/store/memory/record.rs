//! Applying events: state and event are written together, or neither is.

use jiff::Timestamp;

use super::flaw::Flaw;
use super::ground::{Ground, Stage};
use super::journal::{By, Written};
use crate::store::{Fence, Record, Recorded};
use crate::task::{Event, Owner, Step, TaskId, TaskState, Verdict};

impl Ground {
    /// Applies one event.
    pub(super) fn record(&mut self, record: &Record) -> Recorded {
        let Some(row) = self.tasks.get(&record.task) else { return Recorded::Unknown };
        let is_old = record.fence.is_some_and(|fence| fence < row.fence);
        if is_old && self.flaw != Some(Flaw::TakesOldFences) {
            return Recorded::Fenced;
        }
        if let Event::Claimed { .. } = record.event {
            // A claim has a holder and an end: it is taken with `claim`, and by no other way.
            return Recorded::Unchanged(row.state.phase());
        }
        self.apply(&record.task, record.fence, record.at, &record.event)
    }

    /// Applies a user's cancel; `None` when the task is not this owner's.
    pub(super) fn cancel(&mut self, owner: &Owner, task: &TaskId, at: Timestamp, shown: bool) -> Option<Recorded> {
        let row = self.row(owner, task)?;
        if self.flaw == Some(Flaw::ForgetsCancels) && row.stage() == Stage::Outside {
            return Some(Recorded::Moved(row.state.phase()));
        }
        Some(self.apply(task, None, at, &Event::CancelRequested { shown }))
    }

    fn apply(&mut self, task: &TaskId, under: Option<Fence>, at: Timestamp, event: &Event) -> Recorded {
        let flaw = self.flaw;
        let Some(row) = self.tasks.get_mut(task) else { return Recorded::Unknown };
        let before = row.state.clone();
        let step = match (before.after(event), flaw) {
            (Step::Unchanged, Some(Flaw::MovesWhatHasEnded)) => moved_late(&before, event),
            (step, _) => step,
        };
        let fence = row.fence;
        let written = |after| Written {
            task: task.clone(),
            by: By::Event(Box::new(event.clone())),
            before: Some(before.clone()),
            after,
            under,
            fence,
            at,
        };
        match step {
            Step::Refused(refusal) => Recorded::Refused(refusal),
            Step::Unchanged => {
                if matches!(event, Event::Noted { .. }) && !before.is_terminal() {
                    row.events.push((at, event.clone()));
                    let written = written(before.clone());
                    self.journal.push(written);
                }
                Recorded::Unchanged(before.phase())
            }
            Step::Moves(to) => {
                if flaw != Some(Flaw::WritesStatesAlone) || row.events.len() % 3 != 1 {
                    row.events.push((at, event.clone()));
                }
                row.state = to.clone();
                if row.stage() == Stage::Waiting {
                    row.backend = None;
                }
                let (owner, holder) = (row.owner.clone(), row.holder.clone());
                // The job that this step is the end of: its leavings are to be removed.
                if let Some(job) = before.job().filter(|_| to.job().is_none() && flaw != Some(Flaw::ForgetsWhatIsLeft))
                {
                    let leftover = (task.clone(), job.backend.clone(), job.handle.clone());
                    self.leftovers.entry(leftover).or_insert(holder);
                }
                let (was, is) = (before.phase(), to.phase());
                let written = written(to);
                self.journal.push(written);
                if was != is {
                    self.tell(&owner, task, Some(was), is, at);
                }
                Recorded::Moved(is)
            }
        }
    }
}

/// What the machine would never do.
fn moved_late(before: &TaskState, event: &Event) -> Step {
    let to = match event {
        Event::CancelRequested { .. } if before.is_terminal() => TaskState::Canceled,
        Event::Ended { result, .. } => match result.verdict {
            Verdict::Complete => TaskState::Complete,
            Verdict::ExecutorError => TaskState::ExecutorError,
            Verdict::SystemError => TaskState::SystemError,
            Verdict::Canceled => TaskState::Canceled,
        },
        Event::Claimed { .. }
        | Event::Postponed { .. }
        | Event::Submitted { .. }
        | Event::Advanced { .. }
        | Event::Paused { .. }
        | Event::Resumed { .. }
        | Event::Preempted { .. }
        | Event::Retried { .. }
        | Event::CancelRequested { .. }
        | Event::Stopped { .. }
        | Event::Noted { .. } => return Step::Unchanged,
    };
    if *before == to { Step::Unchanged } else { Step::Moves(to) }
}
