//! Waits for tasks to end.

use std::time::Duration;

use tokio::time::Instant;

use super::exit;
use super::failure::Failure;
use super::news::{News, Word};
use super::printer::Printer;
use crate::client::wire::State;
use crate::client::{Client, ClientError};

/// How long a server that has answered before may be away: it may be restarting.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon is looked again after a look that failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Waits until all of these tasks have ended, and answers how each did, in the order given.
pub async fn until_ended(
    client: &Client,
    ids: &[String],
    timeout: Option<Duration>,
    printer: &mut Printer,
) -> Result<Vec<State>, Failure> {
    let began = Instant::now();
    let mut states: Vec<Option<State>> = vec![None; ids.len()];
    let rest = || timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
    let mut news = News::about(client, ids, rest()).await;
    let (mut answered, mut away) = (false, None);
    loop {
        let mut failed = false;
        for (id, state) in ids.iter().zip(&mut states) {
            if state.as_ref().is_some_and(State::is_final) {
                continue;
            }
            let now = match client.get(id, "MINIMAL").await {
                Ok(task) => task.state,
                Err(error) if answered && error.is_passing() => {
                    if away.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                        return Err(error.into());
                    }
                    printer.progress(&format!("{error}; asking again"), false);
                    failed = true;
                    if matches!(error, ClientError::Unreachable { .. }) {
                        // The others would be told the same.
                        break;
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            answered = true;
            let Some(now) = now else {
                return Err(ClientError::NotTes {
                    server: client.address().to_string(),
                    what: format!("show task {id}"),
                    reason: "it has no state".to_owned(),
                }
                .into());
            };
            let changed = state.as_ref() != Some(&now);
            let seconds = began.elapsed().as_secs_f32();
            printer.progress(&format!("{id} {} {seconds:.1}s", now.word()), changed);
            *state = Some(now);
        }
        if !failed {
            away = None;
        }
        let ended: Vec<State> = states.iter().flatten().filter(|state| state.is_final()).cloned().collect();
        if ended.len() == ids.len() {
            printer.end_progress();
            return Ok(ended);
        }
        if let Some(timeout) = timeout
            && began.elapsed() >= timeout
        {
            printer.end_progress();
            let rest = ids.len() - ended.len();
            return Err(Failure::new(
                exit::TIMED_OUT,
                format!("time is up: {rest} of {} tasks have not ended", ids.len()),
            ));
        }
        // Until there is a reason to look: what the events say is known without.
        let soon = |rest: Option<Duration>| rest.unwrap_or(Duration::MAX).min(LOOK_AGAIN);
        let most = || if failed { Some(soon(rest())) } else { rest() };
        while let Word::State(id, now) = news.next(most()).await {
            let mut changed = false;
            // The same task may have been named twice.
            for (_, state) in ids.iter().zip(&mut states).filter(|(known, _)| **known == id) {
                if !state.as_ref().is_some_and(State::is_final) {
                    *state = Some(now.clone());
                    changed = true;
                }
            }
            if !changed {
                continue;
            }
            let seconds = began.elapsed().as_secs_f32();
            printer.progress(&format!("{id} {} {seconds:.1}s", now.word()), true);
            if now.is_final() && states.iter().all(|state| state.as_ref().is_some_and(State::is_final)) {
                break;
            }
        }
    }
}

/// The exit code that follows a task's end.
pub fn exit_code(state: &State) -> u8 {
    match state {
        State::Complete => exit::OK,
        State::ExecutorError => exit::EXECUTOR_ERROR,
        State::SystemError => exit::SYSTEM_ERROR,
        State::Canceled => exit::CANCELED,
        // Not ends; `until_ended` never answers them.
        State::Queued
        | State::Initializing
        | State::Running
        | State::Paused
        | State::Canceling
        | State::Preempted
        | State::Other(_) => exit::FAILURE,
    }
}
