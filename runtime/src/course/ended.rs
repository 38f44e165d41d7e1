//! How a command ended: what its record says, and what it printed last.

use jiff::Timestamp;

use super::disk;
use super::trouble::Trouble;
use crate::frames;
use crate::node::attempt::StepDir;
use crate::node::journal::Journal;
use crate::plan::Limits;
use crate::report::{FaultClass, StepReport};
use crate::step::{self, StepEnd, StepRecord, Usage};

/// Exit code of a command that was killed.
pub(crate) const KILLED: i32 = 137;
/// Sentences taken over from one step's record, and the length of each.
const NOTES: usize = 20;
const NOTE_BYTES: usize = 1_000;

/// How a command ended, before its output is looked at.
pub(crate) struct Ended {
    pub(crate) report: StepReport,
    /// `None` where nobody was left to count.
    pub(crate) usage: Option<Usage>,
}

impl Ended {
    /// What a record says; `None` where the command did not come to an end of its own.
    pub(crate) fn of(record: StepRecord) -> Option<Self> {
        let StepEnd::Exited { code, .. } = record.end else {
            return None;
        };
        let report = report(record.step, code, record.started, record.ended);
        Some(Self { report, usage: Some(record.usage) })
    }

    /// The wrapper was killed together with its command.
    pub(crate) fn killed(step: u32, started: Timestamp, ended: Option<Timestamp>) -> Self {
        Self { report: report(step, KILLED, started, ended.unwrap_or_else(Timestamp::now)), usage: None }
    }

    /// The same with the end of what it printed, as far as that was kept.
    pub(crate) fn with_tails(mut self, dir: &StepDir, max: u64) -> (StepReport, Option<Usage>) {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let tail = |stream| match dir.open_regular(step::FRAMES) {
            Ok(Some(file)) => frames::tail(&file, stream, max).unwrap_or_default(),
            Ok(None) | Err(_) => frames::Tail::default(),
        };
        let (stdout, stderr) = (tail(frames::Stream::Stdout), tail(frames::Stream::Stderr));
        (self.report.stdout_tail, self.report.stdout_whole) = (stdout.text, stdout.whole);
        (self.report.stderr_tail, self.report.stderr_whole) = (stderr.text, stderr.whole);
        (self.report, self.usage)
    }
}

/// The record of a step, if it has left one; one that makes no sense is a fault.
pub(crate) fn read_record(dir: &StepDir, step: u32) -> Result<Option<StepRecord>, Trouble> {
    match dir.record() {
        Ok(Some(record)) if record.step != step => Err(Trouble::new(
            FaultClass::Rejected,
            format!("executor {step} left the record of executor {}", record.step),
        )),
        Ok(record) => Ok(record),
        Err(error) => Err(Trouble::new(
            FaultClass::Rejected,
            format!("the record of executor {step} cannot be believed: {error}"),
        )),
    }
}

fn report(step: u32, exit_code: i32, started: Timestamp, ended: Timestamp) -> StepReport {
    StepReport {
        step,
        exit_code,
        started,
        ended,
        stdout_tail: String::new(),
        stderr_tail: String::new(),
        stdout_whole: false,
        stderr_whole: false,
    }
}

/// What a wrapper has to say in a text of bounded length.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().take(NOTE_BYTES).collect()
}

/// The sentences of a record, for the log.
pub(crate) fn tell_notes(record: &StepRecord, journal: &Journal) {
    for note in record.notes.iter().take(NOTES) {
        journal.note(format!("executor {}: {}", record.step, bounded(note)));
    }
}

/// The wrapper could do its part; otherwise what it could not.
pub(crate) fn no_fault(record: &StepRecord) -> Result<(), Trouble> {
    match &record.end {
        StepEnd::Exited { .. } => Ok(()),
        StepEnd::Fault { message, .. } => {
            Err(Trouble::new(FaultClass::Rejected, format!("executor {}: {}", record.step, bounded(message))))
        }
    }
}

/// A sentence on a step that failed because memory ran out, by somebody's word or that of the kernel itself: some
/// engines speak only of the first process, and a command may outlive the end of one of its own.
pub(crate) fn memory_note(record: &StepRecord, said_so: bool, limits: &Limits) -> Option<String> {
    let failed = !matches!(record.end, StepEnd::Exited { code: 0, .. });
    (failed && (record.out_of_memory || said_so)).then(|| out_of_memory(limits, record.step))
}

/// What a step is told that ran out of memory.
pub(crate) fn out_of_memory(limits: &Limits, step: u32) -> String {
    match limits.ram_bytes {
        Some(bytes) => {
            let limit = disk::size(bytes);
            format!("executor {step} ran out of memory: it was killed at its limit of {limit}")
        }
        None => format!("executor {step} ran out of memory: it was killed, the host has none left"),
    }
}
