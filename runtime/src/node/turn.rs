//! One executor's turn: from its container to how it ended.
//!
//! Two things tell that a step has changed: the bell, which the wrapper rings when the command was started and
//! when it has ended, and the engine, when the container has ended. A normal end is believed from the record
//! at once; for a signal, 137 or a missing record the engine's own word is waited for (TES contract 15.2).

use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerState;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::attempt::{Mark, StepDir};
use super::drive::Node;
use super::engine::{Ending, EngineError};
use super::fault::{self, Trouble};
use crate::course::ended::{self, Ended, KILLED, out_of_memory, read_record};
use crate::plan::Limits;
use crate::report::FaultClass;
use crate::step::{self, StepEnd, StepRecord};

/// Tries of a start that the engine failed.
const START_TRIES: u32 = 3;

/// A container from its start to its end; the task goes on when nobody waits for it.
pub(super) type Life = JoinHandle<Result<Ending, EngineError>>;

/// Runs a step, or finds out how it goes with one that was started before. Answers its exit code.
pub(super) async fn take(node: &Arc<Node>, step: u32) -> Result<i32, Trouble> {
    let disk = |e: std::io::Error| Trouble::disk("reading a step", &node.attempt.step(step), &e);
    let dir = node.attempt.open_step(step).map_err(disk)?;
    // The bell is opened before looking, or a ring between the two is lost.
    let mut bell = pipe::Receiver::from_file(dir.open_bell().map_err(disk)?).map_err(disk)?;
    if dir.mark().map_err(disk)? == Mark::None {
        // A command that ran before may have put a link where a mount begins.
        node.mounts()?;
    }
    let mut life = live(node.clone(), step);
    let mut ended = None;
    let record = loop {
        if let Some(record) = read_record(&dir, step)? {
            break Some(record);
        }
        if ended.is_some() {
            break None;
        }
        if let Mark::Started(at) = dir.mark().map_err(disk)? {
            node.first_command_started(at);
        }
        let mut rings = [0; 64];
        tokio::select! {
            ring = bell.read(&mut rings) => { ring.map_err(disk)?; }
            end = &mut life => ended = Some(end),
        }
    };
    if ended.is_none() && !record.as_ref().is_some_and(is_plain) {
        ended = Some((&mut life).await);
    }
    let verdict = match record {
        Some(record) => recorded(node, step, record, ended.is_some()).await,
        None => unrecorded(node, step, &dir, ended).await,
    };
    node.remove_later(step, life);
    let (report, usage) = verdict?.with_tails(&dir, node.plan.policy.log_tail_bytes);
    let code = report.exit_code;
    node.journal.ended(report, usage);
    Ok(code)
}

/// Whether a step took its course, so that the engine need not be asked.
pub(super) fn is_plain(record: &StepRecord) -> bool {
    match record.end {
        StepEnd::Exited { code, signal } => signal.is_none() && code != KILLED && !record.stopped,
        StepEnd::Fault { .. } => false,
    }
}

/// The record of a step that was ended on request, for its log.
pub(super) fn take_what_is_there(node: &Node, step: u32) {
    let Ok(dir) = node.attempt.open_step(step) else {
        return;
    };
    if let Ok(Some(record)) = read_record(&dir, step)
        && let Some(ended) = Ended::of(record)
    {
        let (report, usage) = ended.with_tails(&dir, node.plan.policy.log_tail_bytes);
        node.journal.ended(report, usage);
    }
}

/// Starts a step's container unless its command was started before, and waits for the container's end.
fn live(node: Arc<Node>, step: u32) -> Life {
    tokio::spawn(async move {
        let name = node.container(step);
        let marked = || {
            let mark = node.attempt.open_step(step).and_then(|dir| dir.mark());
            mark.is_ok_and(|mark| mark != Mark::None)
        };
        let mut tries = 0;
        while !marked() {
            tries += 1;
            match node.patiently(|| node.engine.start(&name)).await {
                Ok(()) => break,
                Err(EngineError::Failed(_)) if tries < START_TRIES => {
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                }
                // The command runs all the same: its end says more than the engine's complaint.
                Err(_) if marked() => break,
                Err(error) => return Err(error),
            }
        }
        node.patiently(|| node.engine.ended(&name)).await
    })
}

async fn recorded(node: &Arc<Node>, step: u32, record: StepRecord, container_ended: bool) -> Result<Ended, Trouble> {
    node.first_command_started(record.started);
    ended::tell_notes(&record, &node.journal);
    ended::no_fault(&record)?;
    if record.stopped {
        return Err(Trouble::new(
            FaultClass::Lost,
            format!(
                "executor {step} was ended from outside: its container on `{}` was told to stop, as an engine \
                 does that shuts down",
                node.settings.backend
            ),
        ));
    }
    let mut found = None;
    if container_ended {
        let name = node.container(step);
        found = node.patiently(|| node.engine.inspect(&name)).await.ok().flatten();
    }
    if let Some(note) = memory_note(&record, found.map(|found| found.state).as_ref(), &node.plan.limits) {
        node.journal.note(note);
    }
    Ended::of(record).ok_or_else(|| Trouble::new(FaultClass::Rejected, "the record says nothing"))
}

/// The container has ended, or never started, and the wrapper has left no record.
async fn unrecorded(
    node: &Arc<Node>,
    step: u32,
    dir: &StepDir,
    ended: Option<Result<Result<Ending, EngineError>, tokio::task::JoinError>>,
) -> Result<Ended, Trouble> {
    let backend = &node.settings.backend;
    let image = node.image(step);
    let name = node.container(step);
    let lost = |how: &str| {
        let message = format!("the container of executor {step} on `{backend}` {how}");
        Trouble::new(FaultClass::Lost, message)
    };
    match ended {
        Some(Ok(Ok(Ending::Exited))) => {}
        Some(Ok(Ok(Ending::Gone))) => return Err(lost("was removed from outside")),
        Some(Ok(Err(error))) => return Err(fault::starting(backend, image, &error)),
        Some(Err(_)) | None => return Err(lost("cannot be followed")),
    }
    let mark = dir.mark().unwrap_or(Mark::None);
    if let Mark::Started(at) = mark {
        node.first_command_started(at);
    }
    let found = node.patiently(|| node.engine.inspect(&name)).await;
    let state = match found {
        Ok(Some(found)) => found.state,
        Ok(None) => return Err(lost("was removed from outside")),
        Err(error) => {
            return Err(lost(&format!("has ended, and the engine cannot say how: {error}")));
        }
    };
    let words = match is_wrappers(&state) {
        true => node.engine.last_words(&name).await.unwrap_or_default(),
        false => String::new(),
    };
    let (verdict, note) =
        without_record(&Turn { step, image, backend, limits: &node.plan.limits }, mark, state, &words);
    if let Some(note) = note {
        node.journal.note(note);
    }
    verdict
}

/// Which step it is, for sentences.
struct Turn<'a> {
    step: u32,
    image: &'a str,
    backend: &'a str,
    limits: &'a Limits,
}

/// What the engine's word on a container means that has left no record; with a sentence for the log.
fn without_record(
    turn: &Turn<'_>,
    mark: Mark,
    state: ContainerState,
    words: &str,
) -> (Result<Ended, Trouble>, Option<String>) {
    let Turn { step, image, backend, limits } = *turn;
    if is_out_of_memory(&state) {
        let sentence = out_of_memory(limits, step);
        let Mark::Started(started) = mark else {
            let message = format!("{sentence} before its command was started");
            return (Err(Trouble::new(FaultClass::Rejected, message)), None);
        };
        let ended = state.finished_at.as_deref().and_then(|at| at.parse().ok());
        return (Ok(Ended::killed(step, started, ended)), Some(sentence));
    }
    if is_wrappers(&state) {
        let message = format!("executor {step} could not be run in `{image}` on `{backend}`: {words}");
        return (Err(Trouble::new(FaultClass::Rejected, message)), None);
    }
    let code = state.exit_code.unwrap_or_default();
    let why = state.error.filter(|words| !words.is_empty());
    let why = why.map(|words| format!(": {words}")).unwrap_or_default();
    let message =
        format!("the container of executor {step} on `{backend}` was ended from outside (exit code {code}){why}");
    (Err(Trouble::new(FaultClass::Lost, message)), None)
}

/// A sentence on a step that failed because memory ran out, by the word of the engine or of the kernel itself.
fn memory_note(record: &StepRecord, state: Option<&ContainerState>, limits: &Limits) -> Option<String> {
    ended::memory_note(record, state.is_some_and(is_out_of_memory), limits)
}

/// Only the engine's positive word counts (TES contract 12.6): a command may kill itself with the same signal.
fn is_out_of_memory(state: &ContainerState) -> bool {
    state.oom_killed == Some(true)
}

/// The wrapper could not do its work.
fn is_wrappers(state: &ContainerState) -> bool {
    state.exit_code == Some(i64::from(step::exit::WRAPPER))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::Timestamp;

    use super::*;
    use crate::step::Usage;

    fn state(oom_killed: Option<bool>, exit_code: i64) -> ContainerState {
        let finished_at = Some("2026-11-22T01:00:02Z".to_owned());
        ContainerState { oom_killed, exit_code: Some(exit_code), finished_at, ..ContainerState::default() }
    }

    fn judged(mark: Mark, state: ContainerState) -> (Result<Ended, Trouble>, Option<String>) {
        let limits = Limits { ram_bytes: Some(1 << 30), ..Limits::default() };
        without_record(&Turn { step: 1, image: "a:1", backend: "here", limits: &limits }, mark, state, "no tree")
    }

    fn record(end: StepEnd, stopped: bool) -> StepRecord {
        StepRecord {
            version: step::STEP_VERSION,
            step: 0,
            end,
            started: Timestamp::UNIX_EPOCH,
            ended: Timestamp::UNIX_EPOCH,
            stopped,
            usage: Usage::default(),
            out_of_memory: false,
            notes: Vec::new(),
        }
    }

    #[test]
    fn rule_12_6_out_of_memory_is_137_with_a_sentence_and_only_by_the_engines_word() {
        let started = Mark::Started(Timestamp::UNIX_EPOCH);
        let (verdict, note) = judged(started, state(Some(true), 137));
        let ended = verdict.unwrap();
        assert_eq!((ended.report.exit_code, ended.report.started), (137, Timestamp::UNIX_EPOCH));
        assert_eq!(ended.report.ended.to_string(), "2026-11-22T01:00:02Z");
        assert_eq!(note.unwrap(), "executor 1 ran out of memory: it was killed at its limit of 1.00 GiB");
        for not_said in [None, Some(false)] {
            let (verdict, note) = judged(started, state(not_said, 137));
            let trouble = verdict.err().unwrap();
            assert_eq!((trouble.class, note), (FaultClass::Lost, None), "{}", trouble.message);
        }
    }

    #[test]
    fn rule_12_7_what_is_no_end_of_a_command_is_a_fault() {
        let before = judged(Mark::None, state(Some(true), 137)).0.err().unwrap();
        assert_eq!(before.class, FaultClass::Rejected);
        assert!(before.message.ends_with("before its command was started"), "{}", before.message);
        let wrapper = judged(Mark::None, state(None, i64::from(step::exit::WRAPPER))).0.err().unwrap();
        assert_eq!(wrapper.message, "executor 1 could not be run in `a:1` on `here`: no tree");
        let outside = judged(Mark::None, ContainerState { error: Some("why".into()), ..state(None, 255) });
        assert!(outside.0.err().unwrap().message.ends_with("from outside (exit code 255): why"));
    }

    #[test]
    fn rule_12_5_what_did_not_end_by_itself_has_no_executor_log() {
        for command_started in [false, true] {
            let fault = StepEnd::Fault { message: "cannot".into(), command_started };
            assert!(Ended::of(record(fault, false)).is_none());
        }
        assert!(Ended::of(record(StepEnd::Exited { code: 127, signal: None }, false)).is_some());
    }

    #[test]
    fn rule_12_6_memory_is_blamed_by_the_engines_word_or_the_kernels_alone() {
        let limits = Limits::default();
        let killed = || record(StepEnd::Exited { code: 137, signal: Some(9) }, false);
        let note = |record: StepRecord, oom_killed| memory_note(&record, Some(&state(oom_killed, 137)), &limits);
        assert_eq!(note(killed(), Some(false)), None, "it may have killed itself");
        assert!(note(killed(), Some(true)).unwrap().starts_with("executor 0 ran out of memory"));
        let by_kernel = || StepRecord { out_of_memory: true, ..killed() };
        assert!(note(by_kernel(), Some(false)).is_some() && memory_note(&by_kernel(), None, &limits).is_some());
        let outlived = StepRecord { end: StepEnd::Exited { code: 0, signal: None }, ..by_kernel() };
        assert_eq!(note(outlived, None), None, "it went well all the same");
    }

    #[test]
    fn rule_12_6_the_engine_is_asked_about_signals_and_137() {
        let exited = |code, signal| StepEnd::Exited { code, signal };
        let table = [
            (record(exited(0, None), false), true),
            (record(exited(127, None), false), true),
            (record(exited(143, None), false), true),
            (record(exited(137, None), false), false),
            (record(exited(137, Some(9)), false), false),
            (record(exited(143, Some(15)), false), false),
            (record(exited(0, None), true), false),
            (record(StepEnd::Fault { message: String::new(), command_started: false }, false), false),
        ];
        for (record, plain) in table {
            assert_eq!(is_plain(&record), plain, "{record:?}");
        }
    }
}
