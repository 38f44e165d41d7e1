//! Logs without a task: of those that are kept no longer. Rows go first, on whichever server; files go here.

use std::collections::BTreeSet;
use std::io;

use jiff::SignedDuration;
use tracing::{debug, warn};

use super::assembly::{Logs, lock};
use super::shelf::day;
use crate::store::Standing;
use crate::task::TaskId;

/// Tasks that are asked for at once.
const STEP: usize = 256;
/// How often is looked through all that is kept.
pub(super) const EVERY: SignedDuration = SignedDuration::from_hours(1);

impl Logs {
    /// Removes what is kept of tasks that are gone. Whoever reads it now is told that it is.
    pub async fn remove(&self, tasks: Vec<TaskId>) {
        let removed = self
            .on_shelf(move |shelf| {
                let mut bytes = 0;
                for task in &tasks {
                    bytes += shelf.bytes(task).unwrap_or(0);
                    if let Err(error) = shelf.remove(task) {
                        warn!(%task, %error, "the log of a task that is gone cannot be removed; it is tried again");
                    }
                }
                tasks.iter().map(day).collect::<BTreeSet<_>>().iter().for_each(|day| shelf.remove_day(day));
                Ok(bytes)
            })
            .await;
        match removed {
            Ok(bytes) => lock(&self.held).shrink(bytes),
            Err(error) => warn!(%error, "the logs of tasks that are gone cannot be removed; it is tried again"),
        }
    }

    /// Looks through all that is kept for tasks that no store knows any more.
    pub(super) async fn remove_strays(&self) -> io::Result<()> {
        for day in self.on_shelf(|shelf| shelf.days()).await? {
            let tasks = self.on_shelf(move |shelf| shelf.tasks(&day)).await?;
            for some in tasks.chunks(STEP) {
                let standing = self.store.standing(some).await.map_err(io::Error::other)?;
                let unknown = some.iter().zip(&standing).filter(|(_, standing)| matches!(standing, Standing::Unknown));
                let unknown: Vec<TaskId> = unknown.map(|(task, _)| task.clone()).collect();
                if !unknown.is_empty() {
                    debug!(tasks = unknown.len(), "logs of tasks that are gone");
                    self.remove(unknown).await;
                }
            }
        }
        Ok(())
    }
}
