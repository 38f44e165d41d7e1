//! Tries until there is an end.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::send::{Message, Outcome, Sender};
use super::target::Target;
use crate::clock::{self, Clock};
use crate::engine::retry::backoff;

/// Offers a message until the target takes it, or it is given up. `happened` is when the event did. Each try takes a
/// turn; between tries others have theirs.
pub async fn deliver(
    sender: &Sender,
    target: &Target,
    message: &Message,
    happened: Timestamp,
    clock: &Clock,
    turns: &Semaphore,
) {
    let until = clock::after(happened, target.give_up_after);
    let mut failures = 0;
    loop {
        let turn = turns.acquire().await;
        // In a box, for what waits shall be small.
        let outcome = Box::pin(sender.send(target, message, clock.now().as_second())).await;
        drop(turn);
        let (reason, rest, is_final) = match outcome {
            Outcome::Taken => return,
            Outcome::Later { reason, rest } => (reason, rest, false),
            Outcome::Refused(reason) => (reason, None, true),
        };
        let (shown, id) = (target.shown(), &message.id);
        if is_final || clock.now() >= until {
            tracing::warn!(to = shown, id, reason, "a webhook is given up");
            return;
        }
        if failures == 0 {
            tracing::warn!(to = shown, id, reason, "a webhook is not taken; it is tried again");
        }
        clock.sleep(wait(target, rest, failures, &message.id)).await;
        failures += 1;
    }
}

/// As long as the target asks, within what we would wait at most anyway.
fn wait(target: &Target, rest: Option<Duration>, failures: u32, id: &str) -> Duration {
    let pace = target.pace;
    let own = backoff(pace.first_ms, pace.most_ms, failures, id);
    own.max(rest.unwrap_or_default().min(Duration::from_millis(pace.most_ms)))
}
