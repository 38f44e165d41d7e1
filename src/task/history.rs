//! Events told as attempts and their logs.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::{AttemptResult, Event, ExecutorLog, LogLine, OutputFile, Verdict};

/// One attempt at a task, as far as it has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempt {
    /// Its number; the first is 1.
    pub number: u32,
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
    for (at, event) in events {
        tell(&mut told, at, event);
    }
    told
}

fn tell(told: &mut Vec<Attempt>, at: Timestamp, event: &Event) {
    let Some(last) = told.last_mut() else { return };
    match event {
        Event::Claimed { .. } => {}
        Event::Postponed { reason, .. } => last.say(at, reason),
        Event::Submitted { job, .. } => {
            last.say(at, format!("handed to backend `{}` as job `{}`", job.backend, job.handle));
            last.metadata.insert("backend".to_owned(), job.backend.clone());
            last.metadata.insert("job_id".to_owned(), job.handle.clone());
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
            told.push(Attempt::numbered(attempt + 1));
        }
        Event::Ended { result, .. } => {
            last.keep(result);
            if result.verdict == Verdict::Complete {
                last.say(at, "complete");
            }
        }
        Event::CancelRequested { .. } => last.say(at, "cancel requested"),
        Event::Stopped { result, .. } => {
            if let Some(result) = result {
                last.keep(result);
            }
            last.ended = last.ended.or(Some(at));
            last.say(at, "canceled; nothing is left running");
        }
        Event::Noted { text, .. } => last.say(at, text),
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
