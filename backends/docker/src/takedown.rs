//! Jobs on their way out: released, given up, or known by their containers alone.
//!
//! A job keeps its name until no container of it is left, so whoever looks at it sees how it ended, not that it is
//! lost. Its files are removed in the background. What a process leaves undone is found by the next one: by the name
//! of the directory, or by the labels of the containers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tessera_contract::{BackendError, Handle, JobId};
use tessera_runtime::node::attempt::{self, Attempt, Keep};
use tessera_runtime::node::container;
use tessera_runtime::node::engine::EngineError;
use tessera_runtime::node::lock::{self, Holder, Lock};
use tessera_runtime::report::{Fault, FaultClass, Note, Outcome, Progress, REPORT_VERSION, Report};

use crate::folder::Folder;
use crate::watch::{Watch, disk, job_of, read};

/// Pause between tries to take a job down.
const TAKE_DOWN_PAUSE: Duration = Duration::from_secs(2);
/// Looks at a lock that is held by no one who can be waited for, and the pause between them.
const HELD_LOOKS: u32 = 40;
const HELD_PAUSE: Duration = Duration::from_millis(50);

impl Watch {
    /// Removes all that is left of an ended job, and returns when no container of it is left. One that has not ended
    /// is stopped first. May be dropped and asked for again.
    pub(crate) async fn release(self: &Arc<Self>, handle: &Handle) -> Result<(), BackendError> {
        let Some((job, attempt)) = self.withdraw(handle).await? else { return Ok(()) };
        let id = job.clone();
        let away = self.blocking(move |watch| watch.folder.put_away(&id)).await?;
        if let Some(away) = away.map_err(|e| disk("releasing", &attempt, &e))? {
            self.clone().take_down_later(job, away);
        }
        Ok(())
    }

    /// Returns when no container of an ended job is left; its files stay, and are answered. One that has not ended is
    /// stopped first.
    pub(crate) async fn withdraw(self: &Arc<Self>, handle: &Handle) -> Result<Option<(JobId, Attempt)>, BackendError> {
        let Some(job) = job_of(handle) else {
            return Ok(None);
        };
        let asked = handle.clone();
        let Some(attempt) = self.blocking(move |watch| watch.ended(&asked)).await?? else {
            // Known by its containers only, if at all.
            self.remove_containers(&job).await?;
            return Ok(None);
        };
        self.clear(&job, &attempt).await?;
        Ok(Some((job, attempt)))
    }

    /// The attempt of a job that has ended; `None` when there is none. One that has not ended is told to stop.
    fn ended(self: &Arc<Self>, handle: &Handle) -> Result<Option<Attempt>, BackendError> {
        let Some(job) = job_of(handle) else {
            return Ok(None);
        };
        let attempt = self.folder.attempt(&job);
        let failed = |e| disk("releasing", &attempt, &e);
        if !attempt.dir().try_exists().map_err(failed)? {
            return Ok(None);
        }
        if !attempt.has(attempt::REPORT).map_err(failed)? {
            self.cancel(handle)?;
            return Err(BackendError::Unavailable(format!(
                "job {job} has not ended: it is stopped first, release it again"
            )));
        }
        Ok(Some(attempt))
    }

    /// Waits for the node to go, then removes the containers it left.
    async fn clear(&self, job: &JobId, attempt: &Attempt) -> Result<(), BackendError> {
        let lock = attempt.file(attempt::LOCK);
        let failed = |e| disk("releasing", attempt, &e);
        if let Some(holder) = Holder::of(&lock).map_err(failed)? {
            holder.ended().await.map_err(failed)?;
        }
        // Whoever holds it now is about to be let go: a node that finds the report, or a job just given up.
        let mut looks = 0;
        while lock::is_held(&lock).map_err(failed)? {
            looks += 1;
            if looks > HELD_LOOKS {
                return Err(BackendError::Unavailable(format!("someone still works on job {job}: release it again")));
            }
            tokio::time::sleep(HELD_PAUSE).await;
        }
        if attempt.has(attempt::CLEAN).map_err(failed)? {
            return Ok(());
        }
        self.remove_containers(job).await
    }

    /// Takes jobs down that a former process had put away.
    pub(crate) fn sweep(self: &Arc<Self>) {
        match self.folder.put_away_jobs() {
            Ok(jobs) => jobs.into_iter().for_each(|(job, away)| self.clone().take_down_later(job, away)),
            Err(error) => tracing::warn!("the work directory cannot be listed: {error}"),
        }
    }

    /// Removes what was put away, with whatever still belongs to it.
    pub(crate) fn take_down_later(self: Arc<Self>, job: JobId, away: Attempt) {
        if !self.in_hand().insert(job.clone()) {
            return;
        }
        tokio::spawn(async move {
            while let Err(error) = self.take_down(&job, &away).await {
                tracing::warn!(%job, "taking down is tried again: {error}");
                tokio::time::sleep(TAKE_DOWN_PAUSE).await;
            }
            self.in_hand().remove(&job);
        });
    }

    async fn take_down(&self, job: &JobId, away: &Attempt) -> anyhow::Result<()> {
        if away.dir().try_exists()? {
            self.clear(job, away).await?;
        }
        let away = away.clone();
        tokio::task::spawn_blocking(move || Folder::remove(&away)).await??;
        Ok(())
    }

    /// Ends a job whose node cannot be kept alive: its containers are removed, then the report is written.
    pub(crate) fn give_up_later(self: Arc<Self>, job: JobId, attempt: Attempt, steps: u32, reason: String) {
        if !self.in_hand().insert(job.clone()) {
            return;
        }
        tokio::spawn(async move {
            if let Err(error) = self.give_up(&job, &attempt, steps, reason).await {
                tracing::warn!(%job, "giving up is tried again: {error}");
                tokio::time::sleep(TAKE_DOWN_PAUSE).await;
            }
            self.in_hand().remove(&job);
            self.bell().ring();
        });
    }

    async fn give_up(&self, job: &JobId, attempt: &Attempt, steps: u32, reason: String) -> anyhow::Result<()> {
        let Some(_lock) = Lock::take(&attempt.file(attempt::LOCK))? else {
            anyhow::bail!("a node lives after all");
        };
        // From here on nothing starts: a container that is being created finds its mark made.
        let mut user_code_started = false;
        for step in 0..steps {
            if let Ok(dir) = attempt.open_step(step) {
                user_code_started |= !dir.forbid()?;
            }
        }
        self.remove_containers(job).await?;
        let progress = read(attempt, attempt::PROGRESS, Progress::read).ok().flatten();
        let now = Timestamp::now();
        let began = progress.as_ref().map_or(now, |progress| progress.began);
        let (started, steps, mut notes) = progress.map_or_else(Default::default, |p| (p.started, p.steps, p.notes));
        notes.push(Note { at: now, text: reason.clone() });
        let report = Report {
            version: REPORT_VERSION,
            job: job.to_string(),
            outcome: Outcome::Failed(Fault { class: FaultClass::Lost, message: reason, user_code_started }),
            began,
            started,
            ended: now,
            steps,
            outputs: Vec::new(),
            notes,
            metadata: Default::default(),
        };
        attempt.replace(attempt::REPORT, &report, Keep::Durably)?;
        attempt.make_mark(attempt::CLEAN)?;
        Ok(())
    }

    /// Removes every container of a job.
    pub(crate) async fn remove_containers(&self, job: &JobId) -> Result<(), BackendError> {
        let labels = [crate::installation_label(&self.setting), (container::JOB, job.as_str())];
        let removed = async {
            for id in self.engine.list(&labels).await?.into_iter().filter_map(|found| found.id) {
                self.engine.remove(&id).await?;
            }
            Ok::<(), EngineError>(())
        };
        removed.await.map_err(|error| match error {
            EngineError::Unreachable(words) => self.unreachable(&words),
            EngineError::NotFound(words)
            | EngineError::Conflict(words)
            | EngineError::Refused(words)
            | EngineError::Failed(words) => {
                BackendError::Unavailable(format!("removing the containers of job {job} failed: {words}"))
            }
        })
    }

    /// The jobs that containers of this installation belong to. Those being taken down do not count; an engine
    /// that does not answer holds nothing that could be told.
    pub(crate) async fn jobs_of_containers(&self) -> Result<BTreeSet<JobId>, BackendError> {
        let found = match self.engine.list(&[crate::installation_label(&self.setting)]).await {
            Ok(found) => found,
            Err(EngineError::Unreachable(words)) => return Err(self.unreachable(&words)),
            Err(error) => {
                return Err(BackendError::Unavailable(format!("listing containers failed: {error}")));
            }
        };
        let in_hand = self.in_hand().clone();
        let labels = found.into_iter().filter_map(|one| one.labels?.remove(container::JOB));
        Ok(labels.filter_map(|job| JobId::parse(&job)).filter(|job| !in_hand.contains(job)).collect())
    }
}
