//! The work folder: one directory a job, made and removed in one move each.
//!
//! A directory is filled under a hidden name and then renamed, and renamed to a hidden name before it is
//! removed. What a crash leaves under a hidden name is swept.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Mode;
use tessera_contract::JobId;
use tessera_runtime::node::attempt::{self, Attempt, Keep};
use tessera_runtime::node::boot;
use tessera_runtime::node::settings::NodeSettings;
use tessera_runtime::plan::Plan;

const NEW: &str = ".new-";
const GONE: &str = ".gone-";

/// The folder that holds all jobs of one backend.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    work: PathBuf,
    turns: Arc<AtomicU64>,
}

impl Folder {
    /// Opens it, made if it is not there: readable by nobody else, with a FIFO that nodes ring.
    pub(crate) fn open(work: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(work)?;
        let work = work.canonicalize()?;
        fs::set_permissions(&work, fs::Permissions::from_mode(0o700))?;
        let bell = crate::job::bell_of(&work);
        match rustix::fs::mkfifoat(rustix::fs::CWD, &bell, Mode::from_raw_mode(0o600)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let folder = Self { work, turns: Arc::default() };
        for name in folder.hidden(NEW)? {
            fs::remove_dir_all(folder.work.join(name))?;
        }
        Ok(folder)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.work
    }

    /// A job's directory.
    pub(crate) fn attempt(&self, job: &JobId) -> Attempt {
        Attempt::at(self.work.join(job.as_str()))
    }

    /// Whether a job's directory is there.
    pub(crate) fn holds(&self, job: &JobId) -> io::Result<bool> {
        self.work.join(job.as_str()).try_exists()
    }

    /// Makes a job's directory; false when it was there.
    pub(crate) fn make(&self, job: &JobId, plan: &Plan, settings: &NodeSettings) -> io::Result<bool> {
        if self.holds(job)? {
            return Ok(false);
        }
        // Two who hand over the same job at once fill a directory each.
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let filling = self.work.join(format!("{NEW}{job}-{turn}"));
        DirBuilder::new().mode(0o700).create(&filling)?;
        let attempt = Attempt::at(&filling);
        attempt.replace(attempt::PLAN, plan, Keep::Durably)?;
        attempt.replace(attempt::SETTINGS, settings, Keep::Durably)?;
        boot::keep(&attempt)?;
        attempt::sync_dir(&filling)?;
        // Renaming onto a directory that is not empty fails, so the first one stays.
        match fs::rename(&filling, self.work.join(job.as_str())) {
            Ok(()) => attempt::sync_dir(&self.work).map(|()| true),
            Err(_) if self.holds(job)? => fs::remove_dir_all(&filling).map(|()| false),
            Err(e) => Err(e),
        }
    }

    /// Takes a job's directory out of sight; `None` when it was not there.
    pub(crate) fn put_away(&self, job: &JobId) -> io::Result<Option<Attempt>> {
        let away = self.work.join(format!("{GONE}{job}"));
        match fs::rename(self.work.join(job.as_str()), &away) {
            Ok(()) => Ok(Some(Attempt::at(away))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Removes what was put away. Commands have written there: it may be deeper than any stack.
    pub(crate) fn remove(away: &Attempt) -> io::Result<()> {
        tessera_runtime::remove::path(away.dir())
    }

    /// The jobs that were put away and are not removed yet.
    pub(crate) fn put_away_jobs(&self) -> io::Result<Vec<(JobId, Attempt)>> {
        let names = self.hidden(GONE)?.into_iter();
        Ok(names
            .filter_map(|name| Some((JobId::parse(name.strip_prefix(GONE)?)?, Attempt::at(self.work.join(&name)))))
            .collect())
    }

    /// Every job's id, sorted.
    pub(crate) fn jobs(&self) -> io::Result<Vec<JobId>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(&self.work)? {
            let entry = entry?;
            if entry.file_type()?.is_dir()
                && let Some(job) = entry.file_name().to_str().and_then(JobId::parse)
            {
                jobs.push(job);
            }
        }
        jobs.sort();
        Ok(jobs)
    }

    fn hidden(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.work)? {
            if let Ok(name) = entry?.file_name().into_string()
                && name.starts_with(prefix)
            {
                names.push(name);
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn documents() -> (Plan, NodeSettings) {
        let plan = r#"{"version":1,"job":"t-1","executors":[{"image":"a","command":["true"]}]}"#;
        let node =
            r#"{"version":1,"backend":"d","installation":"i","engine":{"host":"unix:///s"},"runtime_binary":"/r"}"#;
        (serde_json::from_str(plan).unwrap(), serde_json::from_str(node).unwrap())
    }

    #[test]
    fn the_first_one_stays_and_what_is_put_away_is_out_of_sight() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("work")).unwrap();
        let job = JobId::of_attempt("t", 1);
        let (mut plan, settings) = documents();
        assert!(folder.make(&job, &plan, &settings).unwrap());
        plan.executors[0].image = "b".into();
        assert!(!folder.make(&job, &plan, &settings).unwrap());
        let kept: Plan = folder.attempt(&job).read(attempt::PLAN).unwrap().unwrap();
        assert_eq!(kept.executors[0].image, "a");
        assert_eq!(folder.jobs().unwrap(), std::slice::from_ref(&job));

        let away = folder.put_away(&job).unwrap().unwrap();
        assert_eq!(folder.put_away(&job).unwrap(), None);
        assert_eq!(folder.jobs().unwrap(), []);
        assert_eq!(folder.put_away_jobs().unwrap(), [(job, away.clone())]);
        Folder::remove(&away).unwrap();
        Folder::remove(&away).unwrap();
        assert_eq!(folder.put_away_jobs().unwrap(), []);
    }

    #[test]
    fn nobody_else_looks_in_and_half_made_directories_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        let folder = Folder::open(&work).unwrap();
        assert_eq!(fs::metadata(&work).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(work.join(".new-t-2")).unwrap();
        fs::create_dir(work.join("Not A Job")).unwrap();
        Folder::open(&work).unwrap();
        assert!(!work.join(".new-t-2").exists());
        assert_eq!(folder.jobs().unwrap(), []);
    }

    #[test]
    fn secrets_are_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let (plan, settings) = documents();
        let job = JobId::of_attempt("t", 1);
        folder.make(&job, &plan, &settings).unwrap();
        let file = folder.attempt(&job).file(attempt::SETTINGS);
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
