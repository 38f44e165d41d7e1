//! The backend itself.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;

use super::mischief::{Mischief, Verb};
use super::outside::{Outside, mark};
use super::play::Played;
use super::shelf::{Kept, Key};
use crate::{
    Backend, BackendError, Bell, Capacity, Finding, Handle, InstallationId, Inventoried, InventoryPage, Job, JobId,
    LogChunk, Observation, Profile, Severity, Stream,
};

/// A backend that does as it is told.
#[derive(Debug, Clone)]
pub struct Scripted {
    outside: Outside,
    installation: InstallationId,
    profile: Profile,
    page_size: usize,
    bell: Bell,
}

/// What handles begin with, so that a handle is never taken for a job id.
const HANDLE: &str = "scripted:";

impl Scripted {
    /// Speaks for a world, for one installation.
    pub fn new(outside: Outside, installation: InstallationId) -> Self {
        let profile = Profile {
            name: "scripted".to_owned(),
            kind: "scripted",
            local: false,
            capacity: Capacity::default(),
            parameters: ["walltime", "gpu_count", "backend", "network"].map(str::to_owned).to_vec(),
            stops_within: Duration::from_secs(2),
        };
        Self { outside, installation, profile, page_size: 100, bell: Bell::default() }
    }

    /// Speaks for a world in a folder, which outlives the process.
    pub fn in_folder(path: &Path, installation: InstallationId) -> io::Result<Self> {
        Ok(Self::new(Outside::in_folder(path)?, installation))
    }

    /// With this name.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.profile.name);
        self
    }

    /// On this server's machine alone, if so.
    pub fn local(mut self, local: bool) -> Self {
        self.profile.local = local;
        self
    }

    /// With bounds on what it carries at once. The caller keeps them; the fake carries anything.
    pub fn with_capacity(mut self, capacity: Capacity) -> Self {
        self.profile.capacity = capacity;
        self
    }

    /// With so many jobs on a page of the inventory.
    pub fn with_page_size(mut self, jobs: usize) -> Self {
        self.page_size = jobs.max(1);
        self
    }

    /// The world it speaks for.
    pub fn outside(&self) -> &Outside {
        &self.outside
    }

    /// The handle of a job.
    pub fn handle(job: &JobId) -> Handle {
        Handle(format!("{HANDLE}{job}"))
    }

    fn key<'a>(&'a self, job: &'a JobId) -> Key<'a> {
        Key { installation: &self.installation, job }
    }

    /// The job of a handle that this backend has given out.
    fn job_of(&self, verb: Verb, handle: &Handle) -> Result<JobId, BackendError> {
        handle.0.strip_prefix(HANDLE).and_then(JobId::parse).ok_or_else(|| {
            self.refuse(format!("{verb:?} of the handle `{}`, which this backend never gave out", handle.0))
        })
    }

    fn refuse(&self, violation: String) -> BackendError {
        self.outside.violation(violation.clone());
        BackendError::Rejected(violation)
    }

    /// One call, with whatever goes wrong with it, and a place to be dropped on either side of what it does.
    async fn call<T: Send>(
        &self,
        verb: Verb,
        act: impl Fn() -> Result<T, BackendError> + Send + Sync,
    ) -> Result<T, BackendError> {
        tokio::task::yield_now().await;
        let mischief = self.outside.plot().take(verb);
        let answer = match mischief {
            None => act(),
            Some(Mischief::Fail(error)) => Err(error),
            Some(Mischief::LoseAnswer(error)) => act().and(Err(error)),
            Some(Mischief::Twice) => act().and_then(|_| act()),
            Some(Mischief::Delay(gate)) => {
                gate.pass().await;
                act()
            }
            Some(Mischief::DelayAnswer(gate)) => {
                let answer = act();
                gate.pass().await;
                answer
            }
        };
        tokio::task::yield_now().await;
        answer
    }

    fn take(&self, job: &Job) -> Result<Handle, BackendError> {
        if job.plan.job != job.id.as_str() {
            return Err(self.refuse(format!("submit of `{}` with the plan of `{}`", job.id, job.plan.job)));
        }
        if job.plan.executors.is_empty() {
            return Err(self.refuse(format!("submit of `{}` without an executor", job.id)));
        }
        let key = self.key(&job.id);
        if self.outside.was_released(key) {
            return Err(self.refuse(format!("submit of `{}` after its release", job.id)));
        }
        let kept = Kept { owner: job.owner.clone(), plan: job.plan.clone(), submitted: self.outside.now() };
        self.outside.shelf().put(key, kept).map_err(broken("keep a job"))?;
        if let Some((_, played)) = self.outside.play(key).map_err(broken("play a job"))? {
            self.ring_for(&job.id, &played);
        }
        Ok(Self::handle(&job.id))
    }

    /// Rings now for what has happened, and in real time when something happens next.
    fn ring_for(&self, job: &JobId, played: &Played) {
        self.bell.ring();
        let Some(at) = played.next_change.filter(|_| self.outside.is_real_time()) else { return };
        let wait = at.duration_since(self.outside.now()).try_into().unwrap_or(Duration::ZERO);
        let (backend, job) = (self.clone(), job.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Ok(Some((_, played))) = backend.outside.play(backend.key(&job)) {
                backend.ring_for(&job, &played);
            }
        });
    }

    fn see(&self, handle: &Handle) -> Result<Observation, BackendError> {
        let job = self.job_of(Verb::Observe, handle)?;
        let key = self.key(&job);
        let unreadable = |error: io::Error| Observation::Unreadable { reason: error.to_string() };
        let seen = self.outside.shelf().marked(key, mark::UNREADABLE).and_then(|dark| {
            let played = self.outside.play(key)?;
            Ok(match (dark, played) {
                (Some(since), Some(_)) => Observation::Unreadable { reason: format!("made unreadable at {since}") },
                (_, Some((_, played))) => played.seen,
                (_, None) => {
                    Observation::Lost { reason: "there is no such job any more".to_owned(), user_code_started: true }
                }
            })
        });
        Ok(seen.unwrap_or_else(unreadable))
    }

    fn stop(&self, handle: &Handle) -> Result<(), BackendError> {
        let job = self.job_of(Verb::Cancel, handle)?;
        let key = self.key(&job);
        let Some((_, played)) = self.outside.play(key).map_err(broken("play a job"))? else { return Ok(()) };
        if played.is_over() {
            return Ok(());
        }
        // A held job is let go to be stopped.
        self.outside.resume(key.installation, key.job).map_err(broken("resume a job"))?;
        self.outside.mark_now(key, mark::STOP).map_err(broken("stop a job"))?;
        if let Some((_, played)) = self.outside.play(key).map_err(broken("play a job"))? {
            self.ring_for(&job, &played);
        }
        Ok(())
    }

    fn remove(&self, handle: &Handle) -> Result<(), BackendError> {
        let job = self.job_of(Verb::Release, handle)?;
        let key = self.key(&job);
        if let Some((_, played)) = self.outside.play(key).map_err(broken("play a job"))? {
            if !played.is_over() {
                return Err(self.refuse(format!("release of `{job}`, which has not ended: {:?}", played.seen)));
            }
            self.outside.remember_release(key);
        }
        self.outside.shelf().remove(key).map_err(broken("remove a job"))
    }

    fn read(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError> {
        let job = self.job_of(Verb::Logs, handle)?;
        let played = self.outside.play(self.key(&job)).map_err(broken("play a job"))?;
        let Some((_, played)) = played else { return Err(BackendError::Rejected(format!("there is no job `{job}`"))) };
        let (out, err) = played.printed.get(step as usize).cloned().unwrap_or_default();
        let text = match stream {
            Stream::Stdout => out,
            Stream::Stderr => err,
        };
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(text.len());
        let bytes = text.as_bytes().get(start..).unwrap_or_default().to_vec();
        let next = from.saturating_add(bytes.len() as u64);
        Ok(LogChunk { next, bytes, more: false, ended: played.has_ended(step) })
    }

    fn page(&self, after: Option<&str>) -> Result<InventoryPage, BackendError> {
        let after = match after {
            None => None,
            Some(token) => Some(
                JobId::parse(token)
                    .ok_or_else(|| self.refuse(format!("inventory after `{token}`, no token of ours")))?,
            ),
        };
        let listed = self.outside.shelf().list(&self.installation, after.as_ref(), self.page_size + 1);
        let mut ids = listed.map_err(broken("list the jobs"))?;
        let more = ids.len() > self.page_size;
        ids.truncate(self.page_size);
        let next = if more { ids.last().map(ToString::to_string) } else { None };
        let jobs = ids.into_iter().map(|job| Inventoried { handle: Self::handle(&job), job }).collect();
        Ok(InventoryPage { jobs, next })
    }
}

fn broken(what: &'static str) -> impl Fn(io::Error) -> BackendError {
    move |error| BackendError::Unavailable(format!("the scripted backend could not {what}: {error}"))
}

#[async_trait]
impl Backend for Scripted {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn bell(&self) -> Option<&Bell> {
        Some(&self.bell)
    }

    async fn submit(&self, job: &Job) -> Result<Handle, BackendError> {
        self.call(Verb::Submit, || self.take(job)).await
    }

    async fn observe(&self, handles: &[Handle]) -> Result<Vec<Observation>, BackendError> {
        self.call(Verb::Observe, || handles.iter().map(|handle| self.see(handle)).collect()).await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), BackendError> {
        self.call(Verb::Cancel, || self.stop(handle)).await
    }

    async fn release(&self, handle: &Handle) -> Result<(), BackendError> {
        self.call(Verb::Release, || self.remove(handle)).await
    }

    async fn logs(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError> {
        self.call(Verb::Logs, || self.read(handle, step, stream, from)).await
    }

    async fn inventory(&self, after: Option<&str>) -> Result<InventoryPage, BackendError> {
        self.call(Verb::Inventory, || self.page(after)).await
    }

    async fn check(&self) -> Vec<Finding> {
        tokio::task::yield_now().await;
        let (severity, message) = match self.page(None) {
            Ok(page) => (Severity::Ok, format!("answers, with {} jobs on its first page", page.jobs.len())),
            Err(error) => (Severity::Problem, error.to_string()),
        };
        vec![Finding { severity, subject: "jobs".to_owned(), message }]
    }
}
