//! Looking after the nodes: what the contract's verbs do with an attempt's directory.
//!
//! What touches only files runs as plain code on a blocking thread; the engine is asked only before a job is
//! accepted, and for containers whose node is gone.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tessera_contract::{BackendError, Bell, Handle, JobId};
use tessera_runtime::node::attempt::{self, Attempt};
use tessera_runtime::node::engine::Engine;
use tessera_runtime::node::lock::{self, Holder, Lock};
use tessera_runtime::node::settings::NodeSettings;
use tessera_runtime::plan::Plan;
use tessera_runtime::report::{Progress, Report};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::folder::Folder;
use crate::job::Setting;
use crate::node::{self, Next, Starts};
use crate::registry::DockerFile;
use crate::status::Evidence;

/// How long an answer of the engine is believed.
const ANSWER_LASTS: Duration = Duration::from_secs(2);
/// How long the engine is given to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One backend's jobs.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) setting: Setting,
    pub(crate) folder: Folder,
    pub(crate) engine: Engine,
    pub(crate) logins: DockerFile,
    bell: Bell,
    /// When the engine answered last, and which API it speaks.
    answered: tokio::sync::Mutex<Option<(Instant, String)>>,
    /// Jobs that are being taken down or given up in the background.
    in_hand: Mutex<HashSet<JobId>>,
    /// Jobs being accepted, by number; an accept goes on when its caller gives up.
    accepting: tokio::sync::watch::Sender<Accepting>,
}

/// The accepts under way, and how many there ever were.
#[derive(Debug, Default)]
struct Accepting {
    under_way: BTreeSet<u64>,
    ever: u64,
}

/// One accept under way, until dropped.
#[derive(Debug)]
struct UnderWay {
    watch: Arc<Watch>,
    number: u64,
}

impl UnderWay {
    fn begin(watch: &Arc<Watch>) -> Self {
        let mut number = 0;
        watch.accepting.send_modify(|accepting| {
            number = accepting.ever;
            accepting.ever += 1;
            accepting.under_way.insert(number);
        });
        Self { watch: watch.clone(), number }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.watch.accepting.send_modify(|accepting| {
            accepting.under_way.remove(&self.number);
        });
    }
}

/// Rings the bell whenever a node rings the FIFO.
pub(crate) fn listen(fifo: &Path, bell: Bell) -> io::Result<tokio::task::AbortHandle> {
    // Open for both ends, so that it never reads as closed when the last node goes.
    let mut nodes = pipe::OpenOptions::new().read_write(true).open_receiver(fifo)?;
    let task = tokio::spawn(async move {
        let mut rings = [0; 512];
        while let Ok(1..) = nodes.read(&mut rings).await {
            bell.ring();
        }
    });
    Ok(task.abort_handle())
}

impl Watch {
    /// What is rung when a job may have changed.
    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    pub(crate) fn new(setting: Setting, folder: Folder, engine: Engine, logins: DockerFile, bell: Bell) -> Self {
        Self {
            setting,
            folder,
            engine,
            logins,
            bell,
            answered: tokio::sync::Mutex::default(),
            in_hand: Mutex::default(),
            accepting: tokio::sync::watch::Sender::default(),
        }
    }

    /// Runs what touches files on a thread that may wait for a disk.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(&Arc<Self>) -> T + Send + 'static,
    ) -> Result<T, BackendError> {
        let watch = self.clone();
        let task = tokio::task::spawn_blocking(move || what(&watch));
        task.await.map_err(|e| BackendError::Unavailable(format!("the work broke off: {e}")))
    }

    /// The API version of an engine that answers; asked at most every two seconds.
    pub(crate) async fn engine_answers(&self) -> Result<String, BackendError> {
        let mut answered = self.answered.lock().await;
        if let Some((at, api)) = &*answered
            && at.elapsed() < ANSWER_LASTS
        {
            return Ok(api.clone());
        }
        *answered = None;
        let asked = async {
            self.engine.ping().await?;
            self.engine.api().await
        };
        match tokio::time::timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(api)) => {
                *answered = Some((Instant::now(), api.clone()));
                Ok(api)
            }
            Ok(Err(error)) => Err(self.unreachable(&error.to_string())),
            Err(_) => Err(self.unreachable(&format!("no answer in {} s", ANSWER_WITHIN.as_secs()))),
        }
    }

    pub(crate) fn unreachable(&self, words: &str) -> BackendError {
        BackendError::Unavailable(format!(
            "the container engine of `{}` at {} does not answer: {words}; start it, or set `host` of the backend",
            self.setting.name,
            self.setting.config.engine_host()
        ))
    }

    /// Accepts a job on a thread of its own. It goes on when the caller gives up, and [`Self::settled`] waits for it.
    pub(crate) async fn accept_to_the_end(
        self: &Arc<Self>,
        job: JobId,
        plan: Plan,
        settings: NodeSettings,
    ) -> Result<(), BackendError> {
        let under_way = UnderWay::begin(self);
        self.blocking(move |watch| {
            let accepted = watch.accept(&job, &plan, &settings);
            drop(under_way);
            accepted
        })
        .await?
    }

    /// Returns when every accept that is under way now has come to its end: what was handed over is to be found then.
    pub(crate) async fn settled(&self) {
        let mut accepting = self.accepting.subscribe();
        let before = accepting.borrow().ever;
        let _ = accepting.wait_for(|now| now.under_way.first().is_none_or(|oldest| *oldest >= before)).await;
    }

    /// Makes a job's directory and starts its node; a job that is there is left as it is, but not without node.
    fn accept(&self, job: &JobId, plan: &Plan, settings: &NodeSettings) -> Result<(), BackendError> {
        let attempt = self.folder.attempt(job);
        if self.in_hand().contains(job) {
            return Err(BackendError::Unavailable(format!("job {job} is still being taken down")));
        }
        let made = self.folder.make(job, plan, settings).map_err(|e| disk("making", &attempt, &e))?;
        let started = self.start_unless_attended(&attempt, None);
        started.map(drop).map_err(|error| {
            if made {
                // Refused as a whole: nobody will ask for it again.
                let _ = self.folder.put_away(job).map(|away| away.map(|away| Folder::remove(&away)));
            }
            self.cannot_start(&error)
        })
    }

    #[allow(clippy::wildcard_enum_match_arm)] // io::ErrorKind is open.
    fn cannot_start(&self, error: &io::Error) -> BackendError {
        let runtime = self.setting.runtime_binary.display();
        let advice = match error.kind() {
            io::ErrorKind::PermissionDenied => "; its directory must not be mounted noexec",
            io::ErrorKind::NotFound => "; lay it out again",
            _ => {
                return BackendError::Unavailable(format!("starting a node with {runtime} failed: {error}"));
            }
        };
        BackendError::Misconfigured(format!("starting a node with {runtime} failed: {error}{advice}"))
    }

    /// Starts a node unless one lives or the job has ended; true when it did. The count is kept before the start,
    /// so that no start goes uncounted: on a full disk nothing is started.
    fn start_unless_attended(&self, attempt: &Attempt, count: Option<&Starts>) -> io::Result<bool> {
        let Some(lock) = Lock::take(&attempt.file(attempt::LOCK))? else {
            return Ok(false);
        };
        // Looked at with the lock in hand: a node writes its report before it lets go.
        if attempt.has(attempt::REPORT)? {
            return Ok(false);
        }
        if let Some(count) = count {
            count.keep(attempt)?;
        }
        node::start(&self.setting.runtime_binary, attempt, lock, &self.bell)?;
        Ok(true)
    }

    /// What is to be found of a job. A node that has died without a report is started again.
    pub(crate) fn look_at(self: &Arc<Self>, handle: &Handle) -> Evidence {
        let Some(job) = job_of(handle) else {
            return Evidence::Missing;
        };
        let attempt = self.folder.attempt(&job);
        match self.find_evidence(&job, &attempt) {
            Ok(evidence) => evidence,
            Err(_) if matches!(attempt.dir().try_exists(), Ok(false)) => Evidence::Missing,
            Err(error) => Evidence::Unreadable(format!("{}: {error}", attempt.dir().display())),
        }
    }

    fn find_evidence(self: &Arc<Self>, job: &JobId, attempt: &Attempt) -> io::Result<Evidence> {
        if !attempt.dir().try_exists()? {
            return Ok(Evidence::Missing);
        }
        if let Some(report) = read_report(attempt)? {
            return Ok(Evidence::Reported(report));
        }
        let progress = read_progress(attempt)?;
        if lock::is_held(&attempt.file(attempt::LOCK))? {
            return Ok(Evidence::Attended(progress));
        }
        // The node may have reported and gone since the first look.
        if let Some(report) = read_report(attempt)? {
            return Ok(Evidence::Reported(report));
        }
        let reason = self.start_again(job, attempt)?;
        Ok(Evidence::Unattended { progress, reason })
    }

    /// Starts a node again, unless too many have died; answers why it does not run at once.
    fn start_again(self: &Arc<Self>, job: &JobId, attempt: &Attempt) -> io::Result<Option<String>> {
        let plan = read(attempt, attempt::PLAN, Plan::read)?;
        let steps = plan.map_or(0, |plan| u32::try_from(plan.executors.len()).unwrap_or(u32::MAX));
        let done = node::done(attempt, steps);
        let bound = self.setting.config.node_restarts;
        match Starts::of(attempt)?.next(done, Timestamp::now(), bound) {
            Next::Start(starts) => {
                if self.start_unless_attended(attempt, Some(&starts))? {
                    tracing::info!(%job, "the node had died and was started again");
                }
                Ok(None)
            }
            Next::Wait(pause) => {
                let bell = self.bell.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    bell.ring();
                });
                let words = node::last_words(attempt);
                Ok(Some(format!("the node process died ({words}) and is started again soon")))
            }
            Next::GiveUp => {
                let words = node::last_words(attempt);
                let reason = format!(
                    "the node process died {} times without getting anywhere; its last words: {words}",
                    bound + 1
                );
                self.clone().give_up_later(job.clone(), attempt.clone(), steps, reason.clone());
                Ok(Some(reason))
            }
        }
    }

    /// Writes the request to stop and tells the node; one that has died is started to see it.
    pub(crate) fn cancel(self: &Arc<Self>, handle: &Handle) -> Result<(), BackendError> {
        let Some(job) = job_of(handle) else {
            return Ok(());
        };
        let attempt = self.folder.attempt(&job);
        let asked = (|| {
            if !attempt.dir().try_exists()? || attempt.has(attempt::REPORT)? {
                return Ok(());
            }
            if !attempt.has(attempt::CANCEL)? {
                attempt.make_mark(attempt::CANCEL)?;
            }
            let lock = attempt.file(attempt::LOCK);
            if let Some(holder) = Holder::of(&lock)? {
                return holder.wake();
            }
            // A node that holds the lock and cannot be signalled yet looks for the request once it can.
            if lock::is_held(&lock)? {
                return Ok(());
            }
            // Counted like any other start. The request itself lets the first one go at once.
            self.start_again(&job, &attempt).map(drop)
        })();
        match asked {
            Err(_) if matches!(attempt.dir().try_exists(), Ok(false)) => Ok(()),
            asked => asked.map_err(|e| disk("stopping", &attempt, &e)),
        }
    }

    pub(crate) fn in_hand(&self) -> MutexGuard<'_, HashSet<JobId>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job a handle stands for; `None` for a text that was never one of our handles.
pub(crate) fn job_of(handle: &Handle) -> Option<JobId> {
    JobId::parse(&handle.0)
}

/// An error of the disk below a job, as the engine is told it.
#[allow(clippy::wildcard_enum_match_arm)] // io::ErrorKind is open; any other error may pass by itself.
pub(crate) fn disk(what: &str, attempt: &Attempt, error: &io::Error) -> BackendError {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    let advice = match error.kind() {
        StorageFull | QuotaExceeded => "; make room there",
        ReadOnlyFilesystem => "; it is mounted read-only",
        _ => "",
    };
    BackendError::Unavailable(format!("{what} the job in {} failed: {error}{advice}", attempt.dir().display()))
}

pub(crate) fn read_report(attempt: &Attempt) -> io::Result<Option<Report>> {
    read(attempt, attempt::REPORT, Report::read)
}

/// The progress. What a power loss left empty or in pieces counts as absent: the next node writes it again.
pub(crate) fn read_progress(attempt: &Attempt) -> io::Result<Option<Progress>> {
    match read(attempt, attempt::PROGRESS, Progress::read) {
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(None),
        progress => progress,
    }
}

pub(crate) fn read<T, E: std::fmt::Display>(
    attempt: &Attempt,
    name: &str,
    parse: impl Fn(&[u8]) -> Result<T, E>,
) -> io::Result<Option<T>> {
    match std::fs::read(attempt.file(name)) {
        Ok(bytes) => parse(&bytes).map(Some).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn watch(dir: &Path) -> Arc<Watch> {
        let folder = Folder::open(dir).unwrap();
        let setting = Setting {
            name: "docker".into(),
            config: crate::config::DockerConfig::default(),
            installation: tessera_contract::InstallationId("test".into()),
            runtime_binary: "/bin/false".into(),
            bell: crate::job::bell_of(dir),
        };
        let logins = DockerFile::read(&setting.config).unwrap();
        let host = setting.config.engine_host();
        let engine = Engine::at(tessera_runtime::node::settings::EngineSettings { host, api: None });
        Arc::new(Watch::new(setting, folder, engine, logins, Bell::default()))
    }

    #[tokio::test]
    async fn an_accept_under_way_is_waited_for_but_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let watch = watch(dir.path());
        watch.settled().await;
        let first = UnderWay::begin(&watch);
        let mut settled = std::pin::pin!(watch.settled());
        assert!(futures_are_pending(settled.as_mut()).await);
        let _second = UnderWay::begin(&watch);
        drop(first);
        settled.await;
    }

    async fn futures_are_pending(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        let mut future = future;
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    #[test]
    fn a_progress_in_pieces_counts_as_absent() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        for text in ["", r#"{"version":1,"#] {
            std::fs::write(attempt.file(attempt::PROGRESS), text).unwrap();
            assert_eq!(read_progress(&attempt).unwrap(), None, "{text}");
        }
        std::fs::write(attempt.file(attempt::PROGRESS), r#"{"version":1,"job":"t-1","began":"2026-01-01T00:00:00Z"}"#)
            .unwrap();
        assert!(read_progress(&attempt).unwrap().is_some());
    }
}
