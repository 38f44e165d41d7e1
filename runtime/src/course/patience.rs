//! Work that takes long is shown while it is done: figures about once a second, sentences at growing distance.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::doing::Work;
use crate::node::journal::Journal;

/// Between two figures. What is done sooner is never shown.
const EVERY: Duration = Duration::from_secs(1);
/// Until the first sentence; each further one takes four times as long.
const FIRST_SENTENCE: Duration = Duration::from_secs(10);
/// Sentences about one work.
const SENTENCES: u32 = 6;

/// Does a work, and shows how far it is. Dropping it ends both.
pub(crate) async fn shown<T>(journal: &Journal, look: impl Fn() -> Work, work: impl Future<Output = T>) -> T {
    let going_on = journal.begins(look());
    let mut work = pin!(work);
    let began = tokio::time::Instant::now();
    let (mut told, mut tell_after) = (0, FIRST_SENTENCE);
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                drop(going_on);
                return done;
            }
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = look();
        if told < SENTENCES && began.elapsed() >= tell_after {
            told += 1;
            tell_after = tell_after.saturating_mul(4);
            journal.note(now.to_string());
            going_on.is(now);
            journal.show();
        } else {
            going_on.is(now);
            journal.show_figures();
        }
    }
}
