//! Tries until there is an end.

use jiff::Timestamp;

use super::send::{Message, Outcome, Sender};
use super::target::Target;
use crate::clock::{self, Clock};
use crate::engine::retry::backoff;

/// How often what a target refuses is offered: it may have been in the middle of a change of its own.
const REFUSALS: u32 = 3;

/// Offers a message until the target takes it, or it is given up. `happened` is when the event did.
pub async fn deliver(sender: &Sender, target: &Target, message: &Message, happened: Timestamp, clock: &Clock) {
    let until = clock::after(happened, target.give_up_after);
    let mut failures = 0;
    let mut refusals = 0;
    loop {
        let reason = match sender.send(target, message, clock.now().as_second()).await {
            Outcome::Taken => return,
            Outcome::Later(reason) => reason,
            Outcome::Refused(reason) => {
                refusals += 1;
                reason
            }
        };
        let (shown, id) = (target.shown(), &message.id);
        if refusals >= REFUSALS || clock.now() >= until {
            tracing::warn!(to = shown, id, reason, "a webhook is given up");
            return;
        }
        if failures == 0 {
            tracing::warn!(to = shown, id, reason, "a webhook is not taken; it is tried again");
        }
        clock.sleep(backoff(target.pace.first_ms, target.pace.most_ms, failures, &message.id)).await;
        failures += 1;
    }
}
