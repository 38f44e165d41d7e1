//! The end of what is old: logs go by age, when they take too much together, and when the disk has no room left; oldest
//! first, a few at a time.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, warn};

use super::assembly::{Logs, lock};
use super::goal::{Goal, at_most, margin, to_free};
use super::shelf::day_of;
use super::strays;
use crate::store::Standing;
use crate::task::TaskId;

/// Tasks whose logs are looked at in one go.
const STEP: usize = 256;
/// Jobs to be removed that are asked for.
const LEFTOVERS: u32 = 100_000;
/// How much longer than a log is kept it is remembered that it was removed.
const REMEMBERED_DAYS: u32 = 30;
/// How often is looked.
const PERIOD: Duration = Duration::from_secs(60);
/// How often everything is measured again: what is counted meanwhile may be wrong by what others did there.
const MEASURE: SignedDuration = SignedDuration::from_hours(6);

/// How much is held, as far as is known.
#[derive(Debug, Default)]
pub struct Held {
    measured: Option<Timestamp>,
    bytes: u64,
}

impl Held {
    pub(super) fn grow(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn shrink(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What became of it when room was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Some was made.
    Made,
    /// There is some, which nobody had to make.
    There,
    /// There is none, and none can be made.
    No,
}

/// The last time that old logs were removed, or should have been.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pruned {
    began: Instant,
    ended: Instant,
    room: Room,
}

impl Logs {
    /// Removes old logs for as long as it is polled.
    pub async fn prune(&self, now: impl Fn() -> Timestamp) {
        let mut looked: Option<Timestamp> = None;
        loop {
            if let Err(error) = self.prune_once(now()).await {
                warn!(%error, "old logs of tasks cannot be removed; it is tried again");
            }
            if looked.is_none_or(|at| now().duration_since(at) >= strays::EVERY) {
                looked = Some(now());
                if let Err(error) = self.remove_strays().await {
                    warn!(%error, "logs of tasks that are gone cannot be removed; it is tried again");
                }
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Removes the oldest logs until there is room on the disk again, for one that has found it full since a moment.
    pub(super) async fn make_room(&self, since: Instant) -> io::Result<Room> {
        let asked = Instant::now();
        let mut last = self.pruning.lock().await;
        // Many jobs may wait for the same room: what was found for one holds for all that had asked by then.
        match *last {
            Some(Pruned { room: Room::Made, ended, .. }) if ended >= since => return Ok(Room::Made),
            Some(Pruned { room: Room::No, began, .. }) if began >= asked => return Ok(Room::No),
            Some(_) | None => {}
        }
        let began = Instant::now();
        if lock(&self.held).measured.is_none() {
            self.measure(Timestamp::now()).await?;
        }
        // Younger than any age: only the room counts.
        let mut goal = self.goal(None, true).await?;
        let walked = self.walk(&mut goal).await;
        // Also for those who write next: what is known of the disk is from before.
        let lacking = self.on_shelf(|shelf| shelf.lacking(0)).await?;
        let room = match (goal.freed, lacking) {
            (1.., _) => Room::Made,
            (0, 0) => Room::There,
            (0, _) => walked.map(|()| Room::No)?,
        };
        *last = Some(Pruned { began, ended: Instant::now(), room });
        Ok(room)
    }

    /// Removes what is too old or too much at a moment, or takes room that is to be left free.
    pub async fn prune_once(&self, now: Timestamp) -> io::Result<()> {
        let mut last = self.pruning.lock().await;
        let began = Instant::now();
        self.measure(now).await?;
        let day_before = |days: u32| {
            let age = SignedDuration::from_hours(24).saturating_mul(i32::try_from(days).unwrap_or(i32::MAX));
            now.checked_sub(age).ok().map(day_of)
        };
        let keep_days = self.settings.keep_days;
        if let Some(day) = day_before(keep_days.saturating_add(REMEMBERED_DAYS))
            && let Err(error) = self.on_shelf(move |shelf| shelf.forget(&day)).await
        {
            warn!(%error, "what is remembered of old logs cannot be removed; it is tried again");
        }
        let mut goal = self.goal(day_before(keep_days), false).await?;
        let walked = self.walk(&mut goal).await;
        if goal.freed > 0 {
            *last = Some(Pruned { began, ended: Instant::now(), room: Room::Made });
        }
        walked
    }

    /// Removes the logs of the days before one, and whatever is too much.
    async fn walk(&self, goal: &mut Goal) -> io::Result<()> {
        for day in self.on_shelf(|shelf| shelf.days()).await? {
            if self.is_reached(goal, &day).await? {
                return Ok(());
            }
            let tasks = {
                let day = day.clone();
                self.on_shelf(move |shelf| shelf.tasks(&day)).await?
            };
            for some in tasks.chunks(STEP) {
                self.prune_some(some, &day, goal).await?;
            }
            self.on_shelf(move |shelf| {
                shelf.remove_day(&day);
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// What is to go now; `in_need` is somebody who has found no room, whatever the disk says.
    async fn goal(&self, oldest: Option<String>, in_need: bool) -> io::Result<Goal> {
        let held = lock(&self.held).bytes;
        let margin = margin(held);
        let lacking = self.on_shelf(move |shelf| shelf.lacking(if in_need { margin } else { 0 })).await?;
        let for_room = if in_need { at_most(lacking, held) } else { to_free(lacking, held) };
        Ok(Goal { oldest, for_room, margin, freed: 0 })
    }

    /// Whether the logs of a day may stay.
    async fn is_reached(&self, goal: &Goal, day: &str) -> io::Result<bool> {
        if goal.oldest.as_deref().is_some_and(|oldest| day < oldest)
            || lock(&self.held).bytes > self.settings.keep_bytes
        {
            return Ok(false);
        }
        let margin = goal.margin;
        // Others may fill the disk meanwhile: for them no more goes than lacked at first.
        Ok(goal.freed >= goal.for_room || self.on_shelf(move |shelf| shelf.lacking(margin)).await? == 0)
    }

    /// Those of some tasks of which no job is to be removed any more: that comes after its log is kept.
    async fn without_jobs(&self, mut tasks: Vec<TaskId>) -> io::Result<Vec<TaskId>> {
        let left = self.store.leftovers(LEFTOVERS).await.map_err(io::Error::other)?;
        let all = left.len() < LEFTOVERS as usize;
        let last = left.last().map(|left| left.task.clone());
        // Of a backend that is not there nothing more can come.
        let ours = left.into_iter().filter(|left| self.backends.contains_key(&left.job.backend));
        let waiting: HashSet<TaskId> = ours.map(|left| left.task).collect();
        // Beyond what could be read nothing is known.
        tasks.retain(|task| !waiting.contains(task) && (all || last.as_ref().is_some_and(|last| task < last)));
        Ok(tasks)
    }

    async fn measure(&self, now: Timestamp) -> io::Result<()> {
        let due = lock(&self.held).measured.is_none_or(|at| now.duration_since(at) >= MEASURE);
        if !due {
            return Ok(());
        }
        let bytes = self
            .on_shelf(|shelf| {
                let mut sum = 0;
                for day in shelf.days()? {
                    for task in shelf.tasks(&day)? {
                        // What cannot be looked at is not counted, and is met again when it is to go.
                        sum += shelf.bytes(&task).unwrap_or(0);
                    }
                }
                Ok(sum)
            })
            .await?;
        *lock(&self.held) = Held { measured: Some(now), bytes };
        Ok(())
    }

    /// Removes the logs of tasks that have ended and that nobody reads now.
    async fn prune_some(&self, tasks: &[TaskId], day: &str, goal: &mut Goal) -> io::Result<()> {
        let standing = self.store.standing(tasks).await.map_err(io::Error::other)?;
        let is_over = |standing: &Standing| match standing {
            Standing::Unknown => true,
            Standing::Unreadable => false,
            Standing::At(active) => active.state.is_terminal(),
        };
        let over = tasks.iter().zip(&standing).filter(|(_, standing)| is_over(standing));
        // Read after the standing: whatever is over by that, and whose job is not removed, is among them.
        for task in self.without_jobs(over.map(|(task, _)| task.clone()).collect()).await? {
            if self.is_reached(goal, day).await? {
                return Ok(());
            }
            if self.is_live(&task) {
                continue;
            }
            let (bytes, removed) = {
                let task = task.clone();
                let gone = self.on_shelf(move |shelf| {
                    let bytes = shelf.bytes(&task)?;
                    let removed = shelf.prune(&task);
                    // Also of what could not be finished some may have gone.
                    Ok((bytes.saturating_sub(shelf.bytes(&task).unwrap_or(bytes)), removed))
                });
                gone.await.unwrap_or_else(|error| (0, Err(error)))
            };
            lock(&self.held).shrink(bytes);
            goal.freed += bytes;
            if let Err(error) = removed {
                // One that stays keeps no other one here.
                warn!(%task, %error, "an old log cannot be removed, or that it was cannot be remembered");
                continue;
            }
            debug!(%task, bytes, "removed an old log");
        }
        Ok(())
    }
}
