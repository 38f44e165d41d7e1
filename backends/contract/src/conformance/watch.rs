//! Looking until something is so, with a bound.

use anyhow::{Context, Result, bail, ensure};
use tessera_runtime::report::{Outcome, Report};

use super::subject::Subject;
use crate::{Handle, Inventoried, Job, JobId, Observation, Stream};

/// A mark for [`super::Wish::Count`] that no other case uses.
pub fn fresh_mark(subject: &dyn Subject) -> String {
    subject.job(&super::Script::default()).id.to_string()
}

/// Submits a job that the backend must take.
pub async fn submit(subject: &dyn Subject, job: &Job) -> Result<Handle> {
    subject.backend().submit(job).await.with_context(|| format!("submit of job `{}` failed", job.id))
}

/// One look at one job.
pub async fn look(subject: &dyn Subject, handle: &Handle) -> Result<Observation> {
    let mut seen = subject.backend().observe(std::slice::from_ref(handle)).await.context("observe failed")?;
    ensure!(seen.len() == 1, "one job was asked about, and {} answers came", seen.len());
    seen.pop().context("an observation")
}

/// Looks until an observation holds what is wished for; gives up after the subject's patience.
pub async fn look_for<T>(
    subject: &dyn Subject,
    handle: &Handle,
    what: &str,
    pick: impl Fn(&Observation) -> Option<T>,
) -> Result<T> {
    let mut last = look(subject, handle).await?;
    for _ in 0..subject.patience() {
        if let Some(found) = pick(&last) {
            return Ok(found);
        }
        subject.wait().await;
        last = look(subject, handle).await?;
    }
    pick(&last).with_context(|| format!("waited in vain until the job `{}` is {what}; last seen: {last:?}", handle.0))
}

/// Looks until an observation is as wished.
pub async fn look_until(
    subject: &dyn Subject,
    handle: &Handle,
    what: &str,
    wished: impl Fn(&Observation) -> bool,
) -> Result<()> {
    look_for(subject, handle, what, |seen| wished(seen).then_some(())).await
}

/// Looks until the job's report is there.
pub async fn look_until_ended(subject: &dyn Subject, handle: &Handle) -> Result<Report> {
    look_for(subject, handle, "ended", |seen| if let Observation::Ended(r) = seen { Some(r.clone()) } else { None })
        .await
}

/// Looks until the first executor has started.
pub async fn look_until_started(subject: &dyn Subject, handle: &Handle) -> Result<()> {
    look_until(
        subject,
        handle,
        "started",
        |seen| matches!(seen, Observation::Working(progress) if progress.started.is_some()),
    )
    .await
}

/// Whether a job that was told to stop has done so.
pub fn is_stopped(seen: &Observation) -> bool {
    matches!(seen, Observation::Stopped) || matches!(seen, Observation::Ended(r) if r.outcome == Outcome::Canceled)
}

/// Looks until a cancelled job has stopped, and then checks that it really has.
pub async fn look_until_stopped(subject: &dyn Subject, handle: &Handle, job: &JobId) -> Result<()> {
    look_until(subject, handle, "stopped", is_stopped).await?;
    ensure!(!subject.is_running(job).await, "the backend said that the job `{job}` has stopped, and it still runs");
    Ok(())
}

/// Asks for a step's output until it holds a text; answers the last offset.
pub async fn read_until(
    subject: &dyn Subject,
    handle: &Handle,
    step: u32,
    stream: Stream,
    wanted: &str,
) -> Result<u64> {
    let mut text = Vec::new();
    let mut from = 0;
    for _ in 0..=subject.patience() {
        let chunk = subject.backend().logs(handle, step, stream, from).await.context("logs failed")?;
        let grown = chunk.next.checked_sub(from).context("`next` lies before the offset asked for")?;
        ensure!(grown == chunk.bytes.len() as u64, "`next` is not the offset behind the bytes");
        from = chunk.next;
        text.extend_from_slice(&chunk.bytes);
        if String::from_utf8_lossy(&text).contains(wanted) {
            return Ok(from);
        }
        ensure!(!chunk.ended, "the log ended without {wanted:?}: {:?}", String::from_utf8_lossy(&text));
        subject.wait().await;
    }
    bail!("waited in vain for {wanted:?} in the log; it holds {:?}", String::from_utf8_lossy(&text))
}

/// Everything the backend holds, page by page.
pub async fn inventory(subject: &dyn Subject) -> Result<Vec<Inventoried>> {
    let mut jobs = Vec::new();
    let mut after: Option<String> = None;
    // Bounded, so that a token that leads in a circle is a failure and not a hang.
    for _ in 0..10_000 {
        let page = subject.backend().inventory(after.as_deref()).await.context("inventory failed")?;
        jobs.extend(page.jobs);
        match page.next {
            None => return Ok(jobs),
            Some(next) => after = Some(next),
        }
    }
    bail!("the pages of the inventory have no end")
}

/// Stops a job, waits until it has stopped, and removes it: what a case does at its end.
pub async fn put_away(subject: &dyn Subject, handle: &Handle) -> Result<()> {
    subject.backend().cancel(handle).await.context("cancel failed")?;
    look_until(subject, handle, "over", |seen| match seen {
        Observation::Ended(_) | Observation::Stopped | Observation::Lost { .. } | Observation::Preempted { .. } => true,
        Observation::Waiting { .. }
        | Observation::Working(_)
        | Observation::Paused
        | Observation::Unreadable { .. } => false,
    })
    .await?;
    subject.backend().release(handle).await.context("release failed")
}
