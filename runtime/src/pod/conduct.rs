//! Turns: one executor after another, each from its wrapper's coming to how it ended.
//!
//! A wrapper that lives holds a lock, so its end is noticed at once, however it came about. What it has left behind
//! then says how the step ended:
//!
//! ```text
//! record     the command's own end, or what the wrapper could not do
//! mark       no record: it was killed together with its command (137), or says on the bell why it gave up
//! –          it was ended before its command was started
//! ```
//! Nobody but the wrapper reaches a step directory before its command is started, so what is opened until then is
//! what it should be. Afterwards nothing in there is trusted.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::course::ended::{Ended, bounded, memory_note, no_fault, read_record, tell_notes};
use crate::course::trouble::Trouble;
use crate::node::attempt::{Attempt, Mark, StepDir};
use crate::node::journal::Journal;
use crate::plan::Plan;
use crate::report::FaultClass;
use crate::step::{ALIVE, GIVING_UP, GIVING_UP_BYTES, GO, HERE, STOP, StepRecord};

/// How often something is looked at that may have changed without a word.
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// What a wrapper gets beyond the grace, to kill what is left, harvest and write its record.
const BOOKKEEPING: Duration = Duration::from_secs(10);
/// How long our own signal may come after that to an executor, when the whole pod is told to stop.
const SIGNALS_WITHIN: Duration = Duration::from_secs(1);

/// All steps of a job, their turns held.
pub(super) struct Conductor {
    steps: Vec<Step>,
}

struct Step {
    at: PathBuf,
    dir: StepDir,
    /// Open for both ends as long as this process lives.
    turn: File,
    alive: File,
    /// Held open, so that what is said is kept until somebody listens.
    _bell: File,
}

impl Conductor {
    /// Holds the turns of all steps from here on.
    pub(super) fn open(attempt: &Attempt, steps: usize) -> Result<Self, Trouble> {
        let open = |step: u32| -> io::Result<Step> {
            let dir = attempt.open_step(step)?;
            let bell = dir.open_bell()?;
            let turn = dir.open_turn()?;
            let alive = dir.open_regular(ALIVE)?.ok_or_else(|| io::Error::other("nothing is there to be locked"))?;
            if let Err(error) = dir.say_there() {
                // Who comes after our end waits in vain then, until the pod is taken down.
                eprintln!("step {step}: {error}");
            }
            Ok(Step { at: attempt.step(step), dir, turn, alive, _bell: bell })
        };
        let steps = (0..)
            .take(steps)
            .map(|step: u32| open(step).map_err(|error| Trouble::disk("opening a step", &attempt.step(step), &error)));
        Ok(Self { steps: steps.collect::<Result<_, _>>()? })
    }

    /// What each step's mark says.
    pub(super) fn marks(&self) -> impl Iterator<Item = io::Result<Mark>> + '_ {
        self.steps.iter().map(|step| step.dir.mark())
    }

    /// Sends all home that still wait.
    pub(super) fn dismiss(&self) {
        for step in &self.steps {
            if step.dir.forbid().unwrap_or(false) {
                step.say(STOP);
            }
        }
    }

    /// Gives an executor its turn, and waits for its end. Answers its exit code.
    pub(super) async fn turn(
        &self,
        number: u32,
        plan: &Plan,
        journal: &Journal,
        started: &dyn Fn(Timestamp),
    ) -> Result<i32, Trouble> {
        let step = &self.steps[number as usize];
        let disk = |error: io::Error| Trouble::disk("following a step", &step.at, &error);
        let mut bell = Bell::of(step).map_err(disk)?;
        while !step.is_here().map_err(disk)? && bell.said.is_none() {
            tokio::select! {
                ring = bell.rings() => ring.map_err(disk)?,
                () = tokio::time::sleep(LOOKS_EVERY) => {}
            }
        }
        let mut gone = step.gone().map_err(disk)?;
        step.say(GO);
        let mut is_gone = false;
        let record = loop {
            if let Some(record) = read_record(&step.dir, number)? {
                break Some(record);
            }
            if is_gone {
                break None;
            }
            if let Mark::Started(at) = step.dir.mark().map_err(disk)? {
                started(at);
            }
            tokio::select! {
                ring = bell.rings() => ring.map_err(disk)?,
                _ = &mut gone => is_gone = true,
            }
        };
        let ended = match record {
            Some(record) => recorded(record, plan, journal, started).await?,
            None => {
                bell.rest();
                let image = plan.executors.get(number as usize).map_or("", |executor| &executor.image);
                let mark = step.dir.mark().map_err(disk)?;
                if let Mark::Started(at) = mark {
                    started(at);
                }
                let said = bell.said.or_else(|| step.words_here());
                let ended = unrecorded(number, image, mark, said)?;
                journal.note(format!("executor {number} was killed together with its wrapper"));
                ended
            }
        };
        let (report, usage) = ended.with_tails(&step.dir, plan.policy.log_tail_bytes);
        let code = report.exit_code;
        journal.ended(report, usage);
        Ok(code)
    }

    /// Ends everything: what was not started never will be, what runs is told to stop and waited for. Bounded: with
    /// our own end everybody is told once more.
    pub(super) async fn halt(&self, plan: &Plan, journal: &Journal) {
        let until = Instant::now() + Duration::from_millis(plan.policy.stop_grace_ms) + BOOKKEEPING;
        // One that makes no sense may stand beside a command that goes on.
        let has_record = |step: &Step| matches!(step.dir.record(), Ok(Some(_)));
        let running: Vec<&Step> =
            (self.steps.iter()).filter(|step| !has_record(step) && !step.dir.forbid().unwrap_or(false)).collect();
        self.steps.iter().for_each(|step| step.say(STOP));
        for step in running {
            let Ok(mut gone) = step.gone() else { continue };
            while !has_record(step) && Instant::now() < until {
                tokio::select! {
                    _ = &mut gone => break,
                    // The command may have read what was meant for its wrapper.
                    () = tokio::time::sleep(LOOKS_EVERY) => step.say(STOP),
                }
            }
        }
        for (number, step) in (0..).zip(&self.steps) {
            if let Ok(Some(record)) = read_record(&step.dir, number)
                && let Some(ended) = Ended::of(record)
            {
                let (report, usage) = ended.with_tails(&step.dir, plan.policy.log_tail_bytes);
                journal.ended(report, usage);
            }
        }
    }
}

impl Step {
    fn say(&self, word: u8) {
        // A FIFO that is full has enough to say.
        let _full = rustix::io::write(&self.turn, &[word]);
    }

    /// Whether the wrapper has come, be it that it has gone again.
    fn is_here(&self) -> io::Result<bool> {
        if self.dir.open_regular(HERE)?.is_some() {
            return Ok(true);
        }
        match rustix::fs::flock(&self.alive, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
            Ok(()) => {
                rustix::fs::flock(&self.alive, FlockOperation::Unlock)?;
                // It may have come in between, and waits for the lock.
                Ok(false)
            }
        }
    }

    /// What a wrapper left that gave up before anybody listened.
    fn words_here(&self) -> Option<String> {
        let mut words = Vec::new();
        let here = self.dir.open_regular(HERE).ok()??;
        here.take(GIVING_UP_BYTES as u64).read_to_end(&mut words).ok()?;
        (!words.is_empty()).then(|| String::from_utf8_lossy(&words).into_owned())
    }

    /// Told when the wrapper that has come is gone. A thread of its own waits in the kernel, and ends with us.
    fn gone(&self) -> io::Result<oneshot::Receiver<()>> {
        let (tell, told) = oneshot::channel();
        let alive = self.alive.try_clone()?;
        std::thread::Builder::new().spawn(move || {
            while let Err(Errno::INTR) = rustix::fs::flock(&alive, FlockOperation::LockShared) {}
            let _nobody = tell.send(());
        })?;
        Ok(told)
    }
}

/// A step's bell, and what its wrapper says on it when it gives up.
struct Bell {
    bell: pipe::Receiver,
    line: Vec<u8>,
    said: Option<String>,
}

impl Bell {
    fn of(step: &Step) -> io::Result<Self> {
        Ok(Self { bell: pipe::Receiver::from_file(step.dir.open_bell()?)?, line: Vec::new(), said: None })
    }

    async fn rings(&mut self) -> io::Result<()> {
        let mut rings = [0; 4_096];
        let length = self.bell.read(&mut rings).await?;
        self.heard(&rings[..length]);
        Ok(())
    }

    /// What is still to be heard of one who is gone.
    fn rest(&mut self) {
        let mut rings = [0; 4_096];
        // No more than a FIFO holds.
        for _ in 0..32 {
            match self.bell.try_read(&mut rings) {
                Ok(length) if length > 0 => self.heard(&rings[..length]),
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn heard(&mut self, rings: &[u8]) {
        for &byte in rings {
            match (self.line.is_empty(), byte) {
                (true, byte) if char::from(byte) != GIVING_UP => {}
                (false, b'\n') => {
                    let words = String::from_utf8_lossy(&self.line[1..]).into_owned();
                    self.said.get_or_insert(words);
                    self.line.clear();
                }
                (false, _) if self.line.len() > GIVING_UP_BYTES => self.line.clear(),
                (true | false, _) => self.line.push(byte),
            }
        }
    }
}

async fn recorded(
    record: StepRecord,
    plan: &Plan,
    journal: &Journal,
    started: &dyn Fn(Timestamp),
) -> Result<Ended, Trouble> {
    let step = record.step;
    started(record.started);
    tell_notes(&record, journal);
    if record.stopped {
        // Of a pod that is taken down we are a part, and then this is nobody's fault.
        tokio::time::sleep(SIGNALS_WITHIN).await;
        return Err(lost(step, "was ended from outside: its container was told to stop"));
    }
    no_fault(&record)?;
    if let Some(note) = memory_note(&record, false, &plan.limits) {
        journal.note(note);
    }
    Ended::of(record).ok_or_else(|| Trouble::new(FaultClass::Rejected, "the record says nothing"))
}

/// The wrapper is gone and has left no record.
fn unrecorded(step: u32, image: &str, mark: Mark, said: Option<String>) -> Result<Ended, Trouble> {
    if let Some(words) = said {
        let message = format!("executor {step} could not be run in `{image}`: {}", bounded(&words));
        return Err(Trouble::new(FaultClass::Rejected, message));
    }
    match mark {
        Mark::Started(at) => Ok(Ended::killed(step, at, None)),
        Mark::None | Mark::Never => Err(lost(step, "was ended from outside before its command was started")),
    }
}

fn lost(step: u32, how: &str) -> Trouble {
    Trouble::new(FaultClass::Lost, format!("executor {step} {how}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rule_12_6_a_wrapper_that_was_killed_takes_its_command_along() {
        let at = Timestamp::UNIX_EPOCH;
        let ended = unrecorded(1, "a:1", Mark::Started(at), None).unwrap();
        assert_eq!((ended.report.exit_code, ended.report.started), (137, at));
        for mark in [Mark::None, Mark::Never] {
            let trouble = unrecorded(1, "a:1", mark, None).err().unwrap();
            let sentence = "executor 1 was ended from outside before its command was started";
            assert_eq!((trouble.class, trouble.message.as_str()), (FaultClass::Lost, sentence));
        }
        let said = unrecorded(1, "a:1", Mark::Started(at), Some("no room".into())).err().unwrap();
        assert_eq!(said.message, "executor 1 could not be run in `a:1`: no room");
    }

    #[tokio::test]
    async fn words_on_the_bell_are_told_from_rings() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"version":1,"step":0,"command":["true"],"log_cap_bytes":1,"stop_grace_ms":1,"in_turn":true}"#;
        let attempt = Attempt::at(dir.path());
        attempt.prepare_step(&crate::step::StepFile::read(text.as_bytes()).unwrap()).unwrap();
        let conductor = Conductor::open(&attempt, 1).unwrap();
        let said = |rings: &[u8]| {
            let mut bell = Bell::of(&conductor.steps[0]).unwrap();
            rings.chunks(3).for_each(|rings| bell.heard(rings));
            bell.said
        };
        assert_eq!(said(b"!!"), None);
        assert_eq!(said(b"!!xno room\n!"), Some("no room".into()));
        assert_eq!(said(b"xnever ended"), None);
        assert_eq!(said(&[b"x".as_slice(), &[b'y'; 5_000], b"\n"].concat()), None);
    }
}
