//! The whole attempt: inputs, executors, outputs, report.

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};

use super::attempt::{self, Attempt, Keep, Mark};
use super::boot::{self, Boot};
use super::disk::Disk;
use super::engine::Engine;
use super::fault::Trouble;
use super::journal::Journal;
use super::settings::NodeSettings;
use super::turn::{self, Life};
use crate::course::after::{After, after, ignored_failure};
use crate::course::disk::note_used;
use crate::course::ending::{self, End};
use crate::course::patience::shown;
use crate::doing::Work;
use crate::layout::Layout;
use crate::plan::Plan;
use crate::report::{Fault, FaultClass, Outcome};
use crate::stage;
use crate::storage::trouble::Patience;
use crate::tree::Tree;

/// How long a container that has recorded its end may take to go by itself.
const GOES_BY_ITSELF: Duration = Duration::from_secs(2);

/// Everything one attempt is worked on with.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) attempt: Attempt,
    pub(super) plan: Plan,
    pub(super) settings: NodeSettings,
    pub(super) layout: Layout,
    pub(super) tree: Tree,
    pub(super) engine: Engine,
    pub(super) journal: Journal,
    pub(super) disk: Disk,
    /// A former node has worked on the attempt.
    pub(super) adopted: bool,
    /// Rung when the first command is known to have started.
    pub(super) clock_starts: Notify,
    /// Containers being taken down while the work goes on.
    pub(super) removals: Mutex<JoinSet<bool>>,
    /// Containers being made, or images being looked at, while something else goes on.
    pub(super) makers: Mutex<Vec<AbortHandle>>,
}

type Making = JoinHandle<Result<(), Trouble>>;

/// How far the next step's container is.
enum Container {
    Unmade,
    BeingMade(Making),
    Made,
}

impl Node {
    /// The indexes of the executors.
    pub(super) fn steps(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.plan.executors.len()).unwrap_or(u32::MAX)
    }

    /// Does what is left to do of the attempt. Dropping it at any point is what a crash would be.
    pub(super) async fn work(self: &Arc<Self>) -> End {
        match self.run().await {
            Ok(end) => end,
            Err(trouble) => {
                // Only now does every mark say what it will always say: the command was started, or never will be.
                self.halt().await;
                End { outcome: Outcome::Failed(self.fault(trouble)), outputs: Vec::new() }
            }
        }
    }

    async fn run(self: &Arc<Self>) -> Result<End, Trouble> {
        self.of_this_boot()?;
        let failed = tokio::select! {
            failed = self.run_commands() => failed?,
            trouble = self.too_much_disk() => return Err(trouble),
        };
        note_used(&self.plan.limits, &self.tree, &self.journal).await;
        Ok(self.deliver(failed).await)
    }

    /// Brings the inputs in and runs the executors; answers which one failed, so that no other ran, and its exit code.
    async fn run_commands(self: &Arc<Self>) -> Result<Option<(u32, i32)>, Trouble> {
        let mut container = self.stage().await?;
        for step in self.steps() {
            let code = match self.journal.ended_with(step) {
                Some(code) => code,
                None => {
                    if !self.was_started(step)? {
                        self.made(step, container).await?;
                    }
                    let node = self.clone();
                    self.beside(tokio::spawn(async move { node.note_digest(step).await }).abort_handle());
                    container = if self.has(step + 1) {
                        Container::BeingMade(self.begin_making(step + 1))
                    } else {
                        Container::Unmade
                    };
                    self.disk.runs(step);
                    let _turn = self.journal.begins(Work::Running { executor: step });
                    if step > 0 {
                        // The first one's start is told of anyway.
                        self.journal.show_figures();
                    }
                    turn::take(self, step).await?
                }
            };
            let ignored = self.plan.executors.get(step as usize).is_some_and(|e| e.ignore_error);
            if code != 0
                && let Some(room) = self.room_of_layer(step)
            {
                self.journal.note(room);
            }
            match after(code, ignored) {
                After::Next => {}
                After::NextAllTheSame => self.journal.note(ignored_failure(step, code)),
                After::Nothing => return Ok(Some((step, code))),
            }
            if self.has(step + 1) || !self.plan.outputs.is_empty() {
                self.journal.show();
            }
        }
        Ok(None)
    }

    /// Refuses to go on with what a restart of the host may have taken.
    fn of_this_boot(&self) -> Result<(), Trouble> {
        let disk = |e| Trouble::disk("reading the boot", self.attempt.dir(), &e);
        match boot::compare(&self.attempt, self.user_code_started()).map_err(disk)? {
            Boot::Same => Ok(()),
            Boot::StageAgain => {
                self.journal.note("the host was restarted: the inputs are brought in again");
                Ok(())
            }
            Boot::Lost => Err(Trouble::new(FaultClass::Lost, "the host was restarted while the job ran")),
        }
    }

    fn has(&self, step: u32) -> bool {
        (step as usize) < self.plan.executors.len()
    }

    /// Whether a step's command was started before. That a former node forbade it, in an end that it did not live
    /// to report, is taken back.
    fn was_started(&self, step: u32) -> Result<bool, Trouble> {
        let Ok(dir) = self.attempt.open_step(step) else {
            return Ok(false);
        };
        let disk = |e| Trouble::disk("reading a step", &self.attempt.step(step), &e);
        dir.allow().map_err(disk)?;
        Ok(dir.mark().map_err(disk)? != Mark::None)
    }

    async fn made(self: &Arc<Self>, step: u32, container: Container) -> Result<(), Trouble> {
        let making = match container {
            Container::Made => return Ok(()),
            Container::BeingMade(making) => making,
            Container::Unmade => self.begin_making(step),
        };
        making.await.unwrap_or_else(|e| Err(broke_off(&e)))
    }

    /// Brings the inputs in, unless that was done, while the first container is being made.
    async fn stage(self: &Arc<Self>) -> Result<Container, Trouble> {
        let disk = |e: std::io::Error| Trouble::disk("preparing the task's tree", self.tree.path(), &e);
        // A command that may be running works on the inputs: they are not brought in under its hands.
        if self.user_code_started() || self.attempt.has(attempt::STAGED).map_err(disk)? {
            return Ok(Container::Unmade);
        }
        self.tree.prepare(&self.layout).map_err(disk)?;
        if self.plan.inputs.is_empty() {
            return Ok(Container::BeingMade(self.begin_making(0)));
        }
        // What is shared is known only when it is there.
        let shares = stage::may_share(&self.plan);
        let made_early = self.mounts_are_there() && !shares;
        let mut early = if made_early {
            self.begin_making(0)
        } else {
            let node = self.clone();
            let looking = tokio::spawn(async move { node.have_image(node.image(0)).await });
            self.beside(looking.abort_handle());
            looking
        };
        let mut early_done = false;
        let links = self.attempt.file(attempt::INPUTS);
        if shares {
            std::fs::create_dir_all(&links).map_err(disk)?;
        }
        let (storages, moved) = ending::storages(&self.plan, Patience::DOWNLOAD);
        let fetch =
            stage::bring_in_from(&self.plan, &self.tree, shares.then_some(&links), Patience::DOWNLOAD, &storages);
        let mut bringing_in = pin!(shown(&self.journal, || Work::fetching(moved.look()), fetch));
        let brought_in = loop {
            tokio::select! {
                brought_in = &mut bringing_in => break brought_in,
                // An image that cannot be had is no reason to go on with large inputs.
                done = &mut early, if !early_done => {
                    early_done = true;
                    done.unwrap_or_else(|e| Err(broke_off(&e)))?;
                }
            }
        };
        let brought = brought_in.map_err(|fault| Trouble::new(fault.class, fault.message))?;
        for note in brought.notes {
            self.journal.note(note);
        }
        self.attempt.replace(attempt::STAGED, &brought.mounts, Keep::Lightly).map_err(disk)?;
        if early_done {
            return Ok(if made_early { Container::Made } else { Container::Unmade });
        }
        if made_early {
            return Ok(Container::BeingMade(early));
        }
        early.await.unwrap_or_else(|e| Err(broke_off(&e)))?;
        Ok(Container::Unmade)
    }

    /// Delivers what there is to deliver.
    async fn deliver(&self, failed: Option<(u32, i32)>) -> End {
        if !self.plan.outputs.is_empty() {
            // No command runs any more, so that what outputs link to may lie in the tree.
            for shared in self.shared().unwrap_or_default().iter().filter(|shared| !shared.writable) {
                if let Err(error) = self.tree.link(Path::new(&shared.host), Path::new(&shared.container)) {
                    self.journal.note(format!("links to the input `{}` lead nowhere: {error}", shared.container));
                }
            }
        }
        ending::deliver(&self.plan, &self.tree, &self.journal, failed).await
    }

    /// A fault as the report says it. Exact once nothing can start any more, see [`Self::halt`].
    pub(super) fn fault(&self, trouble: Trouble) -> Fault {
        self.journal.note(trouble.message.clone());
        Fault { class: trouble.class, message: trouble.message, user_code_started: self.user_code_started() }
    }

    /// Whether a command of the user may have run: a mark that cannot be looked at counts.
    pub(super) fn user_code_started(&self) -> bool {
        self.steps().any(|step| match self.attempt.open_step(step) {
            Ok(dir) => !matches!(dir.mark(), Ok(Mark::None | Mark::Never)),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        })
    }

    /// A command is known to have started at that time.
    pub(super) fn first_command_started(&self, at: Timestamp) {
        if self.journal.started(at) {
            self.clock_starts.notify_one();
            self.journal.show();
        }
    }

    fn begin_making(self: &Arc<Self>, step: u32) -> Making {
        let node = self.clone();
        let task = tokio::spawn(async move { node.make(step).await });
        self.beside(task.abort_handle());
        task
    }

    fn beside(&self, task: AbortHandle) {
        self.makers.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Ends what is being made. Requests that were sent reach their end, see [`Engine::settled`].
    pub(super) fn abandon_makers(&self) {
        for task in self.makers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }

    /// Takes a container down while the work goes on: it usually goes by itself, and is removed then.
    pub(super) fn remove_later(self: &Arc<Self>, step: u32, life: Life) {
        let node = self.clone();
        self.removals.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            if !life.is_finished() {
                let _ = tokio::time::timeout(GOES_BY_ITSELF, life).await;
            }
            let name = node.container(step);
            let removed = node.patiently(|| node.engine.remove(&name)).await;
            if let Err(error) = &removed {
                eprintln!("the container {name} cannot be removed: {error}");
            }
            removed.is_ok()
        });
    }

    /// Waits for the containers of this node's own steps to be taken down; false when one is still there.
    pub(super) async fn removed(&self) -> bool {
        let removals = std::mem::take(&mut *self.removals.lock().unwrap_or_else(PoisonError::into_inner));
        removals.join_all().await.into_iter().all(|gone| gone)
    }
}

fn broke_off(error: &JoinError) -> Trouble {
    Trouble::new(FaultClass::Unavailable, format!("making a container broke off: {error}"))
}
