//! Why a task waits, found out when somebody asks: from the store, from what is remembered of its backend, and from
//! the backend itself where it has a job. Nothing is computed for tasks that nobody asks about.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tessera_contract::{Handle, Observation};
use tessera_runtime::doing::Work;
use tokio::time::{Instant, timeout_at};

use super::assembly::Engine;
use super::dispatch::{Place, place_of};
use super::ownership::Ground;
use super::place::{Need, Room};
use super::site::Site;
use super::waiting::{self, Queued, Waiting};
use crate::roster::{Whereabouts, base};
use crate::store::{Candidate, Fence, Load, Queueing, StoreError};
use crate::task::{Owner, Task, TaskId, TaskState};

/// Rows of the queue in one question to the store: others are answered between two of them.
const PIECE: u32 = 512;

/// What a task is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explained {
    /// The backend it belongs to.
    pub backend: Option<String>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    /// The executor that runs, and since when.
    pub running: Option<(u32, Timestamp)>,
}

/// How far a walk down the queue has come: behind this task, with so many of each backend passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walked {
    /// The last task passed.
    pub after: Option<TaskId>,
    /// Unclaimed tasks passed, by backend.
    pub passed: BTreeMap<String, u64>,
}

/// One waiting task of the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiter {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// What it waits for.
    pub waiting: Waiting,
}

/// A page of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuePage {
    /// The caller's waiting tasks, in order.
    pub waiters: Vec<Waiter>,
    /// Where the next page begins.
    pub next: Option<Walked>,
}

/// Where a waiting task belongs that belongs to none of our backends.
enum NotHere {
    /// To this backend of another server.
    With(String),
    /// To this backend of a server that does not answer.
    Away(String, Waiting),
    /// To this one, which nobody has.
    Missing(String),
}

impl NotHere {
    fn backend(&self) -> &str {
        match self {
            Self::With(backend) | Self::Away(backend, _) | Self::Missing(backend) => backend,
        }
    }

    fn waits(self, ahead: u64, is_claimed: bool) -> Waiting {
        match self {
            Self::With(backend) if is_claimed => Waiting::HandingOver { backend },
            Self::With(backend) => Waiting::InQueue { backend, ahead, lacks: None },
            Self::Away(_, waiting) => waiting,
            Self::Missing(backend) => Waiting::BackendMissing { backend },
        }
    }
}

impl Engine {
    /// Whether there is such a backend, here or with another server.
    pub fn has_backend(&self, name: &str) -> bool {
        let ground = || self.ground(name, self.clock.now());
        self.serving(name).is_some() || ground() != Ground::Nowhere
    }

    /// What a task is about.
    pub async fn explain(&self, task: &Task) -> Result<Explained, StoreError> {
        match &task.state {
            TaskState::Queued { .. } => self.explain_queued(task).await,
            TaskState::Initializing { job, .. }
            | TaskState::Running { job, .. }
            | TaskState::Paused { job, .. }
            | TaskState::Preempted { job, .. } => {
                let begun = !matches!(task.state, TaskState::Initializing { .. });
                Ok(self.explain_outside(&job.backend, &Handle(job.handle.clone()), begun).await)
            }
            TaskState::Canceling { job: Some(job), .. } if self.away(&job.backend).is_some() => {
                Ok(Explained { backend: Some(job.backend.clone()), waiting: self.away(&job.backend), running: None })
            }
            TaskState::Canceling { job, .. } => {
                let since = task.attempts.last().and_then(|attempt| attempt.cancel_requested);
                Ok(Explained {
                    backend: job.as_ref().map(|job| job.backend.clone()),
                    waiting: Some(Waiting::Canceling { since: since.unwrap_or(task.created) }),
                    running: None,
                })
            }
            TaskState::Complete | TaskState::ExecutorError | TaskState::SystemError | TaskState::Canceled => {
                let backend = task.attempts.iter().rev().find_map(|attempt| attempt.metadata.get("backend"));
                Ok(Explained { backend: backend.cloned(), ..Explained::default() })
            }
        }
    }

    async fn explain_queued(&self, task: &Task) -> Result<Explained, StoreError> {
        let standing = self.store.standing(std::slice::from_ref(&task.id)).await?;
        let Some(active) = standing.first().and_then(|standing| standing.active()) else {
            return Ok(Explained::default());
        };
        let is_claimed = matches!(active.state, TaskState::Queued { claimed: true, .. });
        let claimed_on = active.claim.as_ref().filter(|_| is_claimed).map(|claim| claim.backend.clone());
        let candidate = Candidate {
            task: task.id.clone(),
            attempt: active.state.attempt().unwrap_or_default(),
            fence: Fence(0),
            backend: task.spec.parameter("backend").map(str::to_owned),
            claimed_on,
            cpu_milli: task.spec.cpu_milli(),
            ram_bytes: task.spec.ram_bytes(),
        };
        let spot = self.spot_of(&candidate);
        let takes_unnamed = spot.as_ref().is_ok_and(|site| self.is_first(site));
        let asked = spot.as_ref().map_or_else(|other| base(other.backend()), |site| site.serves());
        let ahead = self.store.ahead(std::slice::from_ref(&task.id), asked, takes_unnamed).await?;
        let ahead = ahead.first().copied().unwrap_or_default();
        let site = match spot {
            Ok(site) => site,
            Err(other) => {
                let backend = Some(other.backend().to_owned());
                return Ok(Explained { backend, waiting: Some(other.waits(ahead, is_claimed)), running: None });
            }
        };
        let loads = self.store.load().await?;
        // What went wrong last is the last line of its log.
        let told = || task.attempts.iter().rev().flat_map(|attempt| attempt.log.last()).next();
        let reason = site.waiting.reason(&task.id).or_else(|| told().map(|line| line.text.clone()));
        let waiting = self.queued(site, &candidate, &active.state, ahead, &loads, reason);
        let backend = if is_claimed { site.name() } else { site.serves() };
        Ok(Explained { backend: Some(backend.to_owned()), waiting: Some(waiting), running: None })
    }

    async fn explain_outside(&self, backend: &str, handle: &Handle, begun: bool) -> Explained {
        let explained = |waiting, running| Explained { backend: Some(backend.to_owned()), waiting, running };
        let Some(site) = self.site(backend) else {
            let unknown = || (!begun).then(|| Waiting::AtBackend { backend: backend.to_owned(), reason: None });
            let waiting = match self.ground(backend, self.clock.now()) {
                Ground::Nowhere => Some(Waiting::BackendMissing { backend: backend.to_owned() }),
                Ground::Shared | Ground::OurMachine | Ground::Elsewhere | Ground::Lost => {
                    self.away(backend).or_else(unknown)
                }
            };
            return explained(waiting, None);
        };
        if let Some(down) = site.trouble().filter(|_| site.is_silent(self.clock.now())) {
            let reason = down.reason;
            return explained(Some(Waiting::Unreadable { backend: backend.to_owned(), reason }), None);
        }
        let call = site.backend.observe(std::slice::from_ref(handle));
        let seen = match site.call(&self.clock, &self.settings, "observe", call).await {
            Ok(seen) => seen.into_iter().next(),
            Err(error) => Some(Observation::Unreadable { reason: error.to_string() }),
        };
        let reason = || "it answered about no job".to_owned();
        let seen = seen.unwrap_or_else(|| Observation::Unreadable { reason: reason() });
        let running = if let Observation::Working(progress) = &seen {
            progress.doing.as_ref().and_then(|doing| match doing.work {
                Work::Running { executor } if progress.started.is_some() => Some((executor, doing.since)),
                Work::Running { .. } | Work::Pulling { .. } | Work::Fetching { .. } | Work::Delivering { .. } => None,
            })
        } else {
            None
        };
        explained(waiting::outside(backend, &seen), running)
    }

    /// A page of an owner's waiting tasks. Positions count the tasks of everybody; only the owner's are answered.
    /// The whole queue is walked once, however many pages that takes; when the time is over, a page ends where it is,
    /// even if nothing is on it.
    pub async fn queue(
        &self,
        owner: &Owner,
        backend: Option<&str>,
        from: Walked,
        size: usize,
        time: Duration,
    ) -> Result<QueuePage, StoreError> {
        let until = Instant::now() + time;
        let loads = self.store.load().await?;
        let mut walked = from;
        let mut waiters = Vec::new();
        loop {
            // Whoever asks for the queue over and over does not slow down those who work it off.
            let Ok(turn) = timeout_at(until, self.walks.piece()).await else {
                return Ok(QueuePage { waiters, next: Some(walked) });
            };
            let piece = self.store.queueing(owner, walked.after.as_ref(), PIECE).await?;
            turn.took(piece.took);
            let is_last = piece.tasks.len() < PIECE as usize;
            for one in piece.tasks {
                let Queueing { task: id, own, wanted, claimed_on } = one;
                let mut candidate = Candidate {
                    task: id,
                    attempt: 0,
                    fence: Fence(0),
                    backend: wanted,
                    claimed_on,
                    cpu_milli: None,
                    ram_bytes: None,
                };
                let spot = self.spot_of(&candidate);
                // Who waits for one of several machines stands in one queue.
                let name = match &spot {
                    Ok(site) => site.serves(),
                    Err(other) => base(other.backend()),
                };
                let ahead = walked.passed.get(name).copied().unwrap_or_default();
                if candidate.claimed_on.is_none() {
                    walked.passed.insert(name.to_owned(), ahead + 1);
                }
                walked.after = Some(candidate.task.clone());
                let Some(own) = own.filter(|_| backend.is_none_or(|backend| base(backend) == name)) else { continue };
                (candidate.cpu_milli, candidate.ram_bytes) = (own.cpu_milli, own.ram_bytes);
                candidate.attempt = own.state.attempt().unwrap_or_default();
                let waiting = match spot {
                    Ok(site) => {
                        let reason = site.waiting.reason(&candidate.task);
                        self.queued(site, &candidate, &own.state, ahead, &loads, reason)
                    }
                    Err(other) => other.waits(ahead, candidate.claimed_on.is_some()),
                };
                waiters.push(Waiter { id: candidate.task, name: own.name, created: own.created, waiting });
                if waiters.len() >= size {
                    return Ok(QueuePage { waiters, next: Some(walked) });
                }
            }
            if is_last {
                return Ok(QueuePage { waiters, next: None });
            }
        }
    }

    /// The site of a waiting task, or where else it belongs.
    fn spot_of(&self, candidate: &Candidate) -> Result<&Site, NotHere> {
        let missing = |name: &str| NotHere::Missing(name.to_owned());
        match place_of(self, candidate, self.clock.now()) {
            Place::On(name) => self.site(name).map(|site| &**site).ok_or_else(|| missing(name)),
            Place::Elsewhere(name) => Err(self
                .away(name)
                .map_or_else(|| NotHere::With(name.to_owned()), |waiting| NotHere::Away(name.to_owned(), waiting))),
            Place::Nowhere(name) => Err(missing(name)),
            Place::Absent => Err(missing(candidate.claimed_on.as_deref().unwrap_or_default())),
        }
    }

    /// What is waited for where only a server has a backend that does not answer.
    fn away(&self, backend: &str) -> Option<Waiting> {
        if self.site(backend).is_some() {
            return None;
        }
        let (server, since) = match self.roster.whereabouts(backend, self.clock.now()) {
            Whereabouts::With { server, away } => (server, Some(away?)),
            Whereabouts::Lost { server, since } => (server, since),
            Whereabouts::Nowhere => return None,
        };
        Some(Waiting::ServerAway { backend: backend.to_owned(), server, since })
    }

    /// Whether it takes the tasks that name no backend.
    pub(super) fn is_first(&self, site: &Site) -> bool {
        self.sites.first().is_some_and(|first| first.name() == site.name())
    }

    fn queued(
        &self,
        site: &Site,
        candidate: &Candidate,
        state: &TaskState,
        ahead: u64,
        loads: &[Load],
        reason: Option<String>,
    ) -> Waiting {
        let capacity = &site.profile().capacity;
        let room = Room::left(capacity, loads.iter().find(|load| load.backend == site.name()));
        let (not_before, refusals) = if let TaskState::Queued { not_before, refusals, .. } = state {
            (*not_before, *refusals)
        } else {
            (None, 0)
        };
        let mut waiting = Queued {
            backend: site.name(),
            ahead,
            attempt: candidate.attempt,
            claimed: candidate.claimed_on.is_some(),
            not_before,
            refusals,
            reason,
            down: site.trouble(),
            need: Need::of(candidate, capacity, &self.settings),
            capacity,
            room: &room,
            now: self.clock.now(),
        }
        .waits();
        if let Waiting::InQueue { backend, lacks: None, .. } = &mut waiting {
            // Whichever machine takes it; what it lacks is lacking on this one.
            site.serves().clone_into(backend);
        }
        waiting
    }
}
