//! The way to a backend. What was sent acts by itself, whatever becomes of the server that sent it; within the time that
//! a caller waits for an answer, or never. The answer may take longer, or be lost.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tessera_contract::scripted::{Outside, Scripted};
use tessera_contract::{
    Backend, BackendError, Finding, Handle, Honours, InstallationId, InventoryPage, Job, JobId, LogChunk, Observation,
    Profile, Stream,
};
use tokio::sync::oneshot;

use crate::executor::Actor;
use crate::invariants::Invariant;
use crate::several::Shared;

/// What stands outside: one world a backend.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) installation: InstallationId,
    /// The server on whose machine it is, and which alone can ask it.
    pub(crate) machine_of: Option<usize>,
    pub(crate) scripted: Scripted,
    /// Where a backend that forgets what it has puts the same job once more; `None` for one that does not.
    pub(crate) twin: Option<Scripted>,
    pub(crate) lie: Option<Lie>,
    /// Jobs that it said it had stopped, and had not.
    pub(crate) stopped: Arc<Mutex<HashSet<Handle>>>,
}

/// A promise that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// A job that is submitted again is another one.
    ForgetsItsJobs,
    /// What is to be stopped is said to be, and to be removed, and lives.
    StopsNothing,
    /// A submit may be on its way for longer than a claim lasts: as from a server that stands still between its last
    /// look and its request.
    SubmitsLate,
}

/// All of them.
#[derive(Clone)]
pub(crate) struct Sites {
    pub(crate) all: Arc<Vec<Site>>,
}

impl Sites {
    pub(crate) fn worlds(&self) -> impl Iterator<Item = (&Site, &Outside)> {
        self.all.iter().flat_map(|site| {
            let twin = site.twin.as_ref().map(|twin| (site, twin.outside()));
            std::iter::once((site, site.scripted.outside())).chain(twin)
        })
    }

    /// How often a step of a job was started, everywhere together.
    pub(crate) fn starts(&self, job: &JobId, step: u32) -> usize {
        self.worlds().map(|(site, outside)| outside.starts(&site.installation, job, step)).sum()
    }

    /// In how many worlds a job lives.
    pub(crate) fn live(&self, job: &JobId) -> usize {
        self.live_at(job, |_| true)
    }

    /// The same, but for machines: of one that is away nobody knows what lives there, and its tasks go on without it.
    pub(crate) fn live_in_reach(&self, job: &JobId) -> usize {
        self.live_at(job, |site| site.machine_of.is_none())
    }

    fn live_at(&self, job: &JobId, counts: impl Fn(&Site) -> bool) -> usize {
        let lives = |site: &Site, outside: &Outside| outside.is_live(&site.installation, job).unwrap_or(false);
        self.worlds().filter(|(site, outside)| counts(site) && lives(site, outside)).count()
    }
}

/// A backend as one server reaches it.
pub(crate) struct Network {
    pub(crate) shared: Shared,
    pub(crate) sites: Sites,
    pub(crate) site: Site,
    pub(crate) server: String,
}

/// What becomes of one request.
struct Fate {
    acts_after_ms: u64,
    answers_after_ms: u64,
    /// It never arrives.
    is_lost: bool,
    /// It arrives twice.
    again_after_ms: Option<u64>,
    /// The answer never arrives.
    answer_is_lost: bool,
    /// The caller hears at once that the connection is gone, instead of nothing.
    is_told: bool,
}

impl Network {
    fn fate(&self) -> Fate {
        let mut inner = self.shared.lock();
        let quiet = !inner.faults;
        let mut fate = Fate {
            acts_after_ms: 0,
            answers_after_ms: 0,
            is_lost: false,
            again_after_ms: None,
            answer_is_lost: false,
            is_told: inner.dice.one_in(2),
        };
        if quiet {
            return fate;
        }
        // A request that was sent has acted before its caller's patience is over.
        let most_ms = inner.patience_ms * 9 / 20;
        if inner.silent[self.site.index] {
            inner.tally.fault("a backend was out of reach");
            fate.is_lost = true;
            return fate;
        }
        match inner.dice.below(40) {
            0 => {
                inner.tally.fault("a request to a backend was lost");
                fate.is_lost = true;
            }
            1 | 2 => {
                inner.tally.fault("an answer of a backend was lost");
                fate.answer_is_lost = true;
            }
            3 => {
                inner.tally.fault("a request to a backend came twice");
                fate.again_after_ms = Some(inner.dice.below(most_ms));
            }
            4..=6 => {
                inner.tally.fault("a request to a backend was late");
                fate.acts_after_ms = inner.dice.below(most_ms);
            }
            7 => {
                inner.tally.fault("an answer of a backend was late");
                fate.answers_after_ms = inner.dice.below(6 * most_ms);
            }
            8..=20 => fate.acts_after_ms = inner.dice.below(300),
            _ => {}
        }
        fate
    }

    async fn send<T, F>(
        &self,
        what: &'static str,
        job: Option<JobId>,
        act: impl Fn() -> F + Send + 'static,
    ) -> Result<T, BackendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, BackendError>> + Send + 'static,
    {
        let mut fate = self.fate();
        let sent = {
            let mut inner = self.shared.lock();
            if self.site.lie == Some(Lie::SubmitsLate) && what == "submit" && inner.faults && inner.dice.one_in(4) {
                let most = 6 * inner.lease_ms;
                fate.acts_after_ms = inner.dice.below(most);
            }
            let requests = &mut inner.requests[self.site.index];
            requests.0 += 1;
            requests.0
        };
        let (shared, sites, site, server) =
            (self.shared.clone(), self.sites.clone(), self.site.clone(), self.server.clone());
        let (answer, answered) = oneshot::channel();
        let running = async move {
            shared.sleep(fate.acts_after_ms).await;
            if fate.is_lost {
                story(&shared, &server, &site, what, job.as_ref(), "does not arrive");
                return never(answer, fate.is_told).await;
            }
            arrives(&shared, &site, sent);
            let mut said = act().await;
            let outcome = if said.is_ok() { "acts" } else { "is refused" };
            story(&shared, &server, &site, what, job.as_ref(), outcome);
            check(&shared, &sites, job.as_ref());
            if let Some(again_after_ms) = fate.again_after_ms {
                shared.sleep(again_after_ms).await;
                said = act().await;
                story(&shared, &server, &site, what, job.as_ref(), "acts a second time");
                check(&shared, &sites, job.as_ref());
            }
            if fate.answer_is_lost {
                story(&shared, &server, &site, what, job.as_ref(), "has acted, and its answer is lost");
                return never(answer, fate.is_told).await;
            }
            shared.sleep(fate.answers_after_ms).await;
            // Whoever asked may be gone.
            let _ = answer.send(said);
        };
        self.shared.spawn(Actor::Network, running);
        answered.await.unwrap_or_else(|_| Err(BackendError::Unavailable("the connection was closed".to_owned())))
    }
}

/// A request arrives; whether a later one was quicker is told by their numbers.
fn arrives(shared: &Shared, site: &Site, sent: u64) {
    let mut inner = shared.lock();
    let last = inner.requests[site.index].1;
    if sent < last {
        inner.tally.fault("a request to a backend was overtaken");
    }
    inner.requests[site.index].1 = last.max(sent);
}

/// No answer: the connection is closed, or nothing is ever heard.
async fn never<T>(answer: oneshot::Sender<T>, is_told: bool) {
    if !is_told {
        std::future::pending::<()>().await;
    }
    drop(answer);
}

fn story(shared: &Shared, server: &str, site: &Site, what: &str, job: Option<&JobId>, outcome: &str) {
    let task = job.and_then(|job| tessera::task::TaskId::parse(job.attempt()?.0));
    // What is asked again and again, and goes well, is no news.
    if task.is_none() && (what != "inventory" || outcome == "acts") {
        return;
    }
    let of = job.map_or_else(String::new, |job| format!(" of attempt {}", job.attempt().unwrap_or_default().1));
    shared.tell(server, task.as_ref(), || format!("`{what}`{of} to `{}` {outcome}", site.name));
}

/// What is true outside at every moment.
fn check(shared: &Shared, sites: &Sites, job: Option<&JobId>) {
    for (site, outside) in sites.worlds() {
        if let Some(violation) = outside.violations().first() {
            let task = violation.split('`').find_map(|word| {
                let (id, _) = word.rsplit_once('-')?;
                tessera::task::TaskId::parse(id.trim_start_matches("scripted:"))
            });
            shared.broken(Invariant::CallersAreCareful, task.as_ref(), || format!("`{}`: {violation}", site.name));
        }
    }
    let Some((job, (id, attempt))) = job.and_then(|job| Some((job, job.attempt()?))) else { return };
    let task = tessera::task::TaskId::parse(id);
    let live: usize = (1..=attempt).map(|attempt| sites.live_in_reach(&JobId::of_attempt(id, attempt))).sum();
    if live > 0 && task.as_ref().is_some_and(|task| shared.lock().canceled.contains(task)) {
        shared.broken(Invariant::CanceledIsGone, task.as_ref(), || format!("attempt {attempt} of it lives"));
    }
    let live = live.max(sites.live(job));
    if live > 1 {
        shared.broken(Invariant::OneLiveJob, task.as_ref(), || format!("{live} jobs of it live at once"));
    }
    for step in 0..3 {
        let starts = sites.starts(job, step);
        if starts > 1 {
            let said = || format!("step {step} of attempt {attempt} was started {starts} times");
            shared.broken(Invariant::StepsOnce, task.as_ref(), said);
        }
    }
}

/// The job of a handle.
fn job_of(handle: &Handle) -> Option<JobId> {
    JobId::parse(handle.0.strip_prefix("scripted:")?)
}

#[async_trait]
impl Backend for Network {
    fn profile(&self) -> &Profile {
        self.site.scripted.profile()
    }

    fn honours(&self) -> Honours {
        self.site.scripted.honours()
    }

    async fn submit(&self, job: &Job) -> Result<Handle, BackendError> {
        let (site, id) = (self.site.clone(), job.id.clone());
        let job = Arc::new(job.clone());
        self.send("submit", Some(id), move || {
            let (site, job) = (site.clone(), job.clone());
            async move {
                let known = site.scripted.outside().jobs(&site.installation).unwrap_or_default().contains(&job.id);
                match &site.twin {
                    Some(twin) if known => twin.submit(&job).await,
                    Some(_) | None => site.scripted.submit(&job).await,
                }
            }
        })
        .await
    }

    async fn observe(&self, handles: &[Handle]) -> Result<Vec<Observation>, BackendError> {
        let (backend, handles) = (self.site.scripted.clone(), handles.to_vec());
        let one = handles.first().and_then(job_of).filter(|_| handles.len() == 1);
        let stopped = self.site.stopped.clone();
        self.send("observe", one, move || {
            let (backend, handles, stopped) = (backend.clone(), handles.clone(), stopped.clone());
            async move {
                let mut seen = backend.observe(&handles).await?;
                for (handle, seen) in handles.iter().zip(&mut seen) {
                    if stopped.lock().unwrap().contains(handle) {
                        *seen = Observation::Stopped;
                    }
                }
                Ok(seen)
            }
        })
        .await
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), BackendError> {
        let (site, handle) = (self.site.clone(), handle.clone());
        self.send("cancel", job_of(&handle), move || {
            let (site, handle) = (site.clone(), handle.clone());
            async move {
                if site.lie == Some(Lie::StopsNothing) {
                    site.stopped.lock().unwrap().insert(handle);
                    return Ok(());
                }
                site.scripted.cancel(&handle).await
            }
        })
        .await
    }

    async fn release(&self, handle: &Handle) -> Result<(), BackendError> {
        let (site, handle) = (self.site.clone(), handle.clone());
        self.send("release", job_of(&handle), move || {
            let (site, handle) = (site.clone(), handle.clone());
            async move {
                if site.stopped.lock().unwrap().contains(&handle) {
                    return Ok(());
                }
                site.scripted.release(&handle).await
            }
        })
        .await
    }

    async fn logs(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError> {
        self.site.scripted.logs(handle, step, stream, from).await
    }

    async fn inventory(&self, after: Option<&str>) -> Result<InventoryPage, BackendError> {
        let (backend, after) = (self.site.scripted.clone(), after.map(str::to_owned));
        self.send("inventory", None, move || {
            let (backend, after) = (backend.clone(), after.clone());
            async move { backend.inventory(after.as_deref()).await }
        })
        .await
    }

    async fn check(&self) -> Vec<Finding> {
        self.site.scripted.check().await
    }
}
