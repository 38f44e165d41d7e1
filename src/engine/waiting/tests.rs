#![allow(clippy::unwrap_used)]

use tessera_runtime::report::Progress;

use super::*;
use crate::engine::settings::Settings;
use crate::engine::site::{Lack, Site};
use crate::store::Load;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const CAPACITY: Capacity = Capacity { cpu_milli: Some(4_000), ram_bytes: None, jobs: Some(3) };

fn down() -> Down {
    let outside = tessera_contract::scripted::Outside::in_memory();
    let installation = tessera_contract::InstallationId("i".to_owned());
    let scripted = tessera_contract::scripted::Scripted::new(outside, installation);
    let site = Site::new(std::sync::Arc::new(scripted));
    site.is_down(at(50), Lack::Takes, "no disk", &Settings { probe_most_ms: 0, ..Settings::default() });
    site.trouble().unwrap()
}

fn waits(cpu_milli: u64, change: impl FnOnce(&mut Queued<'_>)) -> Waiting {
    let load = Load { backend: "b".to_owned(), jobs: 1, cpu_milli: 3_000, ram_bytes: 0 };
    let room = Room::left(&CAPACITY, Some(&load));
    let mut queued = Queued {
        backend: "b",
        ahead: 2,
        attempt: 1,
        claimed: false,
        not_before: None,
        refusals: 0,
        reason: None,
        down: None,
        need: Need { cpu_milli, ram_bytes: 0 },
        capacity: &CAPACITY,
        room: &room,
        now: at(100),
    };
    change(&mut queued);
    queued.waits()
}

#[test]
fn what_a_queued_task_waits_for() {
    let sentences = [
        (
            waits(2_000, |_| {}),
            "waiting for room on backend `b`: the task needs 2 cores of 4, 1 free; 2 tasks are ahead of it",
        ),
        (waits(1_000, |one| one.ahead = 1), "waiting for its turn on backend `b`: 1 task is ahead of it"),
        (waits(1_000, |one| one.ahead = 0), "waiting for its turn on backend `b`: no task is ahead of it"),
        (
            waits(2_000, |one| (one.not_before, one.attempt) = (Some(at(160)), 2)),
            "waiting for the next try on backend `b` at 1970-01-01T00:02:40Z, after attempt 1 failed",
        ),
        (
            waits(2_000, |one| {
                (one.not_before, one.refusals, one.reason) = (Some(at(160)), 3, Some("busy".to_owned()));
            }),
            "waiting for the next try on backend `b` at 1970-01-01T00:02:40Z, after it could not take the job 3 times: \
             busy",
        ),
        (
            waits(1_000, |one| one.not_before = Some(at(100))),
            "waiting for its turn on backend `b`: 2 tasks are ahead of it",
        ),
        (waits(2_000, |one| one.claimed = true), "being handed to backend `b`"),
        (
            waits(2_000, |one| (one.claimed, one.not_before, one.down) = (true, Some(at(160)), Some(down()))),
            "waiting for backend `b`, which cannot take jobs now: no disk; it is so since 1970-01-01T00:00:50Z, next \
             try at 1970-01-01T00:00:50Z",
        ),
    ];
    for (waiting, sentence) in sentences {
        assert_eq!(waiting.to_string(), sentence);
    }
}

fn working(members: &str) -> Observation {
    let text = format!(r#"{{"version":1,"job":"t-1","began":"2026-01-01T00:00:00Z"{members}}}"#);
    Observation::Working(Progress::read(text.as_bytes()).unwrap())
}

#[test]
fn what_a_task_with_a_job_waits_for() {
    let started = r#","started":"2026-01-01T00:00:01Z""#;
    let doing = |work: &str| format!(r#","doing":{{"since":"2026-01-01T00:00:00Z","work":{work}}}"#);
    let pulling = doing(r#"{"kind":"pulling","image":"x:1","bytes":1200000,"of_bytes":3000000}"#);
    let running = doing(r#"{"kind":"running","executor":1}"#);
    let delivering = doing(r#"{"kind":"delivering","files":1,"of_files":2,"bytes":5}"#);
    let reason = |text: &str| text.to_owned();
    let rows = [
        (Observation::Waiting { reason: Some(reason("no node")) }, Some("waiting at backend `b`: no node")),
        (Observation::Waiting { reason: None }, Some("waiting at backend `b`, which has not begun with it")),
        (working(""), Some("waiting at backend `b`: the job is being prepared")),
        (working(&pulling), Some("pulling image `x:1`: 1.2 MB of 3.0 MB")),
        (working(&format!("{started}{running}")), None),
        (working(started), None),
        (working(&format!("{started}{delivering}")), Some("delivering outputs: 1 of 2 files, 5 bytes")),
        (Observation::Paused, Some("waiting at backend `b`: the job is paused")),
        (
            Observation::Unreadable { reason: reason("torn") },
            Some("backend `b` does not tell of the job: torn; it may go on all the same"),
        ),
        (Observation::Stopped, None),
    ];
    for (seen, sentence) in rows {
        assert_eq!(outside("b", &seen).map(|waiting| waiting.to_string()).as_deref(), sentence, "{seen:?}");
    }
}
