//! The world, and the hands of a test in it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::folder::Folder;
use super::memory::Memory;
use super::mischief::{Mischief, Plot, Verb};
use super::play::{Effect, Played, Told, play};
use super::shelf::{Kept, Key, Shelf};
use crate::{InstallationId, JobId};

/// What is outside of every server: jobs, their effects, and what goes wrong. Cloning it is looking at the same
/// world.
#[derive(Clone)]
pub struct Outside(Arc<Inner>);

struct Inner {
    shelf: Box<dyn Shelf>,
    now: Box<dyn Fn() -> Timestamp + Send + Sync>,
    real_time: bool,
    plot: Plot,
    memory: Mutex<Remembered>,
}

/// What only a test in the same process sees.
#[derive(Default)]
struct Remembered {
    /// Jobs that were released; they must not come again.
    released: HashSet<(InstallationId, JobId)>,
    /// How often each executor of each job was started, over all lives of the job.
    starts: HashMap<(InstallationId, JobId, u32), usize>,
    violations: Vec<String>,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside").finish_non_exhaustive()
    }
}

/// Marks that tell what was done to a job.
pub(super) mod mark {
    pub(crate) const STOP: &str = "stop";
    pub(crate) const LOST: &str = "lost";
    pub(crate) const PREEMPTED: &str = "preempted";
    pub(crate) const PAUSED: &str = "paused";
    pub(crate) const HELD_MS: &str = "held-ms";
    pub(crate) const UNREADABLE: &str = "unreadable";
}

impl Outside {
    /// A world in memory, on the system's time.
    pub fn in_memory() -> Self {
        Self::new(Box::new(Memory::default()), Box::new(Timestamp::now), true)
    }

    /// A world in memory, on a time that a test moves.
    pub fn in_memory_at(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self::new(Box::new(Memory::default()), Box::new(now), false)
    }

    /// A world in a folder, on the system's time.
    pub fn in_folder(path: &Path) -> io::Result<Self> {
        Ok(Self::new(Box::new(Folder::open(path)?), Box::new(Timestamp::now), true))
    }

    fn new(shelf: Box<dyn Shelf>, now: Box<dyn Fn() -> Timestamp + Send + Sync>, real_time: bool) -> Self {
        Self(Arc::new(Inner { shelf, now, real_time, plot: Plot::default(), memory: Mutex::default() }))
    }

    /// Makes the next calls of a verb go wrong.
    pub fn next(&self, verb: Verb, calls: usize, mischief: Mischief) {
        self.0.plot.next(verb, calls, &mischief);
    }

    /// Makes every call of a verb go wrong, until [`Outside::behave`].
    pub fn always(&self, verb: Verb, mischief: Mischief) {
        self.0.plot.always(verb, Some(mischief));
    }

    /// Ends all mischief.
    pub fn behave(&self) {
        for verb in Verb::ALL {
            self.0.plot.always(verb, None);
        }
    }

    /// How often a verb was called.
    pub fn calls(&self, verb: Verb) -> u64 {
        self.0.plot.calls(verb)
    }

    /// What a careful caller never does, and this one did.
    pub fn violations(&self) -> Vec<String> {
        self.memory().violations.clone()
    }

    /// How often `count MARK` was carried out.
    pub fn counted(&self, mark: &str) -> io::Result<usize> {
        self.0.shelf.counted(mark)
    }

    /// How often an executor of a job was started, over all lives of the job.
    pub fn starts(&self, installation: &InstallationId, job: &JobId, step: u32) -> usize {
        self.memory().starts.get(&(installation.clone(), job.clone(), step)).copied().unwrap_or_default()
    }

    /// How often each executor of each job was started.
    pub fn all_starts(&self) -> Vec<(JobId, u32, usize)> {
        self.memory().starts.iter().map(|((_, job, step), count)| (job.clone(), *step, *count)).collect()
    }

    /// The jobs of an installation that are still there.
    pub fn jobs(&self, installation: &InstallationId) -> io::Result<Vec<JobId>> {
        self.0.shelf.list(installation, None, usize::MAX)
    }

    /// Whether a command of the job works now.
    pub fn is_working(&self, installation: &InstallationId, job: &JobId) -> io::Result<bool> {
        Ok(self.play(Key { installation, job })?.is_some_and(|(_, played)| played.working))
    }

    /// Whether a job is there and not over: it may work, or begin to.
    pub fn is_live(&self, installation: &InstallationId, job: &JobId) -> io::Result<bool> {
        Ok(self.play(Key { installation, job })?.is_some_and(|(_, played)| !played.is_over()))
    }

    /// Makes a job vanish, as with its node.
    pub fn lose(&self, installation: &InstallationId, job: &JobId) -> io::Result<()> {
        self.mark_now(Key { installation, job }, mark::LOST)
    }

    /// Takes a job's capacity away for good.
    pub fn preempt(&self, installation: &InstallationId, job: &JobId) -> io::Result<()> {
        self.mark_now(Key { installation, job }, mark::PREEMPTED)
    }

    /// Holds a job.
    pub fn pause(&self, installation: &InstallationId, job: &JobId) -> io::Result<()> {
        self.mark_now(Key { installation, job }, mark::PAUSED)
    }

    /// Lets a held job go on. It has missed the time in between.
    pub fn resume(&self, installation: &InstallationId, job: &JobId) -> io::Result<()> {
        let key = Key { installation, job };
        let Some(since) = self.moment(key, mark::PAUSED)? else { return Ok(()) };
        let held = self.held(key)? + self.now().duration_since(since);
        self.0.shelf.unmark(key, mark::HELD_MS)?;
        self.0.shelf.mark(key, mark::HELD_MS, &held.as_millis().to_string())?;
        self.0.shelf.unmark(key, mark::PAUSED)
    }

    /// Makes a job unreadable.
    pub fn make_unreadable(&self, installation: &InstallationId, job: &JobId) -> io::Result<()> {
        self.mark_now(Key { installation, job }, mark::UNREADABLE)
    }

    /// Makes an unreadable job readable again.
    pub fn make_readable(&self, installation: &InstallationId, job: &JobId) -> io::Result<()> {
        self.0.shelf.unmark(Key { installation, job }, mark::UNREADABLE)
    }

    pub(super) fn plot(&self) -> &Plot {
        &self.0.plot
    }

    pub(super) fn shelf(&self) -> &dyn Shelf {
        self.0.shelf.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.0.now)()
    }

    pub(super) fn is_real_time(&self) -> bool {
        self.0.real_time
    }

    fn memory(&self) -> MutexGuard<'_, Remembered> {
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn violation(&self, what: String) {
        self.memory().violations.push(what);
    }

    pub(super) fn was_released(&self, key: Key<'_>) -> bool {
        self.memory().released.contains(&(key.installation.clone(), key.job.clone()))
    }

    pub(super) fn remember_release(&self, key: Key<'_>) {
        self.memory().released.insert((key.installation.clone(), key.job.clone()));
    }

    /// Lets a job get on until now, with everything it does outside; `None` when it is not there.
    pub(super) fn play(&self, key: Key<'_>) -> io::Result<Option<(Arc<Kept>, Played)>> {
        let Some(kept) = self.shelf().get(key)? else { return Ok(None) };
        let told = Told {
            stop: self.moment(key, mark::STOP)?,
            lost: self.moment(key, mark::LOST)?,
            preempted: self.moment(key, mark::PREEMPTED)?,
            paused: self.moment(key, mark::PAUSED)?,
        };
        let began = kept.submitted.checked_add(self.held(key)?).unwrap_or(kept.submitted);
        let played = play(key.job, &kept.plan, began, &told, self.now());
        for (name, effect) in &played.effects {
            if let Effect::Start(step) = effect {
                self.start_once(key, name, *step)?;
            } else {
                self.shelf().once(key, name, effect)?;
            }
        }
        Ok(Some((kept, played)))
    }

    fn start_once(&self, key: Key<'_>, name: &str, step: u32) -> io::Result<()> {
        // The mark lives as long as the job, the number for ever: a job that comes again after its release counts.
        let mut memory = self.memory();
        if self.shelf().marked(key, name)?.is_none() {
            self.shelf().mark(key, name, "")?;
            *memory.starts.entry((key.installation.clone(), key.job.clone(), step)).or_default() += 1;
        }
        Ok(())
    }

    /// Notes on a job that something was done to it now, after everything it has done until now.
    pub(super) fn mark_now(&self, key: Key<'_>, name: &str) -> io::Result<()> {
        self.play(key)?;
        self.shelf().mark(key, name, &self.now().to_string())
    }

    fn moment(&self, key: Key<'_>, name: &str) -> io::Result<Option<Timestamp>> {
        let text = self.shelf().marked(key, name)?;
        text.map(|text| text.parse().map_err(io::Error::other)).transpose()
    }

    fn held(&self, key: Key<'_>) -> io::Result<SignedDuration> {
        let text = self.shelf().marked(key, mark::HELD_MS)?;
        let ms: i64 = text.map_or(Ok(0), |text| text.parse()).map_err(io::Error::other)?;
        Ok(SignedDuration::from_millis(ms))
    }
}
