//! Events told as attempts and their logs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::{AttemptResult, Event, ExecutorLog, JobRef, LogLine, OutputFile, Verdict};

/// One attempt at a task, as far as it has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempt {
    /// Its number; the first is 1.
    pub number: u32,
    /// The job that a backend took it as, if one did.
    pub job: Option<JobRef>,
    /// When it was handed over, if it was.
    pub handed_over: Option<Timestamp>,
    /// When its cancel was requested, if it was.
    pub cancel_requested: Option<Timestamp>,
    /// When the backend took it or the runtime began, whichever is known.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Executors that have ended, in order.
    pub executors: Vec<ExecutorLog>,
    /// Files that lie durably at their URLs.
    pub outputs: Vec<OutputFile>,
    /// What the server did, why it waited, what failed.
    pub log: Vec<LogLine>,
    /// Facts about the run.
    pub metadata: BTreeMap<String, String>,
}

impl Attempt {
    fn numbered(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    fn say(&mut self, at: Timestamp, text: impl Into<String>) {
        self.log.push(LogLine { at, text: text.into() });
    }

    fn add_executors(&mut self, executors: &[ExecutorLog]) {
        for executor in executors {
            // Told twice by two observers: the first telling stands.
            if self.executors.iter().all(|known| known.index != executor.index) {
                self.executors.push(executor.clone());
            }
        }
    }

    fn keep(&mut self, result: &AttemptResult) {
        self.started = result.started.or(self.started);
        self.ended = Some(result.ended);
        self.add_executors(&result.executors);
        self.outputs.extend(result.outputs.iter().cloned());
        self.log.extend(result.notes.iter().cloned());
        self.metadata.extend(result.metadata.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

/// Tells a task's events, each with the moment it was recorded, as attempts; the first attempt is always there.
pub fn attempts<'a>(events: impl IntoIterator<Item = (Timestamp, &'a Event)>) -> Vec<Attempt> {
    let mut told = vec![Attempt::numbered(1)];
    let mut canceled = false;
    for (at, event) in events {
        canceled |= matches!(event, Event::CancelRequested { .. });
        tell(&mut told, canceled, at, event);
    }
    told
}

/// Cancel wins over what arrives later (14.4): after it no attempt follows, and none is called complete.
fn tell(told: &mut Vec<Attempt>, canceled: bool, at: Timestamp, event: &Event) {
    let Some(last) = told.last_mut() else { return };
    match event {
        Event::Claimed { .. } => {}
        // A reason that was told already is not repeated.
        Event::Postponed { reason, .. } if reason.is_empty() => {}
        Event::Postponed { reason, .. } => last.say(at, reason),
        Event::Submitted { job, .. } => {
            last.say(at, format!("handed to backend `{}` as job `{}`", job.backend, job.shown()));
            last.metadata.insert("backend".to_owned(), job.backend.clone());
            last.metadata.insert("job_id".to_owned(), job.shown().to_owned());
            last.job = Some(job.clone());
            last.handed_over = Some(at);
        }
        Event::Advanced { started, executors, notes, .. } => {
            last.started = last.started.or(*started);
            last.add_executors(executors);
            last.log.extend(notes.iter().cloned());
        }
        Event::Paused { .. } => last.say(at, "paused by the backend"),
        Event::Resumed { .. } => last.say(at, "resumed by the backend"),
        Event::Preempted { reason, .. } => last.say(at, format!("preempted: {reason}")),
        Event::Retried { attempt, result, .. } => {
            last.keep(result);
            if !canceled {
                told.push(Attempt::numbered(attempt + 1));
            }
        }
        Event::Ended { result, .. } => {
            last.keep(result);
            if result.verdict == Verdict::Complete && !canceled {
                last.say(at, "complete");
            }
        }
        Event::CancelRequested { .. } => {
            last.cancel_requested = Some(at);
            last.say(at, "cancel requested");
        }
        Event::Stopped { result, .. } => {
            if let Some(result) = result {
                last.keep(result);
            }
            last.ended = last.ended.or(Some(at));
            last.say(at, "canceled; nothing is left running");
        }
        // A late sentence belongs to the attempt it speaks of, not to the one in hand.
        Event::Noted { attempt, text } => {
            if let Some(told) = told.iter_mut().rfind(|told| told.number == *attempt) {
                told.say(at, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a small number is a moment")
    }

    fn executor(index: u32, stdout: &str) -> ExecutorLog {
        ExecutorLog {
            index,
            exit_code: 0,
            started: at(1),
            ended: at(2),
            stdout: stdout.to_owned(),
            stderr: String::new(),
            stdout_whole: false,
            stderr_whole: false,
        }
    }

    fn result(verdict: Verdict, executors: Vec<ExecutorLog>) -> Box<AttemptResult> {
        Box::new(AttemptResult {
            verdict,
            started: Some(at(1)),
            ended: at(9),
            executors,
            outputs: vec![],
            notes: vec![LogLine { at: at(8), text: "the node was lost".to_owned() }],
            metadata: BTreeMap::new(),
        })
    }

    #[test]
    fn a_new_attempt_keeps_the_former_ones_log() {
        let events = [
            (
                at(5),
                Event::Retried {
                    attempt: 1,
                    result: result(Verdict::SystemError, vec![executor(0, "a")]),
                    not_before: None,
                },
            ),
            (at(9), Event::Ended { attempt: 2, result: result(Verdict::Complete, vec![executor(0, "b")]) }),
        ];
        let told = attempts(events.iter().map(|(at, event)| (*at, event)));
        assert_eq!(told.len(), 2);
        assert_eq!(told[0].executors[0].stdout, "a");
        assert_eq!(told[1].executors[0].stdout, "b");
        assert_eq!(told[0].log[0].text, "the node was lost");
    }

    #[test]
    fn after_a_cancel_no_attempt_follows_and_none_is_called_complete() {
        let retried = Event::Retried { attempt: 1, result: result(Verdict::SystemError, vec![]), not_before: None };
        let complete = Event::Ended { attempt: 1, result: result(Verdict::Complete, vec![]) };
        for last in [retried, complete] {
            let told = attempts([(at(5), &Event::CancelRequested { shown: true }), (at(6), &last)]);
            assert_eq!(told.len(), 1);
            let texts: Vec<&str> = told[0].log.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, ["cancel requested", "the node was lost"]);
            assert_eq!(told[0].cancel_requested, Some(at(5)));
        }
    }

    #[test]
    fn a_late_sentence_stands_with_its_own_attempt() {
        let retried = Event::Retried { attempt: 1, result: result(Verdict::SystemError, vec![]), not_before: None };
        let late = Event::Noted { attempt: 1, text: "its folder was removed".to_owned() };
        let told = attempts([(at(5), &retried), (at(6), &late)]);
        assert_eq!(told[0].log.last().map(|line| line.text.as_str()), Some("its folder was removed"));
        assert!(told[1].log.is_empty());
    }

    #[test]
    fn an_executor_told_twice_is_listed_once() {
        let seen = super::super::Seen { executors: 1, notes: 0 };
        let events = [
            (
                at(3),
                Event::Advanced {
                    attempt: 1,
                    started: Some(at(1)),
                    executors: vec![executor(0, "a")],
                    notes: vec![],
                    seen,
                },
            ),
            (
                at(9),
                Event::Ended {
                    attempt: 1,
                    result: result(Verdict::Complete, vec![executor(0, "a"), executor(1, "b")]),
                },
            ),
        ];
        let told = attempts(events.iter().map(|(at, event)| (*at, event)));
        assert_eq!(told[0].executors.iter().map(|e| e.index).collect::<Vec<_>>(), [0, 1]);
    }
}
