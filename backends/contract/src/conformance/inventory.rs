//! What the backend holds.

use anyhow::{Context, Result, ensure};

use super::watch::{fresh_mark, inventory, look_until_ended, look_until_started, look_until_stopped, put_away, submit};
use super::{Script, Subject, Wish};
use crate::{Handle, Severity};

/// Orphans are found: every job is on exactly one page, after a restart too, with a handle that works.
pub async fn orphans_are_found_page_by_page(subject: &dyn Subject) -> Result<()> {
    let mut ours = Vec::new();
    for _ in 0..subject.more_than_a_page() {
        let job = subject.job(&Script::one([Wish::End(0)]));
        let handle = submit(subject, &job).await?;
        ours.push((job.id, handle));
    }
    for (_, handle) in &ours {
        look_until_ended(subject, handle).await?;
    }
    subject.reopen().await;
    let held = inventory(subject).await?;
    for (id, _) in &ours {
        let found: Vec<&Handle> = held.iter().filter(|found| found.job == *id).map(|found| &found.handle).collect();
        ensure!(found.len() == 1, "the job `{id}` is in the inventory {} times", found.len());
        for handle in found {
            put_away(subject, handle).await?;
        }
    }
    let left = inventory(subject).await?;
    for (id, _) in &ours {
        ensure!(left.iter().all(|found| found.job != *id), "the job `{id}` is still there after its release");
    }
    Ok(())
}

/// Two installations on one engine never see or touch each other's jobs, even under the same job id.
pub async fn other_installations_are_neither_seen_nor_touched(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let stranger = subject.stranger();
    let job = subject.job(&Script::one([Wish::Count(mark.clone()), Wish::Hang]));
    let theirs = stranger.submit(&job).await.context("submit by the other installation failed")?;
    ensure!(
        inventory(subject).await?.iter().all(|found| found.job != job.id),
        "a job of another installation is in our inventory"
    );

    let ours = submit(subject, &job).await?;
    look_until_started(subject, &ours).await?;
    for _ in 0..subject.patience() {
        if subject.counted(&mark).await == 2 {
            break;
        }
        // A look also makes the fake get on.
        stranger.observe(std::slice::from_ref(&theirs)).await.context("observe by the other installation failed")?;
        subject.wait().await;
    }
    ensure!(subject.counted(&mark).await == 2, "two installations submitted one job each, and one was taken for both");

    stranger.cancel(&theirs).await.context("cancel by the other installation failed")?;
    for _ in 0..5 {
        subject.wait().await;
    }
    look_until_started(subject, &ours).await.context("another installation's cancel reached our job")?;
    subject.backend().cancel(&ours).await.context("cancel failed")?;
    super::watch::look_until(subject, &ours, "stopped", super::watch::is_stopped).await?;

    for _ in 0..=subject.patience() {
        let seen = stranger.observe(std::slice::from_ref(&theirs)).await.context("observe failed")?;
        if seen.first().is_some_and(super::watch::is_stopped) {
            break;
        }
        subject.wait().await;
    }
    subject.backend().release(&ours).await.context("release failed")?;
    let page = stranger.inventory(None).await.context("inventory of the other installation failed")?;
    ensure!(
        page.jobs.iter().any(|found| found.job == job.id),
        "our release took the job of another installation with it"
    );
    stranger.release(&theirs).await.context("release by the other installation failed")?;
    look_until_gone(subject, &job.id).await
}

async fn look_until_gone(subject: &dyn Subject, job: &crate::JobId) -> Result<()> {
    for _ in 0..=subject.patience() {
        if !subject.is_running(job).await {
            return Ok(());
        }
        subject.wait().await;
    }
    anyhow::bail!("something of the job `{job}` still runs")
}

/// A check says something, in words, and a healthy backend has no problem.
pub async fn a_check_tells(subject: &dyn Subject) -> Result<()> {
    let findings = subject.backend().check().await;
    ensure!(!findings.is_empty(), "check found nothing to say");
    for finding in &findings {
        ensure!(!finding.subject.trim().is_empty(), "a finding without a subject: {finding:?}");
        ensure!(!finding.message.trim().is_empty(), "a finding without a sentence: {finding:?}");
        ensure!(finding.severity < Severity::Problem, "a healthy backend has a problem: {}", finding.message);
    }
    Ok(())
}

/// The profile is fit to plan with.
pub async fn the_profile_is_usable(subject: &dyn Subject) -> Result<()> {
    let backend = subject.backend();
    let profile = backend.profile();
    ensure!(!profile.name.is_empty() && !profile.kind.is_empty(), "the profile has no name or no kind");
    ensure!(!profile.stops_within.is_zero(), "the profile says that stopping takes no time");
    for key in &profile.parameters {
        ensure!(*key == key.to_lowercase(), "the parameter `{key}` is not in lower case");
    }
    // A running job may be stopped within the time that the profile says; the suite's patience is a bound on it.
    let job = subject.job(&Script::one([Wish::Hang]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    backend.cancel(&handle).await.context("cancel failed")?;
    look_until_stopped(subject, &handle, &job.id).await?;
    put_away(subject, &handle).await
}
