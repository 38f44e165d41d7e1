//! The end on request: a cancel, or the wall time.
//!
//! Whoever stops an attempt has dropped the work, so nothing new is begun. What was already asked of the engine
//! reaches its end, the steps are marked so that nothing starts any more, what runs is told, then killed, and
//! when no container is left the attempt is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;

use super::attempt;
use super::container;
use super::drive::Node;
use super::engine::EngineError;
use super::turn;
use crate::course::ending::time_left;

/// What the wrapper gets beyond the grace, to write its record.
const BOOKKEEPING: Duration = Duration::from_millis(300);

/// What the engine may take for a request whose sender is dead.
const STRAGGLER: Duration = Duration::from_millis(500);
/// Tries of a removal that the engine failed, before someone else has to try.
const REMOVAL_TRIES: u32 = 5;

/// Why the work is broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// On request.
    Cancel,
    /// The wall time is over.
    Walltime,
    /// This process is to end; the attempt goes on without it.
    Leave,
}

/// Returns when the work is to be broken off.
pub(super) async fn asked(node: &Node, terminate: &mut Signal) -> Stop {
    let cancelled = || node.attempt.has(attempt::CANCEL).unwrap_or(false);
    if cancelled() {
        return Stop::Cancel;
    }
    loop {
        let time_left = time_left(&node.plan.limits, node.journal.started_at());
        let time_is_over = async {
            match time_left {
                Some(left) => tokio::time::sleep(left).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => return if cancelled() { Stop::Cancel } else { Stop::Leave },
            () = time_is_over => return Stop::Walltime,
            () = node.clock_starts.notified() => {}
        }
    }
}

impl Node {
    /// Ends everything of the attempt, and returns when nothing of it is left in the engine.
    pub(super) async fn halt(self: &Arc<Self>) {
        self.abandon_makers();
        if !self.attempt.has(attempt::STEPS).unwrap_or(true) {
            // No step was ever prepared, so the engine was never asked for a container.
            return;
        }
        let running: Vec<u32> = self.steps().filter(|step| !self.keep_from_starting(*step)).collect();
        for &step in &running {
            let name = self.container(step);
            let killed = self.patiently(|| self.engine.kill(&name, "SIGTERM")).await;
            if let Err(error) = killed {
                self.journal.note(format!("telling executor {step} to stop failed: {error}"));
            }
        }
        let grace = Duration::from_millis(self.plan.policy.stop_grace_ms) + BOOKKEEPING;
        let all_ended = async {
            for &step in &running {
                let name = self.container(step);
                // An error here only means that the kill below has more to do.
                let _ = self.engine.ended(&name).await;
            }
        };
        let _ = tokio::time::timeout(grace, all_ended).await;
        // A request that was under way may have made a container that nobody has seen yet.
        self.engine.settled().await;
        if self.adopted {
            // A former node's request, too: it ended with its death or makes its container about now.
            tokio::time::sleep(STRAGGLER).await;
        }
        while !self.remove_all().await {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        for step in self.steps() {
            turn::take_what_is_there(self, step);
        }
    }

    /// Makes sure that a step's command never starts; false when it was started before.
    fn keep_from_starting(&self, step: u32) -> bool {
        let Ok(dir) = self.attempt.open_step(step) else {
            // Never prepared, so there is nothing to start.
            return true;
        };
        // With a record it is over. An error leaves it to the engine to end the container.
        dir.record().is_ok_and(|record| record.is_some()) || dir.forbid().unwrap_or(false)
    }

    /// Removes every container of the job; false when that failed again and again.
    pub(super) async fn remove_all(&self) -> bool {
        let labels =
            [(container::INSTALLATION, self.settings.installation.as_str()), (container::JOB, self.plan.job.as_str())];
        for tries in 1..=REMOVAL_TRIES {
            let found = self.patiently(|| self.engine.list(&labels)).await;
            let gone = match found {
                Ok(found) => self.remove_each(found.into_iter().filter_map(|one| one.id)).await,
                Err(error) => Err(error),
            };
            let Err(error) = gone else {
                return true;
            };
            eprintln!("containers of {} cannot be removed yet: {error}", self.plan.job);
            tokio::time::sleep(Duration::from_millis(200) * tries).await;
        }
        false
    }

    async fn remove_each(&self, ids: impl Iterator<Item = String>) -> Result<(), EngineError> {
        for id in ids {
            self.patiently(|| self.engine.remove(&id)).await?;
        }
        Ok(())
    }
}
