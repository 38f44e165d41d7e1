//! Old changes go, a few at a time.

use std::time::Duration;

use crate::store::Store;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(10);
/// Removed at once: a fraction of what a commit may hold.
const AT_ONCE: u32 = 2_000;
/// Between two steps, so that others write meanwhile.
const PAUSE: Duration = Duration::from_millis(50);

/// Keeps the newest changes and removes the others, until it is told to stop.
pub async fn keep(store: &dyn Store, changes: u64, stopped: impl Future<Output = ()>) {
    let trimming = async {
        loop {
            let pause = match store.trim(changes, AT_ONCE).await {
                Ok(removed) if removed >= u64::from(AT_ONCE) => PAUSE,
                Ok(_) => EVERY,
                Err(error) => {
                    tracing::warn!(%error, "cannot remove old events; it is tried again");
                    EVERY
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = trimming => {}
        () = stopped => {}
    }
}
