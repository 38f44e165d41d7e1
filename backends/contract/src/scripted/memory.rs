//! Jobs kept in memory: as fast as it gets, gone with the process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::play::Effect;
use super::shelf::{Kept, Key, Shelf, append};
use crate::{InstallationId, JobId};

/// Jobs in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    jobs: HashMap<InstallationId, BTreeMap<JobId, Entry>>,
    counts: HashMap<String, usize>,
}

#[derive(Debug)]
struct Entry {
    kept: Arc<Kept>,
    marks: HashMap<String, String>,
    done: HashSet<String>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn entry(&mut self, key: Key<'_>) -> Option<&mut Entry> {
        self.jobs.get_mut(key.installation)?.get_mut(key.job)
    }
}

impl Shelf for Memory {
    fn put(&self, key: Key<'_>, kept: Kept) -> io::Result<()> {
        let mut inner = self.lock();
        let jobs = inner.jobs.entry(key.installation.clone()).or_default();
        jobs.entry(key.job.clone()).or_insert_with(|| Entry {
            kept: Arc::new(kept),
            marks: HashMap::new(),
            done: HashSet::new(),
        });
        Ok(())
    }

    fn get(&self, key: Key<'_>) -> io::Result<Option<Arc<Kept>>> {
        Ok(self.lock().entry(key).map(|entry| entry.kept.clone()))
    }

    fn mark(&self, key: Key<'_>, name: &str, text: &str) -> io::Result<()> {
        if let Some(entry) = self.lock().entry(key) {
            entry.marks.entry(name.to_owned()).or_insert_with(|| text.to_owned());
        }
        Ok(())
    }

    fn marked(&self, key: Key<'_>, name: &str) -> io::Result<Option<String>> {
        Ok(self.lock().entry(key).and_then(|entry| entry.marks.get(name).cloned()))
    }

    fn unmark(&self, key: Key<'_>, name: &str) -> io::Result<()> {
        if let Some(entry) = self.lock().entry(key) {
            entry.marks.remove(name);
        }
        Ok(())
    }

    fn once(&self, key: Key<'_>, name: &str, effect: &Effect) -> io::Result<()> {
        let mut inner = self.lock();
        let first = inner.entry(key).is_some_and(|entry| entry.done.insert(name.to_owned()));
        if !first {
            return Ok(());
        }
        match effect {
            Effect::Start(_) => Ok(()),
            Effect::Append { file, line } => append(Path::new(file), line),
            Effect::Count(mark) => {
                *inner.counts.entry(mark.clone()).or_default() += 1;
                Ok(())
            }
        }
    }

    fn remove(&self, key: Key<'_>) -> io::Result<()> {
        if let Some(jobs) = self.lock().jobs.get_mut(key.installation) {
            jobs.remove(key.job);
        }
        Ok(())
    }

    fn list(&self, installation: &InstallationId, after: Option<&JobId>, limit: usize) -> io::Result<Vec<JobId>> {
        let inner = self.lock();
        let Some(jobs) = inner.jobs.get(installation) else { return Ok(Vec::new()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(jobs.range::<JobId, _>((from, Bound::Unbounded)).take(limit).map(|(job, _)| job.clone()).collect())
    }

    fn counted(&self, mark: &str) -> io::Result<usize> {
        Ok(self.lock().counts.get(mark).copied().unwrap_or_default())
    }
}
