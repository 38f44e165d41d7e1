//! Stopping.

use anyhow::{Context, Result, ensure};
use tessera_runtime::report::Outcome;

use super::watch::{
    fresh_mark, look, look_until, look_until_ended, look_until_started, look_until_stopped, put_away, submit,
};
use super::{Script, Subject, Wish};
use crate::Observation;

/// A running job is stopped for real: when the backend says so, nothing of it runs, and its next step never starts.
pub async fn a_running_job_is_stopped(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job = subject.job(&Script::steps([vec![Wish::Hang], vec![Wish::Count(mark.clone())]]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    subject.backend().cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    for _ in 0..3 {
        subject.wait().await;
    }
    ensure!(subject.counted(&mark).await == 0, "a step was started after the stop");
    ensure!(!subject.is_running(&job.id).await, "something of the job runs after the stop");
    put_away(subject, &handle).await
}

/// A job is cancelled right after its submit: whether or not it had begun, it stops.
pub async fn a_starting_job_is_stopped(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job = subject.job(&Script::one([Wish::Count(mark.clone()), Wish::Hang]));
    let handle = submit(subject, &job).await?;
    subject.backend().cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    let counted = subject.counted(&mark).await;
    ensure!(counted <= 1, "it was started {counted} times");
    for _ in 0..3 {
        subject.wait().await;
    }
    ensure!(subject.counted(&mark).await == counted, "it was started after the stop");
    put_away(subject, &handle).await
}

/// A job that is cancelled before its first executor starts never starts it, and its staging is stopped.
pub async fn before_the_start_it_never_starts(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let script = Script { stalls_before_start: true, ..Script::one([Wish::Count(mark.clone())]) };
    let job = subject.job(&script);
    let handle = submit(subject, &job).await?;
    let seen = look(subject, &handle).await?;
    ensure!(
        matches!(&seen, Observation::Waiting { .. })
            || matches!(&seen, Observation::Working(progress) if progress.started.is_none()),
        "its input has not come, and it is seen as {seen:?}"
    );
    subject.backend().cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    ensure!(subject.counted(&mark).await == 0, "its executor was started");
    put_away(subject, &handle).await
}

/// Submitting a cancelled job again finds it cancelled and starts nothing.
pub async fn a_cancelled_job_is_not_started_again(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job = subject.job(&Script::one([Wish::Count(mark.clone()), Wish::Hang]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    subject.backend().cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    let again = submit(subject, &job).await?;
    ensure!(again == handle, "another handle: {again:?}");
    look_until_stopped(subject, &handle, &job.id).await?;
    ensure!(subject.counted(&mark).await == 1, "it was started {} times", subject.counted(&mark).await);
    put_away(subject, &handle).await
}

/// A stop that was asked for survives the death of the server that asked.
pub async fn a_stop_survives_the_server(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Hang]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    subject.backend().cancel(&handle).await.context("cancel failed")?;
    subject.reopen().await;
    look_until_stopped(subject, &handle, &job.id).await?;
    put_away(subject, &handle).await
}

/// Cancelling twice is the same as once.
pub async fn twice_is_once(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Hang]));
    let handle = submit(subject, &job).await?;
    subject.backend().cancel(&handle).await.context("cancel failed")?;
    subject.backend().cancel(&handle).await.context("the second cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    subject.backend().cancel(&handle).await.context("cancel of a stopped job failed")?;
    look_until(subject, &handle, "stopped", super::watch::is_stopped).await?;
    put_away(subject, &handle).await
}

/// Cancelling a job that has ended is no error and does not change its report.
pub async fn an_ended_job_keeps_its_report(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::End(5)]));
    let handle = submit(subject, &job).await?;
    let report = look_until_ended(subject, &handle).await?;
    subject.backend().cancel(&handle).await.context("cancel of an ended job failed")?;
    let after = look_until_ended(subject, &handle).await?;
    ensure!(report == after, "cancel changed the report of an ended job: {report:?} to {after:?}");
    ensure!(report.outcome == Outcome::ExecutorFailed { step: 0 }, "it ended as {:?}", report.outcome);
    put_away(subject, &handle).await
}

/// Cancelling a job that is gone is no error.
pub async fn a_job_that_is_gone_counts_as_stopped(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::End(0)]));
    let handle = submit(subject, &job).await?;
    look_until_ended(subject, &handle).await?;
    put_away(subject, &handle).await?;
    subject.backend().cancel(&handle).await.context("cancel of a job that is gone failed")
}
