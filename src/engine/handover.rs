//! Handing claimed tasks over to their backend.
//!
//! ```text
//!   claimed ─► still wanted? ─► lowered ─► submit ─► Submitted
//!                  │               │          ├────► Ended        refused: it will never run there
//!                  │               │          ├────► Postponed    not now, and nothing is outside
//!                  │               │          └────► (nothing)    no answer, and nobody knows: the claim expires,
//!                  │               │                              and the same job is handed over again
//!                  │               └───────────────► Ended        a wish that makes no sense
//!                  └───────────────────────────────► Stopped      cancelled since it was claimed
//! ```
//!
//! All of these but Submitted and Ended say that nothing is outside: of a task whose former claim expired they are said
//! only after its job was searched for.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tessera_contract::{BackendError, Handle, JobId};
use tracing::{debug, warn};

use super::assembly::Engine;
use super::lower::{Lowered, Target, lower};
use super::orphan::is_wanted;
use super::retry::backoff;
use super::search::find;
use super::settings::Settings;
use super::site::{Health, Lack, Site};
use super::verdict::ended_with;
use crate::clock::after;
use crate::store::{Active, Claimed, Record, Recorded, StoreError};
use crate::task::{Event, JobRef, Phase, TaskId, TaskState};

/// Hands claimed tasks over, a few at the same time.
///
/// Of those that were claimed before, and whose claim had expired, a job may be outside already: unless that was searched
/// for, nothing is said that means that there is none.
pub async fn hand_over(
    engine: &Engine,
    site: &Site,
    claimed: &[Claimed],
    claimed_before: &HashSet<TaskId>,
) -> Result<(), StoreError> {
    let mut rest = claimed.chunks(engine.settings.calls_at_once());
    while let Some(some) = rest.next() {
        if !engine.may_act() {
            // The claims are left to whoever acts when they are over.
            return Ok(());
        }
        if !some.iter().all(|one| has_time(engine, one)) {
            let rest: Vec<&Claimed> = some.iter().chain(rest.flatten()).collect();
            return give_back(engine, site, &rest, claimed_before, |_| Duration::ZERO).await;
        }
        if let Err(error) = hand_over_some(engine, site, some, claimed_before).await {
            site.doubts(rest.flatten().map(|one| &one.task), claimed_before, &error);
            return Err(error);
        }
        if let Health::Down(down) = site.health(engine.clock.now()) {
            let rest: Vec<&Claimed> = rest.flatten().collect();
            let error = BackendError::Unavailable(down.reason);
            return give_back(engine, site, &rest, claimed_before, |claimed| wait(&engine.settings, &error, claimed))
                .await;
        }
    }
    Ok(())
}

/// A cancel searches for the job once the claim is over, and whoever claims next may see it end and remove it: no submit
/// may still be on its way then.
fn has_time(engine: &Engine, claimed: &Claimed) -> bool {
    after(engine.clock.now(), engine.settings.call_timeout().saturating_mul(2)) < claimed.claim.until
}

/// What was claimed and is not handed over, because the backend stopped taking jobs or the claim is nearly over, waits
/// again: a cancel finds it unclaimed. A claim that may have a job is left to expire.
async fn give_back(
    engine: &Engine,
    site: &Site,
    rest: &[&Claimed],
    claimed_before: &HashSet<TaskId>,
    wait: impl Fn(&Claimed) -> Duration,
) -> Result<(), StoreError> {
    let now = engine.clock.now();
    let without_job = rest.iter().filter(|claimed| !claimed_before.contains(&claimed.task));
    let records = without_job.map(|claimed| {
        let until = after(now, wait(claimed));
        let postponed = Event::Postponed { attempt: claimed.attempt, until, reason: String::new() };
        engine.event(&claimed.task, Some(claimed.claim.fence), postponed)
    });
    let records: Vec<Record> = records.collect();
    let told = engine.record(records.clone()).await;
    told.map(drop).inspect_err(|error| site.keep_unsaid(records, error))
}

/// What came of one.
struct Handed<'a> {
    claimed: &'a Claimed,
    notes: Vec<String>,
    answer: Answer,
}

enum Answer {
    /// A backend has it.
    Taken(Handle),
    /// The task ends with this sentence.
    Never(String),
    /// Not now; nothing is outside.
    Later(BackendError),
    /// No answer: it may be outside.
    Unknown(BackendError),
    /// It was not asked: we may be taken for dead.
    Unasked,
}

async fn hand_over_some(
    engine: &Engine,
    site: &Site,
    claimed: &[Claimed],
    claimed_before: &HashSet<TaskId>,
) -> Result<(), StoreError> {
    // 14.6: the last look before the hand-over. A cancel after it finds the claim, and waits for our answer.
    let ids: Vec<_> = claimed.iter().map(|one| one.task.clone()).collect();
    let standing = match engine.store.standing(&ids).await {
        Ok(standing) => standing,
        Err(error) => {
            // None of these was handed over.
            site.doubts(claimed.iter().map(|one| &one.task), claimed_before, &error);
            return Err(error);
        }
    };
    let mut records = Vec::new();
    let mut going = Vec::new();
    for (one, standing) in claimed.iter().zip(&standing) {
        let may_be_outside = claimed_before.contains(&one.task);
        match standing.active().map(|active| look(one, active)) {
            Some(Look::Go) => going.push(hand_over_one(engine, site, one, may_be_outside)),
            // The cancel searches for it, once the claim is over.
            Some(Look::Cancelled) if may_be_outside => {}
            Some(Look::Cancelled) => {
                let stopped = Event::Stopped { attempt: one.attempt, result: None };
                records.push(engine.event(&one.task, Some(one.claim.fence), stopped));
            }
            Some(Look::NotOurs) | None => {}
        }
    }
    let mut handed = join_all(going).await;
    let takes_jobs = handed.iter().any(|one| matches!(one.answer, Answer::Taken(_)));
    settle_unknown(engine, site, &mut handed).await;
    if takes_jobs {
        // Whatever it did not take now is a matter of that job.
        site.takes_jobs();
    }
    let mut jobs = Vec::new();
    for one in handed {
        record_one(engine, site, one, &mut records, &mut jobs);
    }
    let told = engine.record(records.clone()).await;
    let told = told.inspect_err(|error| site.keep_unsaid(records.clone(), error))?;
    site.bells.observe.ring();
    after_record(engine, site, &records, &told, &jobs).await
}

enum Look {
    Go,
    Cancelled,
    NotOurs,
}

fn look(claimed: &Claimed, active: &Active) -> Look {
    let ours = active.claim.as_ref().is_some_and(|claim| claim.fence == claimed.claim.fence);
    match &active.state {
        TaskState::Queued { attempt, claimed: true, .. } if ours && *attempt == claimed.attempt => Look::Go,
        TaskState::Canceling { attempt, job: None, .. } if ours && *attempt == claimed.attempt => Look::Cancelled,
        TaskState::Queued { .. }
        | TaskState::Canceling { .. }
        | TaskState::Initializing { .. }
        | TaskState::Running { .. }
        | TaskState::Paused { .. }
        | TaskState::Preempted { .. }
        | TaskState::Complete
        | TaskState::ExecutorError
        | TaskState::SystemError
        | TaskState::Canceled => Look::NotOurs,
    }
}

async fn hand_over_one<'a>(engine: &Engine, site: &Site, claimed: &'a Claimed, may_be_outside: bool) -> Handed<'a> {
    let target = Target { profile: site.profile(), honours: site.backend.honours() };
    let Lowered { job, notes } = match lower(claimed, target, &engine.settings.job) {
        Ok(lowered) => lowered,
        Err(sentence) => return Handed { claimed, notes: Vec::new(), answer: Answer::Never(sentence) },
    };
    // The last look may have taken as long as it liked: the store was slow, or we were paused. By now somebody else may
    // have handed it over, and removed it. Between this and the submit nothing is waited for.
    if !engine.may_act() || !has_time(engine, claimed) {
        return Handed { claimed, notes, answer: Answer::Unasked };
    }
    let answer = match site.call(&engine.clock, &engine.settings, "submit", site.backend.submit(&job)).await {
        Ok(handle) => Answer::Taken(handle),
        Err(BackendError::Rejected(reason)) => {
            Answer::Never(format!("backend `{}` refused the job: {reason}", site.name()))
        }
        Err(error @ BackendError::Misconfigured(_)) if !may_be_outside => Answer::Later(error),
        Err(error @ (BackendError::Misconfigured(_) | BackendError::Unavailable(_))) => Answer::Unknown(error),
    };
    Handed { claimed, notes, answer }
}

/// A submit without a clear answer may have been carried out: what the backend holds tells. When it tells nothing
/// either, the claim stays, and with it the knowledge that something may be outside.
async fn settle_unknown(engine: &Engine, site: &Site, handed: &mut [Handed<'_>]) {
    let mut unknown: Vec<(&mut Handed<'_>, JobId, BackendError)> = Vec::new();
    for one in handed.iter_mut() {
        if let Answer::Unknown(error) = &one.answer {
            let job = JobId::of_attempt(one.claimed.task.as_str(), one.claimed.attempt);
            let error = error.clone();
            unknown.push((one, job, error));
        }
    }
    if unknown.is_empty() {
        return;
    }
    let wanted: Vec<JobId> = unknown.iter().map(|(_, job, _)| job.clone()).collect();
    match find(engine, site, &wanted).await {
        Ok(found) => {
            for (one, job, error) in unknown {
                one.answer = match found.get(&job) {
                    Some(handle) => Answer::Taken(handle.clone()),
                    None => {
                        if let BackendError::Unavailable(reason) = &error {
                            site.is_down(engine.clock.now(), Lack::Takes, reason, &engine.settings);
                        }
                        Answer::Later(error)
                    }
                };
            }
        }
        Err(error) => site.is_down(engine.clock.now(), Lack::Answers, &error.to_string(), &engine.settings),
    }
}

fn record_one(
    engine: &Engine,
    site: &Site,
    handed: Handed<'_>,
    records: &mut Vec<Record>,
    jobs: &mut Vec<(usize, Handle)>,
) {
    let Handed { claimed, notes, answer } = handed;
    let attempt = claimed.attempt;
    let now = engine.clock.now();
    let mut push = |event| records.push(engine.event(&claimed.task, Some(claimed.claim.fence), event));
    let tell = |reason: &str| site.waiting.ask(&claimed.task, reason, now, Duration::ZERO);
    match answer {
        Answer::Taken(handle) => {
            for text in notes {
                push(Event::Noted { attempt, text });
            }
            let job = JobRef { backend: site.name().to_owned(), handle: handle.0.clone() };
            push(Event::Submitted { attempt, job });
            site.waiting.forget(&claimed.task);
            jobs.push((records.len() - 1, handle));
        }
        Answer::Never(sentence) => {
            push(ended_with(attempt, now, sentence));
            site.waiting.forget(&claimed.task);
        }
        Answer::Later(error) => {
            let until = after(now, wait(&engine.settings, &error, claimed));
            // A reason that was told already is not told again at each try.
            let reason = if tell(&error.to_string()) {
                format!("backend `{}` could not take the job: {error}; next try after {until:.0}", site.name())
            } else {
                String::new()
            };
            push(Event::Postponed { attempt, until, reason });
        }
        Answer::Unasked => {}
        Answer::Unknown(
            BackendError::Unavailable(reason) | BackendError::Misconfigured(reason) | BackendError::Rejected(reason),
        ) => {
            if tell(&reason) {
                let name = site.name();
                push(Event::Noted {
                    attempt,
                    text: format!(
                        "backend `{name}` did not say whether it took the job: {reason}; it will be asked again"
                    ),
                });
            }
        }
    }
}

fn wait(settings: &Settings, error: &BackendError, claimed: &Claimed) -> Duration {
    let seed = claimed.task.as_str();
    match error {
        BackendError::Misconfigured(_) => {
            backoff(settings.misconfigured_first_ms, settings.misconfigured_most_ms, claimed.refusals, seed)
        }
        // The backend as a whole is left alone for longer each time; a single task need not be patient too.
        BackendError::Unavailable(_) | BackendError::Rejected(_) => {
            backoff(settings.backoff_first_ms, settings.probe_most_ms, claimed.refusals, seed)
        }
    }
}

/// Jobs whose task went another way while they were handed over are stopped at once; the sweep removes them.
async fn after_record(
    engine: &Engine,
    site: &Site,
    records: &[Record],
    told: &[Recorded],
    jobs: &[(usize, Handle)],
) -> Result<(), StoreError> {
    let astray: Vec<&(usize, Handle)> =
        jobs.iter().filter(|(n, _)| told.get(*n) != Some(&Recorded::Moved(Phase::Initializing))).collect();
    if astray.is_empty() {
        return Ok(());
    }
    // Some of them are being cancelled: that tick knows what to do with a job.
    engine.wake_cancel();
    let tasks: Vec<_> = astray.iter().filter_map(|(n, _)| Some(records.get(*n)?.task.clone())).collect();
    let standing = engine.store.standing(&tasks).await?;
    for ((n, handle), standing) in astray.into_iter().zip(&standing) {
        let Some(Record { task, event, .. }) = records.get(*n) else { continue };
        let job = JobId::of_attempt(task.as_str(), event.attempt().unwrap_or_default());
        if is_wanted(&job, handle, standing) {
            continue;
        }
        debug!(backend = site.name(), %job, "its task went another way meanwhile");
        let call = site.backend.cancel(handle);
        if let Err(error) = site.call(&engine.clock, &engine.settings, "cancel", call).await {
            warn!(backend = site.name(), %job, %error, "could not stop a job that nobody wants any more");
        }
        site.set_inventory_from(None, Timestamp::MIN);
        site.bells.sweep.ring();
    }
    Ok(())
}
