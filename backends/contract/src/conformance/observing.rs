//! Asking.

use anyhow::{Context, Result, bail, ensure};
use tessera_runtime::report::Outcome;

use super::watch::{fresh_mark, look, look_for, look_until, look_until_ended, look_until_started, put_away, submit};
use super::{Script, Subject, Wish};
use crate::{Observation, Stream};

/// A good job: complete, every step in order, its output in the report's tails, no time runs backwards.
pub async fn a_good_job_ends_complete(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::steps([
        vec![Wish::Print(Stream::Stdout, "first out".to_owned()), Wish::Print(Stream::Stderr, "first err".to_owned())],
        vec![Wish::Print(Stream::Stdout, "second out".to_owned())],
    ]));
    let handle = submit(subject, &job).await?;
    let report = look_until_ended(subject, &handle).await?;
    ensure!(report.job == job.id.as_str(), "the report is about `{}`", report.job);
    ensure!(report.outcome == Outcome::Complete, "it ended as {:?}", report.outcome);
    let [first, second] = report.steps.as_slice() else { bail!("two steps ran, and told is {:?}", report.steps) };
    ensure!((first.step, second.step) == (0, 1), "the steps are not told in order");
    ensure!((first.exit_code, second.exit_code) == (0, 0), "exit codes {} and {}", first.exit_code, second.exit_code);
    ensure!(first.stdout_tail.contains("first out"), "stdout of step 0: {:?}", first.stdout_tail);
    ensure!(first.stderr_tail.contains("first err"), "stderr of step 0: {:?}", first.stderr_tail);
    ensure!(second.stdout_tail.contains("second out"), "stdout of step 1: {:?}", second.stdout_tail);
    let started = report.started.context("the report knows no start")?;
    ensure!(report.began <= started && started <= report.ended, "its times run backwards");
    ensure!(first.ended <= second.started, "the second step began before the first had ended");
    ensure!(
        look(subject, &handle).await? == Observation::Ended(report),
        "the report changed after it could first be read"
    );
    put_away(subject, &handle).await
}

/// A failing step ends the job with its code; the step behind it never starts and is not told.
pub async fn a_failing_step_ends_the_job(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let job = subject.job(&Script::steps([vec![Wish::End(3)], vec![Wish::Count(mark.clone())]]));
    let handle = submit(subject, &job).await?;
    let report = look_until_ended(subject, &handle).await?;
    ensure!(report.outcome == Outcome::ExecutorFailed { step: 0 }, "it ended as {:?}", report.outcome);
    ensure!(report.steps.len() == 1, "one step ran, and told is {:?}", report.steps);
    ensure!(report.steps.first().is_some_and(|step| step.exit_code == 3), "told is {:?}", report.steps);
    ensure!(subject.counted(&mark).await == 0, "the step behind the failed one ran");
    put_away(subject, &handle).await
}

/// Progress is told while the job runs: it has started, and which steps have ended.
pub async fn progress_is_told(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::steps([vec![Wish::End(0)], vec![Wish::Hang]]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    look_until(
        subject,
        &handle,
        "at its second step",
        |seen| matches!(seen, Observation::Working(progress) if progress.steps.iter().any(|step| step.step == 0)),
    )
    .await?;
    put_away(subject, &handle).await
}

/// Many jobs are observed in one call, in the order asked; an unreadable one does not spoil the rest.
pub async fn many_at_once_one_unreadable(subject: &dyn Subject) -> Result<()> {
    let good = subject.job(&Script::one([Wish::End(0)]));
    let bad = subject.job(&Script::one([Wish::End(7)]));
    let dark = subject.job(&Script::one([Wish::End(0)]));
    let (first, second, third) =
        (submit(subject, &good).await?, submit(subject, &dark).await?, submit(subject, &bad).await?);
    for handle in [&first, &second, &third] {
        look_until_ended(subject, handle).await?;
    }
    subject.make_unreadable(&second).await;
    let asked = [third.clone(), second.clone(), first.clone(), third.clone()];
    let seen = subject.backend().observe(&asked).await.context("observe failed because of one unreadable job")?;
    let [a, b, c, d] = seen.as_slice() else { bail!("four were asked about, and {} answers came", seen.len()) };
    ensure!(
        matches!(a, Observation::Ended(r) if r.outcome == Outcome::ExecutorFailed { step: 0 } && r.job == bad.id.as_str()),
        "first asked, the failed one; seen {a:?}"
    );
    ensure!(matches!(b, Observation::Unreadable { .. }), "second asked, the unreadable one; seen {b:?}");
    ensure!(
        matches!(c, Observation::Ended(r) if r.outcome == Outcome::Complete && r.job == good.id.as_str()),
        "third asked, the good one; seen {c:?}"
    );
    ensure!(a == d, "asked twice in one call, two answers: {a:?} and {d:?}");
    for handle in [&first, &third] {
        put_away(subject, handle).await?;
    }
    // What cannot be read can still be stopped and removed.
    subject.backend().cancel(&second).await.context("cancel of an unreadable job failed")?;
    subject.backend().release(&second).await.context("release of an unreadable job failed")
}

/// Nothing asked, nothing answered.
pub async fn none_asked_none_answered(subject: &dyn Subject) -> Result<()> {
    let seen = subject.backend().observe(&[]).await.context("observe of nothing failed")?;
    ensure!(seen.is_empty(), "nothing was asked about, and {} answers came", seen.len());
    Ok(())
}

/// A job that vanished is lost on evidence, and the evidence says whether a user's command may have run.
pub async fn a_vanished_job_is_lost(subject: &dyn Subject) -> Result<()> {
    let job = subject.job(&Script::one([Wish::Hang]));
    let handle = submit(subject, &job).await?;
    look_until_started(subject, &handle).await?;
    subject.lose(&handle).await;
    let (reason, started) = look_for(subject, &handle, "lost", |seen| {
        if let Observation::Lost { reason, user_code_started } = seen {
            return Some((reason.clone(), *user_code_started));
        }
        // A node that was started again may find its job gone, and report that.
        let Observation::Ended(report) = seen else { return None };
        let Outcome::Failed(fault) = &report.outcome else { return None };
        Some((fault.message.clone(), fault.user_code_started))
    })
    .await?;
    ensure!(!reason.trim().is_empty(), "the loss is not explained");
    ensure!(started, "a command of the user had been started, and that was not told");
    subject.backend().release(&handle).await.context("release of a lost job failed")
}
