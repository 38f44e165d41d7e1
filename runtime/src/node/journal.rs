//! What has been done so far, kept where the server can read it, and the report that it becomes.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attempt::{self, Attempt, Keep};
use crate::doing::{Doing, Work};
use crate::pod::log::{Log, When};
use crate::report::{DeliveredFile, Note, Outcome, Progress, REPORT_VERSION, Report, StepReport};
use crate::step::Usage;

/// The progress of one attempt and the facts about it. Survives the node's death in `progress.json`.
#[derive(Debug)]
pub struct Journal {
    attempt: Attempt,
    bell: Option<PathBuf>,
    pages: Mutex<Pages>,
    works: Mutex<Vec<(u64, Doing)>>,
    /// In a pod: where progress is printed.
    log: Option<Log>,
}

/// A work that goes on until this is dropped.
#[derive(Debug)]
pub struct GoingOn<'a> {
    journal: &'a Journal,
    number: u64,
}

impl GoingOn<'_> {
    /// This is how far it is.
    pub fn is(&self, now: Work) {
        if let Some((_, doing)) = self.journal.works().iter_mut().find(|(number, _)| *number == self.number) {
            doing.work = now;
        }
    }
}

impl Drop for GoingOn<'_> {
    fn drop(&mut self) {
        let over = {
            let mut works = self.journal.works();
            let at = works.iter().position(|(number, _)| *number == self.number);
            at.map(|at| works.remove(at).1)
        };
        // Nobody shall read any longer of what is over.
        let shown = self.journal.pages().progress.doing.as_ref().map(|doing| doing.since);
        if over.is_some_and(|over| shown == Some(over.since)) {
            self.journal.show_figures();
        }
    }
}

/// The progress document with what only a later node of the same attempt reads.
#[derive(Debug, Serialize, Deserialize)]
struct Pages {
    #[serde(flatten)]
    progress: Progress,
    #[serde(default)]
    containers: BTreeMap<u32, String>,
    #[serde(default)]
    images: BTreeMap<String, String>,
    #[serde(default)]
    used: BTreeMap<u32, Usage>,
    #[serde(default)]
    disk_used: Option<u64>,
}

impl Pages {
    /// What the executors used on the average, weighted by the time each took; `None` when one does not say.
    fn average_memory(&self) -> Option<u64> {
        let (mut area, mut whole) = (0_u128, 0_u128);
        for (step, used) in &self.used {
            let report = self.progress.steps.iter().find(|report| report.step == *step)?;
            let took = report.ended.duration_since(report.started);
            // One that ended at once still counts a little: there may be no other.
            let nanos = u128::try_from(took.as_nanos()).unwrap_or(0).max(1);
            // What a command wrote in its wrapper's name may say anything.
            area = area.saturating_add(u128::from(used.avg_memory_bytes?).saturating_mul(nanos));
            whole = whole.saturating_add(nanos);
        }
        u64::try_from(area.checked_div(whole)?).ok()
    }
}

impl Journal {
    /// Goes on with what a former node of the attempt has written, or begins.
    pub fn open(attempt: &Attempt, job: &str, bell: Option<PathBuf>) -> io::Result<Self> {
        let mut pages: Pages = attempt.read_light(attempt::PROGRESS)?.unwrap_or_else(|| Pages {
            progress: Progress {
                version: REPORT_VERSION,
                job: job.to_owned(),
                began: Timestamp::now(),
                started: None,
                steps: Vec::new(),
                notes: Vec::new(),
                doing: None,
            },
            containers: BTreeMap::new(),
            images: BTreeMap::new(),
            used: BTreeMap::new(),
            disk_used: None,
        });
        // What a former node was about is over.
        pages.progress.doing = None;
        Ok(Self { attempt: attempt.clone(), bell, pages: Mutex::new(pages), works: Mutex::default(), log: None })
    }

    /// From here on what is shown is printed as well.
    #[must_use]
    pub(crate) fn printed_on(self, log: Log) -> Self {
        Self { log: Some(log), ..self }
    }

    /// The log of a pod's container, where there is one.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Adds a sentence, and lets the server know.
    pub fn tell(&self, text: impl Into<String>) {
        self.note(text);
        self.show();
    }

    /// Adds a sentence that is shown with whatever happens next.
    pub fn note(&self, text: impl Into<String>) {
        let at = Timestamp::now();
        self.pages().progress.notes.push(Note { at, text: text.into() });
    }

    /// The first executor's command was started; false when that was known.
    pub fn started(&self, at: Timestamp) -> bool {
        let mut pages = self.pages();
        let started = &mut pages.progress.started;
        let news = started.is_none();
        *started = Some(started.map_or(at, |known| known.min(at)));
        news
    }

    /// When the first executor's command was started.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.pages().progress.started
    }

    /// An executor has ended. Saying it again changes nothing.
    pub fn ended(&self, step: StepReport, usage: Option<Usage>) {
        let mut pages = self.pages();
        if let Some(usage) = usage {
            pages.used.insert(step.step, usage);
        }
        let steps = &mut pages.progress.steps;
        steps.retain(|known| known.step != step.step);
        steps.push(step);
        steps.sort_by_key(|known| known.step);
    }

    /// The task was seen to use that much disk; the most counts.
    pub fn disk_used(&self, bytes: u64) {
        let mut pages = self.pages();
        pages.disk_used = pages.disk_used.max(Some(bytes));
    }

    /// The exit code of an executor that is known to have ended.
    pub fn ended_with(&self, step: u32) -> Option<i32> {
        let pages = self.pages();
        let known = pages.progress.steps.iter().find(|known| known.step == step);
        known.map(|known| known.exit_code)
    }

    /// A container was made for a step.
    pub fn container(&self, step: u32, id: String) {
        self.pages().containers.insert(step, id);
    }

    /// Whether it is known which image this is.
    pub fn knows_image(&self, image: &str) -> bool {
        self.pages().images.contains_key(image)
    }

    /// An image is this one.
    pub fn image(&self, image: &str, digest: String) {
        self.pages().images.insert(image.to_owned(), digest);
    }

    /// A work begins that may take long. Nothing is written yet.
    pub fn begins(&self, work: Work) -> GoingOn<'_> {
        let mut works = self.works();
        let number = works.iter().map(|(number, _)| number + 1).max().unwrap_or(0);
        works.push((number, Doing { since: Timestamp::now(), work }));
        GoingOn { journal: self, number }
    }

    fn works(&self) -> MutexGuard<'_, Vec<(u64, Doing)>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the progress down and lets the server know.
    pub fn show(&self) {
        self.write(When::Now);
        self.ring();
    }

    /// Writes the progress down; nobody is woken for a percentage. A page that cannot be written is no reason to
    /// stop: the report says it all again.
    pub fn show_figures(&self) {
        self.write(When::Due);
    }

    fn write(&self, when: When) {
        let doing = foremost(&self.works());
        let mut pages = self.pages();
        pages.progress.doing = doing;
        let written = self.attempt.replace(attempt::PROGRESS, &*pages, Keep::Lightly);
        if let Some(log) = &self.log {
            log.progress(&pages.progress, when);
        }
        drop(pages);
        if let Err(error) = written {
            eprintln!("the progress cannot be written: {error}");
        }
    }

    /// Lets the server know that something has changed.
    pub fn ring(&self) {
        if let Some(bell) = &self.bell {
            attempt::ring(bell);
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The report of what has been written here.
    pub fn report(
        &self,
        outcome: Outcome,
        outputs: Vec<DeliveredFile>,
        facts: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Report {
        let pages = self.pages();
        let progress = pages.progress.clone();
        let mut metadata: BTreeMap<String, String> =
            facts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let listed = |entries: Vec<&str>| entries.join(",");
        if !pages.containers.is_empty() {
            let ids = pages.containers.values().map(String::as_str).collect();
            metadata.insert("container_ids".into(), listed(ids));
        }
        if !pages.images.is_empty() {
            let digests = pages.images.values().map(String::as_str).collect();
            metadata.insert("image_digests".into(), listed(digests));
        }
        if !pages.used.is_empty() {
            let used = || pages.used.values();
            let user: u64 = used().map(|u| u.user_cpu_ms).fold(0, u64::saturating_add);
            let system: u64 = used().map(|u| u.system_cpu_ms).fold(0, u64::saturating_add);
            let peak = used().map(|u| u.peak_memory_bytes).max().unwrap_or(0);
            if let Some(average) = pages.average_memory() {
                metadata.insert("avg_memory_bytes".into(), average.to_string());
            }
            metadata.insert("peak_memory_bytes".into(), peak.to_string());
            metadata.insert("user_cpu_time_ms".into(), user.to_string());
            metadata.insert("system_cpu_time_ms".into(), system.to_string());
            metadata.insert("cpu_time_ms".into(), user.saturating_add(system).to_string());
        }
        if let Some(bytes) = pages.disk_used {
            metadata.insert("disk_used_bytes".into(), bytes.to_string());
        }
        Report {
            version: REPORT_VERSION,
            job: progress.job,
            outcome,
            began: progress.began,
            started: progress.started,
            ended: Timestamp::now(),
            steps: progress.steps,
            outputs,
            notes: progress.notes,
            metadata,
        }
    }
}

/// What is shown where several works go on: the command, then what it waits for, the image before the inputs.
fn foremost(works: &[(u64, Doing)]) -> Option<Doing> {
    let rank = |doing: &Doing| match doing.work {
        Work::Running { .. } => 0,
        Work::Pulling { .. } => 1,
        Work::Fetching { .. } => 2,
        Work::Delivering { .. } => 3,
    };
    works.iter().map(|(_, doing)| doing).min_by_key(|doing| rank(doing)).cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn step(step: u32, exit_code: i32) -> StepReport {
        StepReport {
            step,
            exit_code,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            stdout_tail: String::new(),
            stderr_tail: String::new(),
            stdout_whole: false,
            stderr_whole: false,
        }
    }

    #[test]
    fn a_journal_that_a_power_loss_emptied_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        std::fs::write(attempt.file(attempt::PROGRESS), "").unwrap();
        let journal = Journal::open(&attempt, "t-1", None).unwrap();
        assert_eq!(journal.started_at(), None);
        journal.tell("hello");
        let shown = std::fs::read(attempt.file(attempt::PROGRESS)).unwrap();
        assert_eq!(Progress::read(&shown).unwrap().notes.len(), 1);
    }

    #[test]
    fn what_goes_on_is_shown_and_what_is_over_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        let journal = Journal::open(&attempt, "t-1", None).unwrap();
        let shown = || {
            let bytes = std::fs::read(attempt.file(attempt::PROGRESS)).unwrap();
            Progress::read(&bytes).unwrap().doing.map(|doing| doing.work.to_string())
        };
        let fetching = |bytes| Work::Fetching { files: 0, of_files: 1, bytes, of_bytes: Some(9) };
        let inputs = journal.begins(fetching(0));
        inputs.is(fetching(4));
        journal.show_figures();
        assert_eq!(shown().unwrap(), "fetching inputs: 0 of 1 files, 4 bytes of 9 bytes");
        let image = journal.begins(Work::Pulling { image: "x".into(), bytes: 0, of_bytes: None });
        journal.show_figures();
        assert_eq!(shown().unwrap(), "pulling image `x`: 0 bytes");
        drop(image);
        assert_eq!(shown().unwrap(), "fetching inputs: 0 of 1 files, 4 bytes of 9 bytes");
        drop(Journal::open(&attempt, "t-1", None).unwrap());
        drop(inputs);
        assert_eq!(shown(), None);
    }

    #[test]
    fn a_later_node_goes_on_with_the_same_journal() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = Attempt::at(dir.path());
        let first = Journal::open(&attempt, "t-1", None).unwrap();
        assert!(first.started(Timestamp::UNIX_EPOCH));
        first.container(0, "c0".into());
        first.ended(step(0, 3), Some(Usage { peak_memory_bytes: 7, ..Usage::default() }));
        first.tell("hello");
        drop(first);

        let second = Journal::open(&attempt, "t-1", None).unwrap();
        assert!(!second.started(Timestamp::now()), "the first start counts");
        second.ended(step(1, 0), None);
        let report = second.report(Outcome::Complete, Vec::new(), [("node", "n".to_owned())]);
        assert_eq!(report.started, Some(Timestamp::UNIX_EPOCH));
        assert_eq!(report.steps.iter().map(|s| s.exit_code).collect::<Vec<_>>(), [3, 0]);
        assert_eq!(report.notes[0].text, "hello");
        assert_eq!(report.metadata["peak_memory_bytes"], "7");
        assert_eq!(report.metadata["container_ids"], "c0");
        let shown = attempt.file(attempt::PROGRESS);
        assert_eq!(Progress::read(&std::fs::read(shown).unwrap()).unwrap().steps.len(), 1);
    }

    #[test]
    fn rule_15_7_of_several_executors_the_peak_is_the_highest_and_times_add_up() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&Attempt::at(dir.path()), "t-1", None).unwrap();
        let took =
            |at: u32, seconds: i64| StepReport { ended: Timestamp::from_second(seconds).unwrap(), ..step(at, 0) };
        let used = |peak, average, user_cpu_ms| {
            Some(Usage { peak_memory_bytes: peak, avg_memory_bytes: average, user_cpu_ms, system_cpu_ms: 2 })
        };
        let metadata = || journal.report(Outcome::Complete, Vec::new(), []).metadata;
        assert_eq!(metadata().keys().count(), 0, "nothing is known, so nothing is said");
        journal.ended(took(0, 30), used(700, Some(100), 10));
        journal.ended(took(1, 10), used(500, Some(500), 20));
        // Said twice, as a node does that adopts what it finds.
        journal.ended(took(1, 10), used(500, Some(500), 20));
        journal.disk_used(4_096);
        journal.disk_used(1_024);
        let said = metadata();
        let expected = [
            ("avg_memory_bytes", "200"),
            ("cpu_time_ms", "34"),
            ("disk_used_bytes", "4096"),
            ("peak_memory_bytes", "700"),
            ("system_cpu_time_ms", "4"),
            ("user_cpu_time_ms", "30"),
        ];
        assert_eq!(said.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        let forged = StepReport { started: Timestamp::MIN, ended: Timestamp::MAX, ..step(3, 0) };
        journal.ended(forged.clone(), used(u64::MAX, Some(u64::MAX), u64::MAX));
        journal.ended(StepReport { step: 4, ..forged }, used(u64::MAX, Some(u64::MAX), u64::MAX));
        assert_eq!(metadata()["cpu_time_ms"], u64::MAX.to_string());
        journal.ended(took(2, 1), used(1, None, 0));
        assert!(!metadata().contains_key("avg_memory_bytes"), "an average of some of them would be wrong");
    }
}
