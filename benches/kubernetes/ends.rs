//! What has ended, and when that was heard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use tokio::sync::Notify;

use crate::PATIENCE;

/// Names, how each ended, and when. The first time counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ends(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    heard: Mutex<HashMap<String, (bool, Instant)>>,
    more: Notify,
}

impl Ends {
    /// That it has ended, and whether well.
    pub(crate) fn note(&self, name: &str, well: bool) {
        let mut heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.entry(name.to_owned()).or_insert_with(|| (well, Instant::now()));
        drop(heard);
        self.0.more.notify_waiters();
    }

    /// When each of these ended; waits for the last one. An error when one has not ended well.
    pub(crate) async fn of(&self, names: &[String]) -> Result<Vec<Instant>> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                // Listen before looking, or an end between the two is lost.
                let more = self.0.more.notified();
                if let Some(found) = self.look(names) {
                    return found;
                }
                more.await;
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => bail!("{} of {} have not ended after {PATIENCE:?}", self.missing(names), names.len()),
        }
    }

    fn look(&self, names: &[String]) -> Option<Result<Vec<Instant>>> {
        let heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Vec<_> = names.iter().map(|name| heard.get(name)).collect::<Option<_>>()?;
        let bad = found.iter().filter(|(well, _)| !well).count();
        if bad > 0 {
            return Some(Err(anyhow::anyhow!("{bad} of {} did not end well", names.len())));
        }
        Some(Ok(found.into_iter().map(|(_, at)| *at).collect()))
    }

    fn missing(&self, names: &[String]) -> usize {
        let heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|name| !heard.contains_key(*name)).count()
    }
}
