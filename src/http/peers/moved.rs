//! The log of a task that another server takes while it is followed here.

use std::sync::Arc;

use super::whereabouts;
use crate::http::doors::Doors;
use crate::logs::{Picture, Selection};
use crate::store::Store;
use crate::task::{Phase, Task, TaskId};

/// Tells a follower that the rest of a log is printed elsewhere: its stream is broken off, and whoever asks again is
/// handed on.
pub struct Moved {
    store: Arc<dyn Store>,
    task: TaskId,
    me: String,
    printed: Option<PrintedHere>,
    /// What the task was like when it was last known to be here.
    seen: Option<(Option<Phase>, usize)>,
}

impl Moved {
    /// For a task that is followed on this server.
    pub fn watch(doors: &Doors, task: &Task, selection: Selection) -> Self {
        let me = doors.peers.me();
        Self {
            store: doors.store.clone(),
            task: task.id.clone(),
            me: me.to_owned(),
            printed: whereabouts::is_on_machine(me, task, selection)
                .then(|| PrintedHere { attempts: task.attempts.len(), alone: selection.attempt.is_some() }),
            seen: None,
        }
    }

    /// Whether the task has gone to another server. Asked behind each piece: what was read is not older than the picture.
    pub async fn is_elsewhere(&mut self, picture: &Picture) -> bool {
        let now = (picture.phase, picture.attempts.len());
        if self.seen == Some(now) || self.printed.as_ref().is_some_and(|printed| printed.stays(now)) {
            return false;
        }
        match self.store.keeper(&self.task).await {
            Ok(keeper) => {
                self.seen = Some(now);
                keeper.is_some_and(|holder| holder.replica() != self.me)
            }
            // Where it is cannot be known now, and nothing wrong was said yet.
            Err(_) => picture.phase.is_some_and(Phase::is_terminal),
        }
    }
}

/// The newest attempt that is read ran on this very machine, which no other server can ask: its log is here, whoever
/// holds the task.
struct PrintedHere {
    /// How many attempts the task had.
    attempts: usize,
    /// Whether that attempt alone is read.
    alone: bool,
}

impl PrintedHere {
    /// Whether nothing is elsewhere although another server may have taken the task, and settled it.
    fn stays(&self, (phase, attempts): (Option<Phase>, usize)) -> bool {
        self.alone || phase.is_some_and(Phase::is_terminal) && attempts <= self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_printed_on_this_machine_stays_here_though_another_server_settled_the_task() {
        let (ended, runs) = (Some(Phase::SystemError), Some(Phase::Running));
        for (alone, now, stays) in [
            (true, (ended, 1), true),
            (true, (runs, 2), true),
            (false, (ended, 1), true),
            // Another attempt is elsewhere, and so is what it prints.
            (false, (runs, 2), false),
            (false, (ended, 2), false),
            (false, (runs, 1), false),
        ] {
            assert_eq!(PrintedHere { attempts: 1, alone }.stays(now), stays, "{alone} {now:?}");
        }
    }
}
