//! All logs of a server: who is followed, and whether a job may be removed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tessera_contract::{Backend, Bell};
use tokio::sync::{Notify, Semaphore, watch};
use tracing::warn;

use super::collect::Collector;
use super::follow::Follower;
use super::picture::{Picture, Trouble};
use super::prune::{Held, Pruned, Room};
use super::settings::Settings;
use super::shelf::Shelf;
use crate::store::Store;
use crate::task::{JobRef, TaskId};

/// Jobs whose logs are brought to the disk at the same time, before they are removed.
const RELEASES: usize = 16;
/// How often is said that logs cannot be kept.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// Between two tries to keep what a job printed.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps logs and lets them be read.
pub struct Logs {
    pub(super) store: Arc<dyn Store>,
    pub(super) backends: BTreeMap<String, Arc<dyn Backend>>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) settings: Settings,
    pub(super) held: Mutex<Held>,
    live: Mutex<HashMap<TaskId, Live>>,
    /// Tasks with files that this server began and has not closed.
    begun: Mutex<HashSet<TaskId>>,
    releases: Mutex<HashMap<JobRef, Release>>,
    /// Attempts whose log is brought here from another server.
    pub(super) bringing: Mutex<HashSet<(TaskId, u32)>>,
    permits: Semaphore,
    said: Mutex<Option<Instant>>,
    /// Held by the one who removes old logs.
    pub(super) pruning: tokio::sync::Mutex<Option<Pruned>>,
}

/// A task that is collected now.
#[derive(Debug, Clone, Default)]
pub(super) struct Live {
    /// What followers see.
    pub(super) seen: watch::Sender<Arc<Picture>>,
    /// Wakes the collector: the task was changed.
    pub(super) wake: Arc<Notify>,
    /// Jobs that the engine knows to be over.
    pub(super) over: Arc<Mutex<HashSet<JobRef>>>,
    /// Attempts whose log was brought here from another server: what is on the shelf is not what was seen there.
    pub(super) brought: Arc<Mutex<HashSet<u32>>>,
    /// How often a look was asked for, and the last of them that was answered.
    pub(super) looks: Arc<AtomicU64>,
    pub(super) looked: watch::Sender<u64>,
}

/// The other end of a [`Live`].
struct Followed {
    seen: watch::Receiver<Arc<Picture>>,
    wake: Arc<Notify>,
    looks: Arc<AtomicU64>,
    looked: watch::Receiver<u64>,
}

/// How far the log of a job is that is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Waits,
    Ready,
}

impl Logs {
    /// Keeps the logs of these backends' jobs in a folder.
    pub fn open(
        store: Arc<dyn Store>,
        backends: &[Arc<dyn Backend>],
        folder: &Path,
        settings: Settings,
    ) -> io::Result<Arc<Self>> {
        let named = |backend: &Arc<dyn Backend>| (backend.profile().name.clone(), backend.clone());
        Ok(Arc::new(Self {
            store,
            backends: backends.iter().map(named).collect(),
            shelf: Arc::new(Shelf::open(folder, settings.leave_free_bytes)?),
            settings,
            held: Mutex::default(),
            live: Mutex::default(),
            begun: Mutex::default(),
            releases: Mutex::default(),
            bringing: Mutex::default(),
            permits: Semaphore::new(RELEASES),
            said: Mutex::default(),
            pruning: tokio::sync::Mutex::default(),
        }))
    }

    /// A reader of a task's logs. As long as there is one, they are collected. Whether the caller may see the task is
    /// asked before.
    pub fn follow(self: &Arc<Self>, task: &TaskId) -> Follower {
        let live = self.live(task, None);
        let look = live.looks.fetch_add(1, Ordering::Relaxed) + 1;
        live.wake.notify_one();
        Follower::new(Arc::clone(self), task.clone(), live.seen, (look, live.looked))
    }

    /// A task was changed: whoever follows it hears so.
    pub fn changed(&self, task: &TaskId) {
        if let Some(live) = lock(&self.live).get(task) {
            live.wake.notify_one();
        }
    }

    /// Whether a job that is over may be removed: what it printed is kept, or cannot be. Otherwise it is brought to
    /// the disk now, and the bell rings when it is time to ask again. `is_whole` says that the task's history holds
    /// all of it.
    pub fn may_release(self: &Arc<Self>, task: &TaskId, job: &JobRef, is_whole: bool, bell: &Bell) -> bool {
        // Who collects it now is told first: it may know of the task only what was before this job's end.
        if is_whole && !lock(&self.begun).contains(task) && !self.is_live(task) {
            return true;
        }
        let mut releases = lock(&self.releases);
        match releases.get(job) {
            Some(Release::Ready) => {
                releases.remove(job);
                return true;
            }
            Some(Release::Waits) => return false,
            None => releases.insert(job.clone(), Release::Waits),
        };
        drop(releases);
        let (logs, task, job, bell) = (Arc::clone(self), task.clone(), job.clone(), bell.clone());
        tokio::spawn(async move {
            if let Err(lost) = logs.collected(&task, &job).await {
                warn!(%task, job = job.handle, "the log of a job could not be kept, and its end is lost: {lost}");
            }
            lock(&logs.releases).insert(job, Release::Ready);
            bell.ring();
        });
        false
    }

    /// Whether it is being brought to the disk: no need to ask.
    pub fn is_waited_for(&self, job: &JobRef) -> bool {
        lock(&self.releases).get(job) == Some(&Release::Waits)
    }

    /// Returns when what a job printed is kept, or why it never will be. Only the time counts in which it was tried.
    async fn collected(self: &Arc<Self>, task: &TaskId, job: &JobRef) -> Result<(), String> {
        let give_up = self.settings.give_up;
        let mut tried = Duration::ZERO;
        // How much of it was kept when there was room that nobody had made.
        let mut found_at = None;
        while tried < give_up {
            // Given back after each try: those that can be kept do not stand behind those that cannot.
            let Ok(permit) = self.permits.acquire().await else { return Err("the server ends".to_owned()) };
            let began = Instant::now();
            let told = tokio::time::timeout(give_up - tried, self.tried(task, job)).await;
            drop(permit);
            match told {
                Ok((None, _)) => return Ok(()),
                // A job that waits for room takes up more of it than its log would.
                Ok((Some(Trouble::Full), kept)) => match self.make_room(began).await {
                    Ok(Room::Made) => found_at = None,
                    // As long as it gets on.
                    Ok(Room::There) if found_at.replace(kept) != Some(kept) => {}
                    Ok(Room::There | Room::No) => return Err("the disk of the logs is full".to_owned()),
                    Err(error) => {
                        warn!(%error, "old logs of tasks cannot be removed to make room");
                        tokio::time::sleep(AGAIN.min(give_up.saturating_sub(tried + began.elapsed()))).await;
                    }
                },
                Ok((Some(Trouble::Missing | Trouble::Silent), _)) => {
                    found_at = None;
                    tokio::time::sleep(AGAIN.min(give_up.saturating_sub(tried + began.elapsed()))).await;
                }
                Err(_) => break,
            }
            tried += began.elapsed();
        }
        Err(format!("tried for {give_up:?}"))
    }

    /// Tries to keep what a job printed: `None` when it is, else what is in the way; and how many bytes are kept.
    async fn tried(self: &Arc<Self>, task: &TaskId, job: &JobRef) -> (Option<Trouble>, u64) {
        let Followed { mut seen, wake, looks, mut looked } = self.live(task, Some(job));
        let look = looks.fetch_add(1, Ordering::Relaxed) + 1;
        wake.notify_one();
        let is_kept = |picture: &Arc<Picture>| {
            // A job that no attempt knows has printed nothing that anybody could ask for.
            picture.of_job(job).map_or(picture.fresh && picture.trouble.is_none(), |attempt| attempt.closed)
        };
        let mut told = seen.clone();
        let in_the_way = async {
            // What was in the way before may not be any more: only a new look tells.
            let _ = looked.wait_for(|taken| *taken >= look).await;
            let told = told.wait_for(|picture| is_kept(picture) || picture.trouble.is_some()).await.ok()?;
            told.trouble.filter(|_| !is_kept(&told))
        };
        let trouble = tokio::select! {
            biased;
            // When the collector is gone, there is nothing more to be had.
            _ = seen.wait_for(is_kept) => None,
            trouble = in_the_way => trouble,
        };
        let picture = seen.borrow();
        let streams = picture.of_job(job).into_iter().flat_map(|attempt| attempt.executors.iter().flatten());
        (trouble, streams.map(|stream| stream.length).sum())
    }

    /// What follows a task, which is collected as long as that is held.
    fn live(self: &Arc<Self>, task: &TaskId, over: Option<&JobRef>) -> Followed {
        let mut all = lock(&self.live);
        let live = all.entry(task.clone()).or_insert_with(|| {
            let live = Live::default();
            tokio::spawn(Collector::new(Arc::clone(self), task.clone(), live.clone()).run());
            live
        });
        if let Some(job) = over {
            lock(&live.over).insert(job.clone());
            live.wake.notify_one();
        }
        // Subscribed under the lock: the collector leaves only when it sees nobody.
        Followed {
            seen: live.seen.subscribe(),
            wake: live.wake.clone(),
            looks: live.looks.clone(),
            looked: live.looked.subscribe(),
        }
    }

    /// The collector of a task leaves, if nobody is there any more or it `must`.
    pub(super) fn leave(&self, task: &TaskId, live: &Live, must: bool) -> bool {
        let mut all = lock(&self.live);
        let leaves = must || live.seen.receiver_count() == 0;
        if leaves && all.get(task).is_some_and(|known| known.seen.same_channel(&live.seen)) {
            all.remove(task);
        }
        leaves
    }

    /// An attempt's log was brought here.
    pub(super) fn is_brought(&self, task: &TaskId, attempt: u32) {
        if let Some(live) = lock(&self.live).get(task) {
            lock(&live.brought).insert(attempt);
            live.wake.notify_one();
        }
    }

    pub(super) fn is_live(&self, task: &TaskId) -> bool {
        lock(&self.live).contains_key(task)
    }

    pub(super) fn begun(&self, task: &TaskId) {
        lock(&self.begun).insert(task.clone());
    }

    pub(super) fn closed(&self, task: &TaskId) {
        lock(&self.begun).remove(task);
    }

    /// Says that logs cannot be kept, but not without end.
    pub(super) fn say(&self, error: &io::Error) {
        let mut said = lock(&self.said);
        if said.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
            *said = Some(Instant::now());
            warn!(%error, "what tasks print cannot be kept now; the tasks go on, and it is tried again");
        }
    }

    /// Does something with the files on a thread that may wait for a disk.
    pub(super) async fn on_shelf<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shelf) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shelf = Arc::clone(&self.shelf);
        tokio::task::spawn_blocking(move || act(&shelf)).await.map_err(io::Error::other)?
    }
}

pub(super) fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
