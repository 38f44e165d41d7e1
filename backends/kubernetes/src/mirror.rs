//! What we know of our Jobs and Pods: a copy of what the API server holds, kept up by [`crate::watch`].
//!
//! It can be thrown away at any time: the next listing makes it anew. What we write ourselves is in it at once, and
//! nothing older replaces it. A copy that could not be kept up for [`STALE_AFTER`] says nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Resource;
use tessera_contract::{BackendError, Bell, JobId};
use tokio::sync::watch;

use crate::slim::{SlimJob, SlimPod, version_of};
use crate::status::{in_trouble, kept};
use crate::view::{JobSeen, PodSeen, Verdict};

/// How long the copy is good after the watch has broken.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(30);
/// How long after a stop a Pod may still appear: the Job's controller may not have read our word when it made it.
const STRAGGLES: Duration = Duration::from_secs(2);
/// How long a Job that we deleted ourselves may still be told of.
const ECHOES: Duration = Duration::from_secs(300);

/// The copy.
#[derive(Debug)]
pub(crate) struct Mirror {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    bell: Bell,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<JobId, Entry>,
    sides: [Side; 2],
    /// Jobs that we deleted, by their uid.
    deleted: HashMap<String, Instant>,
}

/// What we know of one job.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    job: Option<Held<JobSeen>>,
    /// Also those that are gone, as they were seen last, as long as the Job is there.
    pods: Vec<Held<PodSeen>>,
    /// Since when something is the matter with its Pod.
    trouble: Option<Timestamp>,
    /// Since when we know that it is not to run.
    stopped: Option<Instant>,
    /// Since when we know of it.
    known: Option<Instant>,
}

#[derive(Debug)]
struct Held<T> {
    seen: T,
    version: u64,
    at: Instant,
}

/// One of the two kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Jobs.
    Jobs,
    /// Pods.
    Pods,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Jobs, Self::Pods];

    /// As a Role calls it.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Pods => "pods",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Jobs => 0,
            Self::Pods => 1,
        }
    }
}

/// How well one kind is kept up.
#[derive(Debug, Default)]
struct Side {
    synced: bool,
    broken: Option<Broken>,
    /// A listing that is going on: when it began, and what was in it so far.
    listing: Option<(Instant, HashSet<String>)>,
}

#[derive(Debug)]
struct Broken {
    since: Instant,
    /// How many watches had been opened by then: another one mends it.
    opened: u64,
    error: BackendError,
}

impl Entry {
    /// The Job, where there is one.
    pub(crate) fn job(&self) -> Option<&JobSeen> {
        self.job.as_ref().map(|held| &held.seen)
    }

    /// Its Pods, one as a rule, also those that are gone.
    pub(crate) fn pods(&self) -> Vec<PodSeen> {
        self.pods.iter().map(|held| held.seen.clone()).collect()
    }

    /// How long we know of the Job, by our own clock.
    pub(crate) fn known_for(&self) -> Duration {
        self.known.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether it has a Pod, or had one.
    pub(crate) fn has_pod(&self) -> bool {
        !self.pods.is_empty()
    }

    /// Since when something is the matter with its Pod, see [`in_trouble`].
    pub(crate) fn trouble(&self) -> Option<Timestamp> {
        self.trouble
    }

    /// It was told to stop so recently that a Pod may still appear.
    pub(crate) fn may_straggle(&self) -> bool {
        self.pods.is_empty() && self.stopped.is_some_and(|since| since.elapsed() < STRAGGLES)
    }

    /// What was just said of it as something that may straggle can be said otherwise now.
    pub(crate) fn stopped_lately(&self) -> bool {
        let since = self.stopped.filter(|_| self.pods.is_empty()).map(|since| since.elapsed());
        since.is_some_and(|since| STRAGGLES <= since && since < 3 * STRAGGLES)
    }

    /// Nothing of it is in the cluster.
    fn is_empty(&self) -> bool {
        self.job.is_none() && self.pods.iter().all(|held| held.seen.gone)
    }

    fn look_for_trouble(&mut self) {
        let trouble = self.pods.iter().any(|held| !held.seen.gone && in_trouble(&held.seen));
        self.trouble = trouble.then(|| self.trouble.unwrap_or_else(Timestamp::now));
    }
}

impl Mirror {
    /// An empty one, not yet good for anything.
    pub(crate) fn new(bell: Bell) -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()), bell }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_replace(());
        self.bell.ring();
    }

    /// Wakes whoever reads.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }

    /// Its bell.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether it can be read: `Some(Ok)`, or an error; `None` while it is being made for the first time. `opened` is
    /// how many watches of a kind have been opened so far.
    pub(crate) fn ready(&self, opened: impl Fn(Kind) -> u64) -> Option<Result<(), BackendError>> {
        let mut state = self.lock();
        for kind in Kind::ALL {
            let side = &mut state.sides[kind.index()];
            if side.synced && side.broken.as_ref().is_some_and(|broken| broken.opened < opened(kind)) {
                side.broken = None;
            }
            match &side.broken {
                Some(broken) if !side.synced || broken.since.elapsed() >= STALE_AFTER => {
                    return Some(Err(broken.error.clone()));
                }
                Some(_) | None if side.synced => {}
                Some(_) | None => return None,
            }
        }
        Some(Ok(()))
    }

    /// The watch of a kind has failed.
    pub(crate) fn broke(&self, kind: Kind, opened: u64, error: BackendError) {
        let mut state = self.lock();
        let side = &mut state.sides[kind.index()];
        let since = side.broken.as_ref().filter(|broken| broken.opened == opened).map(|broken| broken.since);
        side.broken = Some(Broken { since: since.unwrap_or_else(Instant::now), opened, error });
        drop(state);
        self.changed.send_replace(());
    }

    /// A listing begins.
    pub(crate) fn begin(&self, kind: Kind) {
        self.lock().sides[kind.index()].listing = Some((Instant::now(), HashSet::new()));
    }

    /// A listing is complete: what was not in it is gone, but what we wrote ourselves in the meantime.
    pub(crate) fn complete(&self, kind: Kind) {
        let mut state = self.lock();
        let state = &mut *state;
        let side = &mut state.sides[kind.index()];
        let Some((began, listed)) = side.listing.take() else { return };
        side.synced = true;
        side.broken = None;
        for entry in state.jobs.values_mut() {
            match kind {
                Kind::Jobs => {
                    let is_gone = |held: &Held<JobSeen>| held.at < began && !listed.contains(&held.seen.uid);
                    entry.job.take_if(|held| is_gone(held));
                }
                Kind::Pods => {
                    let is_gone = |held: &Held<PodSeen>| held.at < began && !listed.contains(&held.seen.uid);
                    entry.pods.iter_mut().filter(|held| is_gone(held)).for_each(|held| held.seen.gone = true);
                    entry.look_for_trouble();
                }
            }
        }
        state.jobs.retain(|_, entry| !entry.is_empty());
        state.deleted.retain(|_, at| at.elapsed() < ECHOES);
        self.tell();
    }

    /// A Job as the API server told of it, or as we wrote it.
    pub(crate) fn put_job(&self, job: SlimJob) {
        let version = version_of(job.meta());
        let Some(seen) = job.seen() else { return };
        let mut state = self.lock();
        let begun = state.listed(Kind::Jobs, &seen.uid);
        if state.deleted.contains_key(&seen.uid) {
            return;
        }
        let entry = state.jobs.entry(seen.id.clone()).or_default();
        entry.known.get_or_insert_with(Instant::now);
        if let Some(held) = &mut entry.job
            && held.seen.uid == seen.uid
            && held.version > version
            && begun.is_none_or(|begun| held.at >= begun)
        {
            return;
        }
        match (&seen.verdict, entry.stopped) {
            (Verdict::Open, _) => entry.stopped = None,
            (Verdict::Canceled | Verdict::Failed(_), None) => entry.stopped = Some(Instant::now()),
            (Verdict::Canceled | Verdict::Failed(_), Some(_)) => {}
        }
        let same = entry.job.as_ref().is_some_and(|held| held.seen == seen);
        entry.job = Some(Held { seen, version, at: Instant::now() });
        drop(state);
        if !same {
            self.tell();
        }
    }

    /// A Job is gone.
    pub(crate) fn drop_job(&self, job: SlimJob) {
        let Some(seen) = job.seen() else { return };
        let mut state = self.lock();
        state.deleted.remove(&seen.uid);
        state.drop_job(&seen.id, &seen.uid);
        drop(state);
        self.tell();
    }

    /// We deleted a Job ourselves.
    pub(crate) fn deleted_job(&self, id: &JobId) {
        let mut state = self.lock();
        let Some(uid) = state.jobs.get(id).and_then(|entry| entry.job()).map(|job| job.uid.clone()) else { return };
        state.drop_job(id, &uid);
        state.deleted.insert(uid, Instant::now());
        drop(state);
        self.tell();
    }

    /// A Pod as the API server told of it.
    pub(crate) fn put_pod(&self, pod: SlimPod) {
        let version = version_of(pod.meta());
        let Some((job, seen)) = pod.seen() else { return };
        let mut state = self.lock();
        let begun = state.listed(Kind::Pods, &seen.uid);
        let entry = state.jobs.entry(job).or_default();
        let mut held = Held { seen, version, at: Instant::now() };
        let same = match entry.pods.iter_mut().find(|known| known.seen.uid == held.seen.uid) {
            Some(known) if known.version > held.version && begun.is_none_or(|begun| known.at >= begun) => return,
            Some(known) => {
                kept::keep(Some(&known.seen), &mut held.seen, Timestamp::now());
                let same = known.seen == held.seen;
                *known = held;
                same
            }
            None => {
                kept::keep(None, &mut held.seen, Timestamp::now());
                entry.pods.push(held);
                false
            }
        };
        entry.look_for_trouble();
        drop(state);
        if !same {
            self.tell();
        }
    }

    /// A Pod is gone.
    pub(crate) fn drop_pod(&self, pod: SlimPod) {
        let Some((job, seen)) = pod.seen() else { return };
        let mut state = self.lock();
        let Some(entry) = state.jobs.get_mut(&job) else { return };
        if let Some(held) = entry.pods.iter_mut().find(|held| held.seen.uid == seen.uid) {
            // The last that is told of it may be more than what was known.
            held.seen = PodSeen { gone: true, ..seen };
        }
        entry.look_for_trouble();
        if entry.is_empty() {
            state.jobs.remove(&job);
        }
        drop(state);
        self.tell();
    }

    /// Looks at one job.
    pub(crate) fn look<T>(&self, job: &JobId, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.lock().jobs.get(job).map(look)
    }

    /// Picks among all jobs.
    pub(crate) fn pick<T>(&self, pick: impl FnMut((&JobId, &Entry)) -> Option<T>) -> Vec<T> {
        self.lock().jobs.iter().filter_map(pick).collect()
    }

    /// The Jobs behind one, in the order of their ids, and whether there are more.
    pub(crate) fn page(&self, after: Option<&str>, size: usize) -> (Vec<JobSeen>, bool) {
        let state = self.lock();
        let jobs = state.jobs.iter().filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
        let mut jobs = jobs.filter_map(|(_, entry)| entry.job());
        let page = jobs.by_ref().take(size).cloned().collect();
        (page, jobs.next().is_some())
    }
}

impl State {
    /// It is there. While a listing goes on, since when: what is told now is newer than what was known by then, even
    /// where its version is lower, as it is after the store of the API server was restored from a backup.
    fn listed(&mut self, kind: Kind, uid: &str) -> Option<Instant> {
        let (began, listed) = self.sides[kind.index()].listing.as_mut()?;
        listed.insert(uid.to_owned());
        Some(*began)
    }

    fn drop_job(&mut self, id: &JobId, uid: &str) {
        let Some(entry) = self.jobs.get_mut(id) else { return };
        entry.job.take_if(|held| held.seen.uid == uid);
        if entry.is_empty() {
            self.jobs.remove(id);
        }
    }
}
