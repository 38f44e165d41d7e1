//! Removing.

use anyhow::{Context, Result, ensure};

use super::watch::{inventory, look, look_until_ended, submit};
use super::{Script, Subject, Wish};
use crate::Observation;

/// Release removes everything: nothing is in the inventory, and nothing can be read any more. Twice is once.
pub async fn release_leaves_nothing_and_may_be_repeated(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::End(0)]));
    let handle = submit(subject, &job).await?;
    look_until_ended(subject, &handle).await?;
    subject.backend().release(&handle).await.context("release failed")?;
    ensure!(
        inventory(subject).await?.iter().all(|found| found.job != job.id),
        "the job `{}` is still in the inventory after its release",
        job.id
    );
    subject.backend().release(&handle).await.context("the second release failed")?;
    subject.reopen().await;
    subject.backend().release(&handle).await.context("release by the next server failed")?;
    let seen = look(subject, &handle).await?;
    ensure!(matches!(seen, Observation::Lost { .. }), "a job that was removed is seen as {seen:?}");
    Ok(())
}

/// Releasing one job leaves its neighbour alone.
pub async fn a_neighbour_is_left_alone(subject: &dyn Subject) -> Result<()> {
    let one = subject.job(&Script::one([Wish::End(0)]));
    let two = subject.job(&Script::one([Wish::End(0)]));
    let (first, second) = (submit(subject, &one).await?, submit(subject, &two).await?);
    look_until_ended(subject, &first).await?;
    let before = look_until_ended(subject, &second).await?;
    subject.backend().release(&first).await.context("release failed")?;
    ensure!(look(subject, &second).await? == Observation::Ended(before), "release of one job changed another");
    subject.backend().release(&second).await.context("release failed")
}
