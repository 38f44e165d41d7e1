//! What a job prints.

use anyhow::{Context, Result, ensure};

use super::watch::{look_until_ended, look_until_started, look_until_stopped, put_away, read_until, submit};
use super::{Script, Subject, Wish};
use crate::{BackendError, Stream};

/// Both streams can be read while the job runs, from any offset, and after it has ended.
pub async fn read_while_running_and_after(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([
        Wish::Print(Stream::Stdout, "to out".to_owned()),
        Wish::Print(Stream::Stderr, "to err".to_owned()),
        Wish::Hang,
    ]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    let out_end = read_until(subject, &handle, 0, Stream::Stdout, "to out").await?;
    read_until(subject, &handle, 0, Stream::Stderr, "to err").await?;

    let backend = subject.backend();
    let rest = backend.logs(&handle, 0, Stream::Stdout, out_end).await.context("logs failed")?;
    ensure!(!rest.ended, "the step runs, and its log is said to have ended");
    let tail = backend.logs(&handle, 0, Stream::Stdout, 3).await.context("logs from the middle failed")?;
    ensure!(tail.bytes.starts_with(b"out"), "from offset 3: {:?}", String::from_utf8_lossy(&tail.bytes));

    backend.cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    let whole = backend.logs(&handle, 0, Stream::Stdout, 0).await.context("logs after the end failed")?;
    ensure!(whole.bytes.starts_with(b"to out"), "after the end: {:?}", String::from_utf8_lossy(&whole.bytes));
    let end = backend.logs(&handle, 0, Stream::Stdout, whole.next).await.context("logs at the end failed")?;
    ensure!(end.ended && end.bytes.is_empty(), "behind the end of an ended step: {end:?}");
    put_away(subject, &handle).await
}

/// The log of a step that has ended ends, though the job goes on; that of the next one begins.
pub async fn the_log_of_a_step_that_ended_ends(subject: &dyn Subject) -> Result<()> {
    let print = |text: &str| Wish::Print(Stream::Stdout, text.to_owned());
    let job = subject.job(&Script::steps([vec![print("first")], vec![print("second"), Wish::Hang]]));
    let handle = submit(subject, &job).await?;
    read_until(subject, &handle, 1, Stream::Stdout, "second").await?;
    let backend = subject.backend();
    let first = backend.logs(&handle, 0, Stream::Stdout, 0).await.context("logs of the first step failed")?;
    ensure!(first.bytes.starts_with(b"first"), "of the first step: {first:?}");
    let end = backend.logs(&handle, 0, Stream::Stdout, first.next).await.context("logs at the end failed")?;
    ensure!(end.ended && end.bytes.is_empty(), "behind the end of a step that has ended: {end:?}");
    let second = backend.logs(&handle, 1, Stream::Stdout, 0).await.context("logs of the second step failed")?;
    ensure!(!second.ended, "the second step runs, and its log is said to have ended");
    backend.cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    put_away(subject, &handle).await
}

/// A report says of a short text that it tells all of it.
pub async fn a_short_text_is_told_whole_by_the_report(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Print(Stream::Stdout, "short".to_owned())]));
    let handle = submit(subject, &job).await?;
    let report = look_until_ended(subject, &handle).await?;
    let step = report.steps.first().context("the report tells of no step")?;
    ensure!(step.stdout_whole && step.stderr_whole, "a short text is not told whole: {step:?}");
    let log = subject.backend().logs(&handle, 0, Stream::Stdout, 0).await.context("logs failed")?;
    ensure!(log.bytes == step.stdout_tail.as_bytes(), "the log differs from the report: {log:?}, {step:?}");
    put_away(subject, &handle).await
}

/// The log of a job that is not there is refused: nobody is to take that for the end of one. A step that has ended
/// behind all that it printed has no more of it.
pub async fn the_log_of_a_job_that_is_gone_is_no_end(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Print(Stream::Stdout, "here".to_owned())]));
    let handle = submit(subject, &job).await?;
    look_until_ended(subject, &handle).await?;
    let backend = subject.backend();
    let here = backend.logs(&handle, 0, Stream::Stdout, 0).await.context("logs failed")?;
    ensure!(here.bytes.starts_with(b"here") && !here.more, "all of it is there, and no more: {here:?}");
    put_away(subject, &handle).await?;
    for from in [0, here.next] {
        let gone = backend.logs(&handle, 0, Stream::Stdout, from).await;
        ensure!(matches!(gone, Err(BackendError::Rejected(_))), "of a job that is gone, from {from}: {gone:?}");
    }
    Ok(())
}

/// A job that is withdrawn tells what it printed until it is released, or is gone with it; never a part of it.
pub async fn a_job_that_is_withdrawn_tells_all_or_is_gone(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Print(Stream::Stdout, "here".to_owned())]));
    let handle = submit(subject, &job).await?;
    look_until_ended(subject, &handle).await?;
    let backend = subject.backend();
    let before = backend.logs(&handle, 0, Stream::Stdout, 0).await.context("logs failed")?;
    for time in ["first", "second"] {
        backend.withdraw(&handle).await.with_context(|| format!("the {time} withdrawal failed"))?;
    }
    match backend.logs(&handle, 0, Stream::Stdout, 0).await {
        Ok(after) => ensure!(after == before, "withdrawn, it tells something else: {after:?}, {before:?}"),
        Err(BackendError::Rejected(_)) => {}
        Err(error) => return Err(error).context("logs of a withdrawn job failed"),
    }
    put_away(subject, &handle).await
}

/// The logs of a step that has not started are empty and go on; those of an ended job end.
pub async fn a_step_that_never_started_has_an_empty_log(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::steps([vec![Wish::End(1)], vec![Wish::Print(Stream::Stdout, "never".to_owned())]]));
    let handle = submit(subject, &job).await?;
    look_until_ended(subject, &handle).await?;
    let chunk = subject.backend().logs(&handle, 1, Stream::Stdout, 0).await.context("logs failed")?;
    ensure!(chunk.bytes.is_empty() && chunk.ended, "of a step that never started: {chunk:?}");
    put_away(subject, &handle).await
}
