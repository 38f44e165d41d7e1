//! A backend whose jobs print and end when a test says so. Cloning it is looking at the same jobs: it outlives servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tessera_contract::{
    Backend, BackendError, Bell, Capacity, Finding, Handle, Inventoried, InventoryPage, Job, JobId, LogChunk,
    Observation, Profile, Stream,
};
use tessera_runtime::report::{Fault, FaultClass, Outcome, Progress, REPORT_VERSION, Report, StepReport};
use tokio::sync::watch;

/// Bytes of one answer: small, so that there are many.
const CHUNK: usize = 64 * 1024;
/// The end of a stream that goes into the report.
const TAIL: usize = 100;

#[derive(Clone)]
pub struct Press {
    profile: Arc<Profile>,
    bell: Bell,
    jobs: Arc<Mutex<BTreeMap<String, Printing>>>,
    broken: Arc<Mutex<bool>>,
    jammed: Arc<Mutex<BTreeSet<String>>>,
    walks: watch::Sender<u64>,
}

#[derive(Default)]
struct Printing {
    steps: Vec<Printed>,
    outcome: Option<Outcome>,
    stopped: bool,
    /// How it ends when it is stopped, if otherwise than by that.
    last: Option<Outcome>,
}

#[derive(Default, Clone)]
struct Printed {
    /// Offset and bytes of each piece, without overlap.
    streams: [Vec<(u64, Vec<u8>)>; 2],
    exit_code: Option<i32>,
}

impl Printed {
    fn of(&mut self, stream: Stream) -> &mut Vec<(u64, Vec<u8>)> {
        &mut self.streams[usize::from(stream == Stream::Stderr)]
    }

    fn tail(&self, stream: usize) -> (String, bool) {
        let all: Vec<u8> = self.streams[stream].iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let tail = String::from_utf8_lossy(&all[all.len().saturating_sub(TAIL)..]).into_owned();
        let whole = tail.as_bytes() == all;
        (tail, whole)
    }
}

impl Press {
    pub fn new() -> Self {
        let profile = Profile {
            name: "press".to_owned(),
            kind: "press",
            local: false,
            capacity: Capacity::default(),
            parameters: Vec::new(),
            stops_within: Duration::from_secs(1),
        };
        Self {
            profile: Arc::new(profile),
            bell: Bell::default(),
            jobs: Arc::default(),
            broken: Arc::default(),
            jammed: Arc::default(),
            walks: watch::Sender::default(),
        }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Printing>> {
        self.jobs.lock().unwrap()
    }

    fn change(&self, job: &str, change: impl FnOnce(&mut Printing)) {
        change(self.jobs().get_mut(job).unwrap_or_else(|| panic!("there is no job {job}")));
        self.bell.ring();
    }

    /// A command prints.
    pub fn print(&self, job: &str, step: usize, stream: Stream, bytes: &[u8]) {
        self.change(job, |job| {
            let printed = job.steps[step].of(stream);
            let next = printed.last().map_or(0, |(at, bytes)| at + bytes.len() as u64);
            printed.push((next, bytes.to_vec()));
        });
    }

    /// So many bytes of what a command printed were not kept, then this.
    pub fn print_behind(&self, job: &str, step: usize, stream: Stream, missing: u64, bytes: &[u8]) {
        self.change(job, |job| {
            let printed = job.steps[step].of(stream);
            let next = printed.last().map_or(0, |(at, bytes)| at + bytes.len() as u64);
            printed.push((next + missing, bytes.to_vec()));
        });
    }

    /// A command ends.
    pub fn end_step(&self, job: &str, step: usize, exit_code: i32) {
        self.change(job, |job| job.steps[step].exit_code = Some(exit_code));
    }

    /// A job ends.
    pub fn end(&self, job: &str, outcome: Outcome) {
        self.change(job, |job| job.outcome = Some(outcome));
    }

    /// Somebody else removes a job with all that it printed.
    pub fn remove(&self, job: &str) {
        self.jobs().remove(job);
        self.bell.ring();
    }

    /// A job ends so by itself at the moment in which it is to be stopped.
    pub fn end_when_stopped(&self, job: &str, outcome: Outcome) {
        self.change(job, |job| job.last = Some(outcome));
    }

    /// The log of one job cannot be read.
    pub fn jam(&self, job: &str) {
        self.jammed.lock().unwrap().insert(job.to_owned());
    }

    /// Logs cannot be read, or can again.
    pub fn set_broken(&self, broken: bool) {
        *self.broken.lock().unwrap() = broken;
    }

    /// Returns when somebody has gone through all jobs, from the first to the last, so many times more.
    pub async fn walked(&self, times: u64) {
        let mut walks = self.walks.subscribe();
        let wanted = *walks.borrow() + times;
        walks.wait_for(|walks| *walks >= wanted).await.unwrap();
    }

    /// Whether a job is held.
    pub fn holds(&self, job: &str) -> bool {
        self.jobs().contains_key(job)
    }

    /// A fault after which an attempt is repeated.
    pub fn lost() -> Outcome {
        Outcome::Failed(Fault {
            class: FaultClass::Lost,
            message: "the node is gone".to_owned(),
            user_code_started: true,
        })
    }
}

fn see(id: &str, job: &Printing) -> Observation {
    let at = Timestamp::UNIX_EPOCH;
    let steps: Vec<StepReport> = (0..)
        .zip(&job.steps)
        .filter_map(|(step, printed)| {
            let ((stdout_tail, stdout_whole), (stderr_tail, stderr_whole)) = (printed.tail(0), printed.tail(1));
            let exit_code = printed.exit_code?;
            Some(StepReport {
                step,
                exit_code,
                started: at,
                ended: at,
                stdout_tail,
                stderr_tail,
                stdout_whole,
                stderr_whole,
            })
        })
        .collect();
    let outcome = match (&job.outcome, job.stopped) {
        (Some(outcome), _) => outcome.clone(),
        (None, true) => Outcome::Canceled,
        (None, false) => {
            let (version, job, started) = (REPORT_VERSION, id.to_owned(), Some(at));
            return Observation::Working(Progress {
                version,
                job,
                began: at,
                started,
                steps,
                notes: Vec::new(),
                doing: None,
            });
        }
    };
    Observation::Ended(Report {
        version: REPORT_VERSION,
        job: id.to_owned(),
        started: Some(at),
        outcome,
        began: at,
        ended: at,
        steps,
        outputs: Vec::new(),
        notes: Vec::new(),
        metadata: BTreeMap::new(),
    })
}

#[async_trait]
impl Backend for Press {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn bell(&self) -> Option<&Bell> {
        Some(&self.bell)
    }

    async fn submit(&self, job: &Job) -> Result<Handle, BackendError> {
        let fresh = || Printing { steps: vec![Printed::default(); job.plan.executors.len()], ..Printing::default() };
        self.jobs().entry(job.id.to_string()).or_insert_with(fresh);
        Ok(Handle(job.id.to_string()))
    }

    async fn observe(&self, handles: &[Handle]) -> Result<Vec<Observation>, BackendError> {
        let jobs = self.jobs();
        let lost = || Observation::Lost { reason: "there is no such job".to_owned(), user_code_started: true };
        Ok(handles.iter().map(|handle| jobs.get(&handle.0).map_or_else(lost, |job| see(&handle.0, job))).collect())
    }

    async fn cancel(&self, handle: &Handle) -> Result<(), BackendError> {
        if let Some(job) = self.jobs().get_mut(&handle.0) {
            job.stopped = true;
            job.outcome = job.outcome.take().or_else(|| job.last.clone());
        }
        self.bell.ring();
        Ok(())
    }

    async fn release(&self, handle: &Handle) -> Result<(), BackendError> {
        self.jobs().remove(&handle.0);
        Ok(())
    }

    async fn withdraw(&self, _handle: &Handle) -> Result<(), BackendError> {
        Ok(())
    }

    async fn logs(&self, handle: &Handle, step: u32, stream: Stream, from: u64) -> Result<LogChunk, BackendError> {
        if *self.broken.lock().unwrap() || self.jammed.lock().unwrap().contains(&handle.0) {
            return Err(BackendError::Unavailable("the press is broken".to_owned()));
        }
        let mut jobs = self.jobs();
        let nothing = |ended| LogChunk { bytes: Vec::new(), next: from, more: false, ended };
        let there_is_none = || BackendError::Rejected("there is no such job".to_owned());
        let job = jobs.get_mut(&handle.0).ok_or_else(there_is_none)?;
        let over = job.outcome.is_some() || job.stopped;
        let Some(step) = job.steps.get_mut(step as usize) else { return Ok(nothing(over)) };
        let ended = over || step.exit_code.is_some();
        let pieces = step.of(stream);
        let Some((at, bytes)) = pieces.iter().find(|(at, bytes)| at + bytes.len() as u64 > from) else {
            return Ok(nothing(ended));
        };
        let begin = from.max(*at);
        let bytes: Vec<u8> = bytes.iter().skip((begin - at) as usize).take(CHUNK).copied().collect();
        let next = begin + bytes.len() as u64;
        let more = pieces.iter().any(|(at, bytes)| at + bytes.len() as u64 > next);
        Ok(LogChunk { next, bytes, more, ended: false })
    }

    async fn inventory(&self, _after: Option<&str>) -> Result<InventoryPage, BackendError> {
        self.walks.send_modify(|walks| *walks += 1);
        let named = |id: &String| Some(Inventoried { job: JobId::parse(id)?, handle: Handle(id.clone()) });
        Ok(InventoryPage { jobs: self.jobs().keys().filter_map(named).collect(), next: None })
    }

    async fn check(&self) -> Vec<Finding> {
        Vec::new()
    }
}
