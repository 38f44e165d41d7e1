//! What steps print. The wrapper writes its frames to its own standard output, too, each as one line: nodes keep logs
//! line by line. Here the lines become frames again, spooled while somebody reads, and read with the same words as
//! everywhere.
//!
//! - While a container runs, its log is followed for as long as somebody asks for it.
//! - When it has ended, its log is read once more, from the start to the end: the end of a stream that was followed is
//!   not the end of the log.
//! - Before a job is stopped, what it has printed is read here ([`Printed::keep`]), because its pod will go.
//!
//! Parts: [`spool`]: one log, and how reading it again adds to it.

mod spool;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tessera_contract::{BackendError, JobId, LogChunk, Stream};
use tessera_runtime::pod::places::EXECUTOR;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::status::pod::{self, Look};
use crate::view::PodSeen;
use spool::{Filling, Spool};

/// Logs that are followed at once.
const FOLLOWED: usize = 64;
/// Spools at once, without those that are kept; beyond, the one that was not asked for the longest goes.
const SPOOLS: usize = 256;
/// Jobs whose spools are kept at once; the others' logs go with their pods.
const KEPT: usize = 1_024;
/// A spool that nobody has asked for so long is dropped.
const UNUSED: Duration = Duration::from_secs(30);
/// A log that comes no further for so long is at its end for now.
const QUIET: Duration = Duration::from_millis(250);
/// How long one answer waits for a log.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two readings of the same log of a container that runs.
const AGAIN: Duration = Duration::from_secs(1);
/// Bytes that are taken from a log at once.
const PIECE: usize = 64 * 1024;

/// Whose log is asked for, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    /// The job.
    pub(crate) job: &'a JobId,
    /// The cluster has it, or had it until now and nobody has released it.
    pub(crate) there: bool,
    /// Nothing of it runs, and nothing will.
    pub(crate) over: bool,
    /// Its pod, as it was seen last.
    pub(crate) pod: Option<&'a PodSeen>,
}

/// Reads what steps print.
#[derive(Debug)]
pub(crate) struct Printed {
    folder: PathBuf,
    spools: Mutex<Spools>,
    followers: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Spools {
    of: HashMap<(JobId, u32), Arc<Spool>>,
    kept: HashSet<JobId>,
}

impl Printed {
    /// Spools go below a folder, which is made.
    pub(crate) fn open(folder: &Path) -> io::Result<Arc<Self>> {
        std::fs::create_dir_all(folder)?;
        let followers = Arc::new(Semaphore::new(FOLLOWED));
        Ok(Arc::new(Self { folder: folder.to_owned(), spools: Mutex::default(), followers }))
    }

    /// What a step has printed from an offset on.
    pub(crate) async fn read(
        self: &Arc<Self>,
        pods: &Api<Pod>,
        of: Of<'_>,
        step: u32,
        stream: Stream,
        from: u64,
    ) -> Result<LogChunk, BackendError> {
        self.sweep();
        let nothing = |ended| Ok(LogChunk { bytes: Vec::new(), next: from, more: false, ended });
        if !of.there && !self.keeps(of.job) {
            return Err(BackendError::Rejected(format!("there is no job {}", of.job)));
        }
        let here = of.pod.filter(|pod| of.there && !pod.gone);
        let Some(seen) = here else {
            return match self.known(of.job, step) {
                Some(spool) => answer(spool, stream, from, true).await,
                // It was looked at in time, and had printed nothing.
                None if self.keeps(of.job) => nothing(true),
                None if !of.over && of.pod.is_none() => nothing(false),
                None if of.pod.is_some_and(|pod| !began(pod, step)) => nothing(true),
                None => Err(gone(of.job, step)),
            };
        };
        if !began(seen, step) {
            return nothing(of.over || Look::at(seen).is_over());
        }
        // Asked before reading: what comes after the end was seen cannot be missed.
        let look = Look::at(seen);
        let ended = look.executor(step).is_some_and(|container| pod::terminated(container).is_some());
        let spool = self.spool(of.job, step).map_err(|error| disk(&self.folder, &error))?;
        let filled = timeout(ANSWER, self.fill(pods, &seen.name, step, &spool, ended)).await;
        match filled.unwrap_or_else(|_| Err(late(&seen.name, step))) {
            Ok(()) => {}
            // The pod went in between, or its containers did before it; what was read is what there is.
            Err(BackendError::Rejected(_)) if spool.kept.load(Ordering::Relaxed) => {
                return answer(spool, stream, from, true).await;
            }
            Err(_) if ended && spool.kept.load(Ordering::Relaxed) && spool.taken.load(Ordering::Relaxed) => {
                return answer(spool, stream, from, true).await;
            }
            Err(error) => return Err(error),
        }
        let over = spool.whole.load(Ordering::Acquire);
        answer(spool, stream, from, over).await
    }

    /// Reads what the steps of a job have printed so far, because its pod will go; takes no longer than `within`. What
    /// is read stays until [`Self::forget`]; what they still print is followed to its end.
    pub(crate) async fn keep(self: &Arc<Self>, pods: &Api<Pod>, job: &JobId, seen: Option<&PodSeen>, within: Duration) {
        let known = {
            let mut spools = self.lock();
            spools.kept.contains(job) || (spools.kept.len() < KEPT && spools.kept.insert(job.clone()))
        };
        let Some(seen) = seen.filter(|seen| known && !seen.gone) else { return };
        let look = Look::at(seen);
        let steps: Vec<u32> = look.executors().filter_map(pod::index).filter(|step| began(seen, *step)).collect();
        let reads = steps.into_iter().map(|step| async move {
            let Ok(spool) = self.spool(job, step) else { return };
            spool.kept.store(true, Ordering::Relaxed);
            let ended = look.executor(step).is_some_and(|container| pod::terminated(container).is_some());
            if let Err(error) = self.fill(pods, &seen.name, step, &spool, ended).await {
                tracing::warn!(%job, step, %error, "what a step printed could not be read before its pod goes");
            }
        });
        if timeout(within, futures::future::join_all(reads)).await.is_err() {
            tracing::warn!(%job, "what its steps printed could not all be read before its pod goes");
        }
    }

    /// A job is released.
    pub(crate) fn forget(&self, job: &JobId) {
        let mut spools = self.lock();
        spools.of.retain(|(known, _), _| known != job);
        spools.kept.remove(job);
    }

    /// Sees to it that a spool holds all that the log of a container held when this was called.
    async fn fill(
        self: &Arc<Self>,
        pods: &Api<Pod>,
        pod: &str,
        step: u32,
        spool: &Arc<Spool>,
        ended: bool,
    ) -> Result<(), BackendError> {
        if spool.whole.load(Ordering::Acquire) {
            return Ok(());
        }
        if ended {
            spool.over.store(true, Ordering::Release);
            let _turn = spool.filling.lock().await;
            if !spool.whole.load(Ordering::Acquire) {
                pour(pods, pod, step, spool, false).await?;
                spool.whole.store(true, Ordering::Release);
            }
            return Ok(());
        }
        if spool.followed.load(Ordering::Acquire) {
            return Ok(());
        }
        let often = spool.filled_before_ms().is_some_and(|ago| u128::from(ago) < AGAIN.as_millis());
        if often {
            return Ok(());
        }
        spool.begin_filling();
        let Ok(permit) = Arc::clone(&self.followers).try_acquire_owned() else {
            let _turn = spool.filling.lock().await;
            return pour(pods, pod, step, spool, false).await;
        };
        let mut grows = spool.grows();
        spool.followed.store(true, Ordering::Release);
        let (pods, pod, held) = (pods.clone(), pod.to_owned(), Arc::clone(spool));
        let follower = tokio::spawn(async move {
            let poured = {
                let _turn = held.filling.lock().await;
                tokio::select! {
                    poured = pour(&pods, &pod, step, &held, true) => poured,
                    () = unused(&held) => Ok(()),
                }
            };
            held.followed.store(false, Ordering::Release);
            drop(permit);
            poured
        });
        // Until nothing more comes at once, or the following has ended.
        let quiet = async { while let Ok(Ok(())) = timeout(QUIET, grows.changed()).await {} };
        tokio::pin!(quiet);
        tokio::select! {
            ended = follower => ended.unwrap_or(Ok(())),
            () = &mut quiet => Ok(()),
        }
    }

    fn spool(&self, job: &JobId, step: u32) -> io::Result<Arc<Spool>> {
        let mut spools = self.lock();
        if let Some(spool) = spools.of.get(&(job.clone(), step)) {
            spool.touch();
            return Ok(Arc::clone(spool));
        }
        let passing = |spool: &Spool| !spool.kept.load(Ordering::Relaxed);
        if spools.of.values().filter(|spool| passing(spool)).count() >= SPOOLS {
            let oldest = spools.of.iter().filter(|(_, spool)| passing(spool)).max_by_key(|(_, spool)| spool.idle_ms());
            let oldest = oldest.map(|(of, _)| of.clone());
            oldest.and_then(|oldest| spools.of.remove(&oldest));
        }
        let spool = Arc::new(Spool::new(&self.folder)?);
        spool.kept.store(spools.kept.contains(job), Ordering::Relaxed);
        spools.of.insert((job.clone(), step), Arc::clone(&spool));
        Ok(spool)
    }

    fn known(&self, job: &JobId, step: u32) -> Option<Arc<Spool>> {
        let spool = self.lock().of.get(&(job.clone(), step)).cloned()?;
        spool.touch();
        Some(spool)
    }

    fn keeps(&self, job: &JobId) -> bool {
        self.lock().kept.contains(job)
    }

    /// Drops what nobody has asked for. Called whenever somebody asks for anything, and by whoever looks after the
    /// backend now and then.
    pub(crate) fn sweep(&self) {
        self.lock()
            .of
            .retain(|_, spool| spool.kept.load(Ordering::Relaxed) || u128::from(spool.idle_ms()) < UNUSED.as_millis());
    }

    fn lock(&self) -> MutexGuard<'_, Spools> {
        self.spools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when nobody has asked for a spool for long. One that is kept is followed to its end. Whose container has
/// ended is read once more anyway.
async fn unused(spool: &Spool) {
    loop {
        tokio::time::sleep(AGAIN).await;
        if spool.over.load(Ordering::Acquire) {
            return;
        }
        if !spool.kept.load(Ordering::Relaxed) && u128::from(spool.idle_ms()) >= UNUSED.as_millis() {
            return;
        }
    }
}

/// Reads the log of a container into a spool, to the end of what there is or for as long as it is written.
async fn pour(pods: &Api<Pod>, pod: &str, step: u32, spool: &Spool, follow: bool) -> Result<(), BackendError> {
    let params = LogParams { container: Some(format!("{EXECUTOR}{step}")), follow, ..LogParams::default() };
    let mut log = match pods.log_stream(pod, &params).await {
        Ok(log) => log,
        Err(error) => return sorted(pod, step, error),
    };
    let mut filling = Filling::into(spool);
    let mut piece = vec![0; PIECE];
    loop {
        let broke_off = |error| unavailable(pod, step, &error);
        match log.read(&mut piece).await.map_err(broke_off)? {
            0 => return Ok(()),
            read => filling.take(&piece[..read]).map_err(|error| unavailable(pod, step, &error))?,
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm)] // kube::Error grows.
fn sorted(pod: &str, step: u32, error: kube::Error) -> Result<(), BackendError> {
    match &error {
        kube::Error::Api(status) if status.code == 404 => Err(BackendError::Rejected(format!(
            "the log of executor {step} is gone with its pod `{pod}`: {}",
            status.message
        ))),
        kube::Error::Api(status) if status.code == 403 => Err(BackendError::Misconfigured(format!(
            "the log of executor {step} in pod `{pod}` may not be read: {}; give the server `get` on `pods/log`",
            status.message
        ))),
        // The node has not made the container yet.
        kube::Error::Api(status) if status.code == 400 && status.message.contains("waiting to start") => Ok(()),
        other => Err(unavailable(pod, step, other)),
    }
}

fn unavailable(pod: &str, step: u32, error: &dyn std::fmt::Display) -> BackendError {
    BackendError::Unavailable(format!("the log of executor {step} in pod `{pod}` cannot be read now: {error}"))
}

fn late(pod: &str, step: u32) -> BackendError {
    unavailable(pod, step, &format!("no answer within {} s", ANSWER.as_secs()))
}

fn gone(job: &JobId, step: u32) -> BackendError {
    BackendError::Rejected(format!("the pod of job {job} is gone, and the log of executor {step} with it"))
}

fn disk(folder: &Path, error: &io::Error) -> BackendError {
    BackendError::Unavailable(format!("a log cannot be kept for reading below {}: {error}", folder.display()))
}

/// Whether the container of a step was ever started.
fn began(seen: &PodSeen, step: u32) -> bool {
    let look = Look::at(seen);
    look.executor(step).is_some_and(|container| match pod::terminated(container) {
        Some(end) => !pod::never_began(end),
        None => look.running(&container.name).is_some() || container.restart_count > 0,
    })
}

async fn answer(spool: Arc<Spool>, stream: Stream, from: u64, over: bool) -> Result<LogChunk, BackendError> {
    spool.touch();
    let read = tokio::task::spawn_blocking(move || spool.read(stream, from, over)).await;
    let failed = |error: &dyn std::fmt::Display| BackendError::Unavailable(format!("a log kept for reading: {error}"));
    read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}
