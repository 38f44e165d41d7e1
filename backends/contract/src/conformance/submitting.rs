//! Handing over.

use anyhow::{Result, ensure};
use tessera_runtime::report::Outcome;

use super::watch::{fresh_mark, inventory, look_until_ended, look_until_started, put_away, submit};
use super::{Script, Subject, Wish};

/// Submitting a job again finds the first one: the same handle, and one start.
pub async fn twice_finds_the_first(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job =
        subject.job(&Script::one([Wish::Count(mark.clone()), Wish::RunFor(std::time::Duration::from_millis(20))]));
    let first = submit(subject, &job).await?;
    let again = submit(subject, &job).await?;
    ensure!(first == again, "two handles for one job: {first:?} and {again:?}");
    look_until_ended(subject, &first).await?;
    let late = submit(subject, &job).await?;
    ensure!(first == late, "another handle after the job had ended: {late:?}");
    for _ in 0..3 {
        subject.wait().await;
    }
    ensure!(subject.counted(&mark).await == 1, "it was started {} times", subject.counted(&mark).await);
    put_away(subject, &first).await
}

/// Submitting the same job at the same time from two callers starts it once.
pub async fn at_once_starts_one(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job = subject.job(&Script::one([Wish::Count(mark.clone())]));
    let (one, two) = tokio::join!(submit(subject, &job), submit(subject, &job));
    let (one, two) = (one?, two?);
    ensure!(one == two, "two handles for one job: {one:?} and {two:?}");
    look_until_ended(subject, &one).await?;
    ensure!(subject.counted(&mark).await == 1, "it was started {} times", subject.counted(&mark).await);
    put_away(subject, &one).await
}

/// A server that dies after a submit, and whose successor submits again, has started one job.
pub async fn death_after_submit_starts_one(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job =
        subject.job(&Script::one([Wish::Count(mark.clone()), Wish::RunFor(std::time::Duration::from_millis(50))]));
    let first = submit(subject, &job).await?;
    subject.reopen().await;
    let again = submit(subject, &job).await?;
    ensure!(first == again, "after the server's death another handle: {first:?} and {again:?}");
    let report = look_until_ended(subject, &again).await?;
    ensure!(report.outcome == Outcome::Complete, "it ended as {:?}", report.outcome);
    ensure!(subject.counted(&mark).await == 1, "it was started {} times", subject.counted(&mark).await);
    put_away(subject, &again).await
}

/// A job that runs goes on while no server is there, and is observed by the next one.
pub async fn a_job_outlives_the_server(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let wait = Wish::RunFor(std::time::Duration::from_millis(200));
    let job = subject.job(&Script::steps([vec![wait], vec![Wish::Count(mark.clone())]]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    subject.reopen().await;
    let report = look_until_ended(subject, &handle).await?;
    ensure!(report.outcome == Outcome::Complete, "it ended as {:?}", report.outcome);
    ensure!(subject.counted(&mark).await == 1, "its second step ran {} times", subject.counted(&mark).await);
    put_away(subject, &handle).await
}

/// A job that was taken is in the inventory at once, so that nobody can lose it.
pub async fn a_taken_job_is_in_the_inventory(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Hang]));
    let handle = submit(subject, &job).await?;
    let held = inventory(subject).await?;
    ensure!(
        held.iter().any(|found| found.job == job.id && found.handle == handle),
        "the job `{}` is not in the inventory under its handle",
        job.id
    );
    put_away(subject, &handle).await
}
