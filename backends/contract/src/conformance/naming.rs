//! Names and values that bite.

use anyhow::{Context, Result, ensure};
use tessera_runtime::report::Outcome;

use super::watch::{fresh_mark, inventory, look_until_ended, put_away, submit};
use super::{Script, Subject, Wish};
use crate::Stream;

/// What has broken template files, shells, labels and argument lists.
pub const HOSTILE: [&str; 8] = [
    "it's \"quoted\" and `ticked`",
    "two\nlines\n",
    "$(touch /pwned) ${HOME} %s %00",
    "naïve 北京 🦀",
    "-rf --help /",
    "a=b,c:d;e&f|g>h<i",
    "{{ .Values.x }} {\"json\": [1]}",
    "\\ back\\slash \t tab  ",
];

/// Owners, arguments and environment values of any text reach the command byte for byte and break nothing else.
pub async fn hostile_text_passes_unchanged(subject: &dyn Subject) -> Result<()> {
    let mark = fresh_mark(subject);
    let mut wishes: Vec<Wish> = vec![Wish::Count(mark.clone())];
    for text in HOSTILE {
        wishes.push(Wish::Print(Stream::Stdout, text.to_owned()));
        wishes.push(Wish::PrintFromEnv(text.to_owned()));
    }
    let job = subject.job(&Script { owner: HOSTILE.concat(), ..Script::one(wishes) });
    let handle = submit(subject, &job).await.context("a job with hostile names was not taken")?;
    ensure!(submit(subject, &job).await? == handle, "a job with hostile names was not found again");
    let report = look_until_ended(subject, &handle).await?;
    ensure!(report.outcome == Outcome::Complete, "it ended as {:?}", report.outcome);
    ensure!(subject.counted(&mark).await == 1, "it was started {} times", subject.counted(&mark).await);
    let out = report.steps.first().map(|step| step.stdout_tail.clone()).unwrap_or_default();
    for text in HOSTILE {
        let found = out.matches(text).count();
        ensure!(found >= 2, "{text:?} should come back twice, as argument and from the environment; printed: {out:?}");
    }
    ensure!(
        inventory(subject).await?.iter().any(|held| held.job == job.id && held.handle == handle),
        "a job with hostile names is not in the inventory"
    );
    put_away(subject, &handle).await
}

/// An argument longer than one argument of an operating system's `exec` may be is refused or passed on, never cut.
pub async fn a_long_text_is_never_cut(subject: &dyn Subject) -> Result<()> {
    let text = format!("begin{}end", "x".repeat(8_000));
    let job = subject.job(&Script::one([Wish::Print(Stream::Stdout, text.clone())]));
    let handle = submit(subject, &job).await?;
    let report = look_until_ended(subject, &handle).await?;
    let out = report.steps.first().map(|step| step.stdout_tail.clone()).unwrap_or_default();
    ensure!(out.contains(&text), "{} bytes were to be printed, and {} came", text.len(), out.len());
    put_away(subject, &handle).await
}
