//! A seed from its beginning to its end, and what must be true then.

use tessera::store::Store;
use tessera::task::{Phase, TaskId, TaskState};

use crate::executor::Actor;
use crate::invariants::{Broken, Invariant};
use crate::story::Story;
use crate::tally::Tally;
use crate::world::{Kind, World};

/// Steps in which everything must have ended once nothing goes wrong any more.
const STEPS_TO_END: u64 = 60_000;

/// What came of a seed.
pub(crate) struct Ended {
    pub(crate) tally: Tally,
    pub(crate) broken: Option<Broken>,
    pub(crate) story: Story,
    /// What depends on every choice that was made: the same for the same seed.
    pub(crate) trace: u64,
}

/// Runs a seed.
pub(crate) fn run(kind: Kind, seed: u64, is_told: bool) -> Ended {
    let mut world = World::new(kind, seed, is_told);
    for _ in 0..world.shared.between(1_000, 8_000) {
        if world.is_broken() {
            break;
        }
        if world.shared.lock().dice.one_in(40) {
            world.go_wrong();
        }
        world.step();
    }
    if !world.is_broken() {
        world.heal();
        world.end();
    }
    let mut inner = world.shared.lock();
    inner.tally.seeds = 1;
    inner.tally.tasks = world.start.store.ground().standing().count() as u64;
    Ended {
        tally: inner.tally.clone(),
        broken: inner.broken.take(),
        story: std::mem::take(&mut inner.story),
        trace: inner.dice.below(u64::MAX) ^ inner.now_ms,
    }
}

impl World {
    fn is_broken(&self) -> bool {
        self.shared.lock().broken.is_some()
    }

    /// Runs on until everything has ended, as it must.
    fn end(&mut self) {
        for step in 0..STEPS_TO_END {
            if self.is_broken() {
                return;
            }
            if step == STEPS_TO_END / 40 {
                // By now whoever asks has asked. What only a cancel ends is cancelled.
                self.executor.drop_all_of(Actor::Caller);
                self.cancel_what_hangs();
            }
            if step > STEPS_TO_END / 40 && step % 64 == 0 && self.has_ended() {
                break;
            }
            self.step();
        }
        self.check_the_end();
    }

    fn has_ended(&self) -> bool {
        let ground = self.start.store.ground();
        ground.standing().all(|(_, state, _)| state.is_terminal())
            && ground.leftovers().all(|left| self.is_lost(&left.job.backend))
            && self.start.sites.worlds().all(|(site, outside)| {
                self.is_lost(&site.name) || outside.jobs(&site.installation).is_ok_and(|jobs| jobs.is_empty())
            })
    }

    /// Whether a backend was on a machine that does not come back: what was there went with it.
    fn is_lost(&self, backend: &str) -> bool {
        let site = self.start.sites.all.iter().find(|site| site.name == backend);
        site.and_then(|site| site.machine_of).is_some_and(|server| self.servers[server].is_lost)
    }

    fn cancel_what_hangs(&mut self) {
        let ground = self.start.store.ground();
        let open: Vec<TaskId> =
            ground.standing().filter(|(_, state, _)| !state.is_terminal()).map(|(id, ..)| id.clone()).collect();
        drop(ground);
        for task in open {
            let (store, shared) = (self.start.store.clone(), self.shared.clone());
            self.shared.spawn(Actor::Caller, async move {
                let Ok(Some(found)) = store.history(&task).await else { return };
                if found.spec.executors.iter().any(|one| one.command.iter().any(|word| word == "hang")) {
                    let _ = store.request_cancel(&found.owner, &task, shared.now(), true).await;
                }
            });
        }
    }

    fn check_the_end(&mut self) {
        let ground = self.start.store.ground();
        let shared = &self.shared;
        for (task, state, _) in ground.standing().filter(|(_, state, _)| !state.is_terminal()) {
            shared.broken(Invariant::TasksEnd, Some(task), || format!("it still is {state:?}"));
        }
        for promise in self.promises.lock().unwrap().iter() {
            let task = &promise.task;
            let Some((_, state, _)) = ground.standing().find(|(id, ..)| *id == task) else {
                shared.broken(Invariant::NothingIsLost, Some(task), || "its creation was acknowledged".to_owned());
                continue;
            };
            if ground.spec(task) != Some(&promise.spec) {
                shared.broken(Invariant::NothingIsLost, Some(task), || "it is not what was asked for".to_owned());
            }
            let expected = match promise.canceled {
                Some(phase) if phase.is_terminal() => Some(phase),
                Some(_) => Some(Phase::Canceled),
                None => None,
            };
            if expected.is_some_and(|expected| expected != state.phase()) {
                let said =
                    || format!("its cancel was acknowledged as {:?}, and it ended as {state:?}", promise.canceled);
                shared.broken(Invariant::CancelWins, Some(task), said);
            }
            if *state == TaskState::Complete {
                self.check_marks(promise);
            }
        }
        if let Some(left) = ground.leftovers().find(|left| !self.is_lost(&left.job.backend)) {
            shared.broken(Invariant::NothingIsLeft, Some(&left.task), || format!("{left:?} is not removed"));
        }
        for (site, outside) in self.start.sites.worlds().filter(|(site, _)| !self.is_lost(&site.name)) {
            for job in outside.jobs(&site.installation).unwrap_or_default() {
                let task = TaskId::parse(job.attempt().unwrap_or_default().0);
                shared
                    .broken(Invariant::NothingIsLeft, task.as_ref(), || format!("`{}` still holds `{job}`", site.name));
            }
        }
    }

    /// What is complete has done what it was asked to do: each of its commands has counted.
    fn check_marks(&self, promise: &crate::caller::Promise) {
        let mark = promise.spec.name.clone().unwrap_or_default().replace("of-", "mark-");
        let counted: usize = self.start.sites.worlds().map(|(_, outside)| outside.counted(&mark).unwrap_or(0)).sum();
        if counted < promise.spec.executors.len() {
            let said = || format!("it is complete, and its commands have counted {counted} times");
            self.shared.broken(Invariant::NothingIsLost, Some(&promise.task), said);
        }
    }
}
