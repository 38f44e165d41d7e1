//! The log of a task that another server takes while it is followed here.

use std::sync::Arc;

use crate::http::doors::Doors;
use crate::logs::Picture;
use crate::store::Store;
use crate::task::{Phase, TaskId};

/// Tells a follower that the rest of a log is printed elsewhere: its stream is broken off, and whoever asks again is
/// handed on.
pub struct Moved {
    store: Arc<dyn Store>,
    task: TaskId,
    me: String,
    /// What the task was like when it was last known to be here.
    seen: Option<(Option<Phase>, usize)>,
}

impl Moved {
    /// For a task that is followed on this server.
    pub fn watch(doors: &Doors, task: &TaskId) -> Self {
        Self { store: doors.store.clone(), task: task.clone(), me: doors.peers.me().to_owned(), seen: None }
    }

    /// Whether the task has gone to another server. Asked behind each piece: what was read is not older than the picture.
    pub async fn is_elsewhere(&mut self, picture: &Picture) -> bool {
        let now = (picture.phase, picture.attempts.len());
        if self.seen == Some(now) {
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
