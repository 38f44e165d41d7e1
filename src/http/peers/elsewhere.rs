//! What this server lacks of a log, and another one kept: it is brought here, and read as if it had always been.
//!
//! A task that was tried twice has printed on two servers, and what a dead server left behind was removed, and kept, by
//! another. The history does not say which one that was, so all are asked.

use std::time::Duration;

use axum::http::Method;
use futures::StreamExt as _;

use super::forward::{Asking, Kept};
use super::headers;
use crate::http::api::routes::PREFIX;
use crate::http::doors::Doors;
use crate::http::error::ApiError;
use crate::logs::picture::{STREAMS, index};
use crate::logs::plan::{Outline, outlines};
use crate::logs::{Selection, bring::Bringing};
use crate::task::Task;

/// How long nothing may come of a log that is brought here.
const COMES_WITHIN: Duration = Duration::from_secs(20);

/// Where what is lacking of a log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It is here now.
    Brought,
    /// No server has it.
    Nobody,
    /// A server may have it that cannot be asked now: a sentence.
    MayBe(String),
}

/// Whether all that is selected of a log is over, and lies here whole or in the history.
pub fn is_here(doors: &Doors, task: &Task, selection: Selection) -> bool {
    let mut needed = needed(task, selection).peekable();
    needed.peek().is_some() && needed.all(|one| one.over && doors.logs.keeps(&task.id, one.number))
}

/// Whether something is selected that is over, and lies neither here nor in the history.
pub fn may_lack(doors: &Doors, task: &Task, selection: Selection) -> bool {
    !doors.peers.are_none() && needed(task, selection).any(|one| one.over && !doors.logs.keeps(&task.id, one.number))
}

/// The attempts selected of which more is to be read than what the history holds, if all of them are over.
pub fn over(task: &Task, selection: Selection) -> Option<Vec<u32>> {
    needed(task, selection).map(|one| one.over.then_some(one.number)).collect()
}

fn needed(task: &Task, selection: Selection) -> impl Iterator<Item = Outline> {
    let selected = outlines(task, |_| false).into_iter();
    let selected = selected.filter(move |one| selection.attempt.is_none_or(|wanted| wanted == one.number));
    selected.filter(|one| one.job.is_some() && !one.executors.iter().all(|known| known.needs_nothing()))
}

/// Brings the log of an attempt here, if another server has it whole. That goes on when the caller has gone.
pub async fn bring(doors: &Doors, task: &Task, attempt: u32, asking: &Asking) -> Result<Lack, ApiError> {
    if doors.logs.keeps(&task.id, attempt) {
        return Ok(Lack::Brought);
    }
    let not_yet = || ApiError::unavailable("the log is just brought here from another server; try again soon");
    let work = brought(doors.clone(), task.clone(), attempt, asking.clone());
    let told = tokio::time::timeout(doors.settings.bounds.time, tokio::spawn(work)).await.map_err(|_| not_yet())?;
    told.map_err(|_| ApiError::unavailable("the log cannot be read now; try again soon"))?.ok_or_else(not_yet)
}

/// `None` when it is under way.
async fn brought(doors: Doors, task: Task, attempt: u32, asking: Asking) -> Option<Lack> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!(task = %task.id, attempt, %error, "a log cannot be brought here from another server");
        Some(Lack::MayBe("which cannot be brought here now".to_owned()))
    };
    let streams = streams(&task, attempt);
    let Some(first) = streams.first() else { return Some(Lack::Nobody) };
    let ask = |(executor, stream): (u32, &str)| Asking {
        method: Method::GET,
        target: format!("{PREFIX}/tasks/{}/logs?attempt={attempt}&executor={executor}&stream={stream}", task.id),
        headers: headers::for_kept(&asking.headers),
    };
    let (name, mut answer) = match doors.peers.who_keeps(&doors, &ask((first.0, first.1.1))).await {
        Kept::With(name, answer) => (name, answer),
        Kept::Nobody => return Some(Lack::Nobody),
        Kept::MayBe(sentence) => return Some(Lack::MayBe(sentence)),
    };
    let mut bringing = match doors.logs.bring(&task.id, attempt).await {
        Ok(bringing) => bringing?,
        Err(error) => return failed(&error),
    };
    for (number, (executor, (stream, word))) in streams.iter().enumerate() {
        if number > 0 {
            answer = match doors.peers.kept_by(&doors, &name, &ask((*executor, word))).await {
                Ok(answer) => answer,
                Err(reason) => return failed(&reason),
            };
        }
        if let Err(error) = bringing.begin(*executor, *stream).await {
            return failed(&error);
        }
        if let Err(error) = copy(&mut bringing, std::mem::take(answer.body_mut())).await {
            return failed(&error);
        }
    }
    match bringing.end().await {
        Ok(()) => {
            tracing::info!(task = %task.id, attempt, server = name, "brought a log here from another server");
            Some(Lack::Brought)
        }
        Err(error) => failed(&error),
    }
}

async fn copy(bringing: &mut Bringing, body: axum::body::Body) -> std::io::Result<()> {
    let mut pieces = body.into_data_stream();
    loop {
        let piece = tokio::time::timeout(COMES_WITHIN, pieces.next()).await.map_err(std::io::Error::other)?;
        let Some(piece) = piece else { return Ok(()) };
        bringing.append(piece.map_err(std::io::Error::other)?).await?;
    }
}

/// The streams of an attempt that the history does not hold.
fn streams(task: &Task, attempt: u32) -> Vec<(u32, (tessera_contract::Stream, &'static str))> {
    let outline = outlines(task, |_| false).into_iter().find(|outline| outline.number == attempt);
    let executors = outline.into_iter().flat_map(|outline| (0..).zip(outline.executors));
    let words = ["stdout", "stderr"];
    let of = |(number, known): (u32, crate::logs::plan::Known)| {
        let lacking = STREAMS.into_iter().filter(|stream| !known.never && known.whole(*stream).is_none());
        lacking.map(|stream| (number, (stream, words[index(stream)]))).collect::<Vec<_>>()
    };
    executors.flat_map(of).collect()
}
