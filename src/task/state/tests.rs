//! Every state × every event as a table, and what must hold for any sequence of events.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::task::event::{AttemptResult, ExecutorLog, LogLine};
use crate::task::history::attempts;

/// One row a state, one column an event; both speak of attempt 2.
///
/// `=` unchanged · `!x` refused with that reason · otherwise where it goes:
/// `wait` `held` a queue unclaimed, claimed · `wait+` the queue, as the next attempt · `init` `run` `pause` `preem` ·
/// `stop-` `stop` canceling without, with a known job · `COMP` `EXEC` `SYST` `CANC` the ends.
const TABLE: &str = "
         claim  postp  submit other  start  news   pause  resume preem  retry  e:comp e:exec e:syst e:canc cancel stopped note
  wait   held   =      !queue !queue !job   !job   !job   !job   !job   !job   !job   !job   SYST   !job   CANC   !canc   =
  held   =      wait   init   init   !job   !job   !job   !job   !job   wait+  !job   !job   SYST   !job   stop-  !canc   =
  init   !queue !queue =      !other run    init   =      !pause preem  wait+  COMP   EXEC   SYST   !canc  stop   !canc   =
  run    !queue !queue =      !other run    run    pause  !pause preem  wait+  COMP   EXEC   SYST   !canc  stop   !canc   =
  pause  !queue !queue =      !other pause  pause  =      run    preem  wait+  COMP   EXEC   SYST   !canc  stop   !canc   =
  preem  !queue !queue =      !other =      =      =      =      =      wait+  =      =      SYST   =      stop   !canc   =
  stop-  =      CANC   stop   stop   !job   !job   !job   !job   !job   CANC   CANC   CANC   CANC   CANC   =      CANC    =
  stop   !queue !queue =      !other stop   stop   =      =      =      CANC   CANC   CANC   CANC   CANC   =      CANC    =
  COMP   =      =      =      =      =      =      =      =      =      =      =      =      =      =      =      =       =
  EXEC   =      =      =      =      =      =      =      =      =      =      =      =      =      =      =      =       =
  SYST   =      =      =      =      =      =      =      =      =      =      =      =      =      =      =      =       =
  CANC   =      =      =      =      =      =      =      =      =      =      =      =      =      =      =      =       =
";

/// The arrows of TES contract §14.
const ARROWS: &[(Phase, &[Phase])] = &[
    (Phase::Queued, &[Phase::Initializing, Phase::Paused, Phase::Canceling, Phase::Canceled, Phase::SystemError]),
    (
        Phase::Initializing,
        &[Phase::Running, Phase::SystemError, Phase::Canceling, Phase::Canceled, Phase::Preempted, Phase::Queued],
    ),
    (
        Phase::Running,
        &[
            Phase::Complete,
            Phase::ExecutorError,
            Phase::SystemError,
            Phase::Paused,
            Phase::Canceling,
            Phase::Preempted,
            Phase::Queued,
        ],
    ),
    (Phase::Paused, &[Phase::Queued, Phase::Running, Phase::Canceling, Phase::Canceled, Phase::SystemError]),
    (Phase::Preempted, &[Phase::Queued, Phase::Canceling, Phase::Canceled, Phase::SystemError]),
    (Phase::Canceling, &[Phase::Canceled]),
];

/// Whether a task may be seen in one phase and then in another. Between two looks it may pass through states
/// that last no time (14.3), but never through the queue or an end.
fn legal(from: Phase, to: Phase) -> bool {
    let arrows = |from: Phase| ARROWS.iter().find(|(f, _)| *f == from).map_or(&[][..], |(_, to)| to);
    let mut reached = arrows(from).to_vec();
    let mut next = 0;
    while next < reached.len() {
        let phase = reached[next];
        if matches!(phase, Phase::Initializing | Phase::Running | Phase::Canceling) {
            reached.extend(arrows(phase).iter().filter(|p| !reached.contains(p)).copied().collect::<Vec<_>>());
        }
        next += 1;
    }
    from == to || reached.contains(&to)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(handle: &str) -> JobRef {
    JobRef { backend: "docker".to_owned(), handle: handle.to_owned() }
}

fn line(text: &str) -> LogLine {
    LogLine { at: at(5), text: text.to_owned() }
}

fn executor(index: u32) -> ExecutorLog {
    ExecutorLog {
        index,
        exit_code: 0,
        started: at(1),
        ended: at(2),
        stdout: format!("out {index}"),
        stderr: String::new(),
        stdout_whole: false,
        stderr_whole: false,
    }
}

fn result(verdict: Verdict) -> Box<AttemptResult> {
    Box::new(AttemptResult {
        verdict,
        started: Some(at(1)),
        ended: at(3),
        executors: vec![executor(0)],
        outputs: vec![],
        notes: vec![line("the last word")],
        metadata: BTreeMap::new(),
    })
}

fn advanced(attempt: u32, started: Option<Timestamp>, seen: Seen) -> Event {
    Event::Advanced { attempt, started, executors: vec![executor(0)], notes: vec![line("news")], seen }
}

fn ended(attempt: u32, verdict: Verdict) -> Event {
    Event::Ended { attempt, result: result(verdict) }
}

/// The columns of the table.
fn events(attempt: u32) -> Vec<(&'static str, Event)> {
    let seen = Seen { executors: 1, notes: 1 };
    vec![
        ("claim", Event::Claimed { attempt }),
        ("postp", Event::Postponed { attempt, until: at(60), reason: "no room".to_owned() }),
        ("submit", Event::Submitted { attempt, job: job("a") }),
        ("other", Event::Submitted { attempt, job: job("b") }),
        ("start", advanced(attempt, Some(at(1)), seen)),
        ("news", advanced(attempt, None, seen)),
        ("pause", Event::Paused { attempt }),
        ("resume", Event::Resumed { attempt }),
        ("preem", Event::Preempted { attempt, reason: "spot".to_owned() }),
        ("retry", Event::Retried { attempt, result: result(Verdict::SystemError), not_before: None }),
        ("e:comp", ended(attempt, Verdict::Complete)),
        ("e:exec", ended(attempt, Verdict::ExecutorError)),
        ("e:syst", ended(attempt, Verdict::SystemError)),
        ("e:canc", ended(attempt, Verdict::Canceled)),
        ("cancel", Event::CancelRequested { shown: true }),
        ("stopped", Event::Stopped { attempt, result: None }),
        ("note", Event::Noted { attempt, text: "a sentence".to_owned() }),
    ]
}

/// The rows of the table.
fn states() -> Vec<(&'static str, TaskState)> {
    let attempt = 2;
    let seen = Seen::default();
    let queued = |claimed| TaskState::Queued { attempt, claimed, not_before: None, refusals: 0 };
    let canceling = |job| TaskState::Canceling { attempt, job, seen, shown: Phase::Canceling };
    vec![
        ("wait", queued(false)),
        ("held", queued(true)),
        ("init", TaskState::Initializing { attempt, job: job("a"), seen }),
        ("run", TaskState::Running { attempt, job: job("a"), seen }),
        ("pause", TaskState::Paused { attempt, job: job("a"), seen }),
        ("preem", TaskState::Preempted { attempt, job: job("a"), seen }),
        ("stop-", canceling(None)),
        ("stop", canceling(Some(job("a")))),
        ("COMP", TaskState::Complete),
        ("EXEC", TaskState::ExecutorError),
        ("SYST", TaskState::SystemError),
        ("CANC", TaskState::Canceled),
    ]
}

fn cell(step: &Step) -> &'static str {
    match step {
        Unchanged => "=",
        Refused(Refusal::FutureAttempt) => "!future",
        Refused(Refusal::NoJob) => "!job",
        Refused(Refusal::OtherJob) => "!other",
        Refused(Refusal::NotCanceling) => "!canc",
        Refused(Refusal::NotQueued) => "!queue",
        Refused(Refusal::NotPaused) => "!pause",
        Moves(TaskState::Queued { claimed: true, .. }) => "held",
        Moves(TaskState::Queued { attempt: 2, .. }) => "wait",
        Moves(TaskState::Queued { .. }) => "wait+",
        Moves(TaskState::Initializing { .. }) => "init",
        Moves(TaskState::Running { .. }) => "run",
        Moves(TaskState::Paused { .. }) => "pause",
        Moves(TaskState::Preempted { .. }) => "preem",
        Moves(TaskState::Canceling { job: None, .. }) => "stop-",
        Moves(TaskState::Canceling { job: Some(_), .. }) => "stop",
        Moves(TaskState::Complete) => "COMP",
        Moves(TaskState::ExecutorError) => "EXEC",
        Moves(TaskState::SystemError) => "SYST",
        Moves(TaskState::Canceled) => "CANC",
    }
}

#[test]
fn rule_14_1_every_state_and_every_event() {
    let mut lines = TABLE.lines().filter(|line| !line.trim().is_empty());
    let columns: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(columns, events(2).iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (name, state) in states() {
        let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
        let actual: Vec<&str> =
            std::iter::once(name).chain(events(2).iter().map(|(_, event)| cell(&state.after(event)))).collect();
        assert_eq!(row, actual, "the row of `{name}`");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn rule_14_1_what_an_earlier_attempt_still_says_changes_nothing() {
    for (name, state) in states() {
        for (event, late) in events(1).iter().filter(|(_, event)| event.attempt().is_some()) {
            assert_eq!(state.after(late), Unchanged, "{name} × {event}");
        }
    }
}

#[test]
fn an_attempt_that_has_not_begun_says_nothing() {
    for (name, state) in states().into_iter().filter(|(_, state)| !state.is_terminal()) {
        for (event, early) in events(3).iter().filter(|(_, event)| event.attempt().is_some()) {
            assert_eq!(state.after(early), Refused(Refusal::FutureAttempt), "{name} × {event}");
        }
    }
}

#[test]
fn rule_14_7_a_cancel_goes_on_showing_the_former_phase_unless_told_otherwise() {
    for (name, state) in states().into_iter().filter(|(_, state)| !state.is_terminal()) {
        let Moves(hidden) = state.after(&Event::CancelRequested { shown: false }) else { continue };
        if !hidden.is_terminal() {
            assert_eq!(hidden.phase(), state.phase(), "{name}");
            assert_eq!(hidden.job(), state.job(), "{name}");
        }
    }
}

#[test]
fn a_postponed_attempt_counts_its_refusals_and_waits() {
    let mut state = TaskState::new();
    for event in [
        Event::Claimed { attempt: 1 },
        Event::Postponed { attempt: 1, until: at(9), reason: String::new() },
        Event::Claimed { attempt: 1 },
        Event::Postponed { attempt: 1, until: at(20), reason: String::new() },
    ] {
        let Moves(next) = state.after(&event) else { panic!("{event:?} moves {state:?}") };
        state = next;
    }
    assert_eq!(state, TaskState::Queued { attempt: 1, claimed: false, not_before: Some(at(20)), refusals: 2 });
}

#[test]
fn progress_seen_never_shrinks() {
    let running = TaskState::Running { attempt: 1, job: job("a"), seen: Seen { executors: 2, notes: 0 } };
    let Moves(next) = running.after(&advanced(1, None, Seen { executors: 1, notes: 3 })) else { panic!() };
    assert_eq!(next.seen(), Seen { executors: 2, notes: 3 });
}

#[test]
fn the_arrows_have_no_way_back() {
    assert!(legal(Phase::Initializing, Phase::Complete), "an end passes the states it skipped");
    assert!(!legal(Phase::Running, Phase::Initializing));
    assert!(!legal(Phase::Canceling, Phase::Complete));
    assert!(!legal(Phase::Preempted, Phase::Running));
    assert!(!legal(Phase::Complete, Phase::Canceled));
}

/// Any event of the first attempts, the likely ones more often.
fn any_event() -> impl Strategy<Value = Event> {
    let seen = (0..4u32, 0..4u32).prop_map(|(executors, notes)| Seen { executors, notes });
    let verdict = prop_oneof![
        Just(Verdict::Complete),
        Just(Verdict::ExecutorError),
        Just(Verdict::SystemError),
        Just(Verdict::Canceled),
    ];
    let attempt = 1..4u32;
    prop_oneof![
        4 => attempt.clone().prop_map(|attempt| Event::Claimed { attempt }),
        1 => attempt.clone().prop_map(|attempt| Event::Postponed { attempt, until: at(9), reason: "full".to_owned() }),
        4 => (attempt.clone(), "[ab]").prop_map(|(attempt, h)| Event::Submitted { attempt, job: job(&h) }),
        4 => (attempt.clone(), any::<bool>(), seen).prop_map(|(n, started, seen)| {
            advanced(n, started.then(|| at(1)), seen)
        }),
        1 => attempt.clone().prop_map(|attempt| Event::Paused { attempt }),
        1 => attempt.clone().prop_map(|attempt| Event::Resumed { attempt }),
        1 => attempt.clone().prop_map(|attempt| Event::Preempted { attempt, reason: "spot".to_owned() }),
        2 => attempt.clone().prop_map(|attempt| {
            Event::Retried { attempt, result: result(Verdict::SystemError), not_before: None }
        }),
        1 => (attempt.clone(), verdict).prop_map(|(attempt, verdict)| ended(attempt, verdict)),
        1 => any::<bool>().prop_map(|shown| Event::CancelRequested { shown }),
        1 => attempt.clone().prop_map(|attempt| Event::Stopped { attempt, result: None }),
        1 => attempt.prop_map(|attempt| Event::Noted { attempt, text: "a sentence".to_owned() }),
    ]
}

/// The states a task stands in, one before and one after each event.
fn walk(events: &[Event]) -> Vec<TaskState> {
    let mut states = vec![TaskState::new()];
    for event in events {
        let state = states.last().unwrap();
        let next = match state.after(event) {
            Moves(next) => next,
            Unchanged | Refused(_) => state.clone(),
        };
        states.push(next);
    }
    states
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rule_14_1_a_terminal_state_never_changes(events in prop::collection::vec(any_event(), 0..40)) {
        for pair in walk(&events).windows(2).filter(|pair| pair[0].is_terminal()) {
            prop_assert_eq!(&pair[0], &pair[1]);
        }
    }

    #[test]
    fn rule_14_4_a_requested_cancel_ends_canceled_or_not_yet(events in prop::collection::vec(any_event(), 0..40)) {
        let states = walk(&events);
        let asked = events.iter().enumerate().find(|(i, event)| {
            matches!(event, Event::CancelRequested { .. }) && !states[*i].is_terminal()
        });
        if let Some((i, _)) = asked {
            for state in &states[i + 1..] {
                prop_assert!(matches!(state, TaskState::Canceling { .. } | TaskState::Canceled), "{state:?}");
            }
        }
    }

    #[test]
    fn a_repeat_changes_nothing(events in prop::collection::vec(any_event(), 0..40)) {
        for (state, event) in walk(&events)[1..].iter().zip(&events) {
            prop_assert!(!matches!(state.after(event), Moves(_)), "{event:?} moves {state:?} again");
        }
    }

    #[test]
    fn rule_14_1_and_14_3_only_arrows_of_the_contract_are_taken(events in prop::collection::vec(any_event(), 0..40)) {
        for pair in walk(&events).windows(2) {
            let (from, to) = (pair[0].phase(), pair[1].phase());
            prop_assert!(legal(from, to), "{from:?} → {to:?}");
            if to == Phase::Queued && from != Phase::Queued {
                prop_assert_eq!(pair[1].attempt(), pair[0].attempt().map(|n| n + 1), "the queue is a new attempt");
            }
        }
    }

    #[test]
    fn rule_15_1_a_new_attempt_keeps_the_former_ones_log(events in prop::collection::vec(any_event(), 0..40)) {
        let states = walk(&events);
        let mut stored: Vec<(Timestamp, Event)> = Vec::new();
        let mut before = attempts([]);
        for (i, event) in events.iter().enumerate() {
            if matches!(event, Event::Claimed { .. }) || matches!(states[i].after(event), Unchanged | Refused(_)) {
                continue;
            }
            stored.push((at(i64::try_from(i).unwrap()), event.clone()));
            let after = attempts(stored.iter().map(|(at, event)| (*at, event)));
            prop_assert!(after.len() >= before.len());
            for (old, new) in before.iter().zip(&after) {
                prop_assert!(new.log.starts_with(&old.log), "{event:?} lost a sentence of attempt {}", old.number);
                prop_assert!(new.executors.starts_with(&old.executors), "{event:?} lost an executor");
            }
            if let Some(attempt) = states[i + 1].attempt() {
                prop_assert_eq!(after.len(), usize::try_from(attempt).unwrap());
            }
            before = after;
        }
        let numbers: Vec<u32> = before.iter().map(|a| a.number).collect();
        prop_assert_eq!(numbers, (1..).take(before.len()).collect::<Vec<u32>>());
        if let Some(attempt) = states.iter().rev().find_map(TaskState::attempt) {
            prop_assert_eq!(before.len(), usize::try_from(attempt).unwrap(), "no attempt that never was");
        }
    }
}
