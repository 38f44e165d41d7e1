//! Through all owners, again and again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::rules::Rules;
use crate::clock::Clock;
use crate::logs::Logs;
use crate::store::{Holder, Store, StoreError};
use crate::task::Owner;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(600);
/// Tasks removed at once: a fraction of what a commit may hold.
const AT_ONCE: u32 = 100;
/// After a step, times as long as it took: whoever writes meanwhile has most of the writer's time.
const REST: u32 = 3;
/// And at least.
const REST_AT_LEAST: Duration = Duration::from_millis(10);
/// Owners asked for at once.
const OWNERS: u32 = 256;
/// What this is called among several servers, and how long one that walks is not disturbed.
const LEASE: (&str, SignedDuration) = ("retention", SignedDuration::from_secs(60));

/// The one that walks.
pub struct Walk {
    /// The tasks.
    pub store: Arc<dyn Store>,
    /// What they printed, as far as it lies here.
    pub logs: Arc<Logs>,
    /// What time it is.
    pub clock: Clock,
    /// This server.
    pub holder: Holder,
    /// Who keeps what.
    pub rules: Rules,
}

impl Walk {
    /// Removes what is kept no longer, for as long as it is polled. Returns when nothing ever goes.
    pub async fn run(&self) {
        if self.rules.keep_all() {
            return;
        }
        loop {
            let began = Instant::now();
            match self.once().await {
                Ok(0) => {}
                Ok(tasks) => info!(tasks, seconds = began.elapsed().as_secs(), "removed tasks that ended long ago"),
                Err(error) => warn!(%error, "cannot remove old tasks; it is tried again"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Goes through all owners once, if no other server does; answers how many tasks went.
    pub async fn once(&self) -> Result<u64, StoreError> {
        let mut sum = 0;
        let mut after = None;
        let mut held_until = Timestamp::MIN;
        loop {
            let owners = self.store.owners(after.as_ref(), OWNERS).await?;
            for owner in &owners {
                let Some(removed) = self.of(owner, &mut held_until).await? else { return Ok(sum) };
                sum += removed;
            }
            let Some(last) = owners.last() else { return Ok(sum) };
            after = Some(last.clone());
        }
    }

    /// Removes what an owner keeps no longer; `None` when another server walks.
    async fn of(&self, owner: &Owner, held_until: &mut Timestamp) -> Result<Option<u64>, StoreError> {
        let rule = self.rules.of(owner);
        if rule.keeps_all() {
            return Ok(Some(0));
        }
        let beyond = match rule.keep_tasks {
            Some(keep) => self.store.beyond(owner, keep).await?,
            None => None,
        };
        let expiry = rule.expiry(self.clock.now(), beyond);
        let (mut sum, mut after) = (0, None);
        loop {
            if !self.holds(held_until).await? {
                return Ok(None);
            }
            let began = Instant::now();
            let step = self.store.expire(owner, &expiry, after.as_ref(), AT_ONCE).await?;
            let took = began.elapsed();
            sum += step.removed.len() as u64;
            if !step.removed.is_empty() {
                // Should this fail, the logs find by themselves what has no task.
                self.logs.remove(step.removed).await;
            }
            after = step.next;
            if after.is_none() {
                return Ok(Some(sum));
            }
            tokio::time::sleep((took * REST).max(REST_AT_LEAST)).await;
        }
    }

    /// Whether this server is the one that walks. Asked again when half of the time is over.
    async fn holds(&self, until: &mut Timestamp) -> Result<bool, StoreError> {
        let (what, long) = LEASE;
        let now = self.clock.now();
        if until.duration_since(now) > long / 2 {
            return Ok(true);
        }
        let then = now.checked_add(long).unwrap_or(Timestamp::MAX);
        let taken = self.store.lease(what, &self.holder, now, then).await?;
        if taken {
            *until = then;
        }
        Ok(taken)
    }
}
