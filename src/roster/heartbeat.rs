//! The further words: that this server is still there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{error, info, warn};

use super::present::{Others, Roster};
use crate::clock::{Clock, after};
use crate::store::{Enlisted, Store};

/// How soon a word is tried again that the store did not take.
const AGAIN: Duration = Duration::from_secs(1);

impl Roster {
    /// Says once that this server is there, and hears of the others. Whether the word was taken.
    pub async fn beat(&self, store: &dyn Store, clock: &Clock) -> bool {
        let Some(others) = self.others() else { return true };
        if self.replaced().is_some() {
            return false;
        }
        // Counted from before the question: it holds for the others at least as long.
        let now = clock.now();
        let until = after(now, others.terms.lease);
        match store.enlist(&others.me, now, until).await {
            Ok(Enlisted::Here(all)) => {
                let slept = !self.may_act(now) && !others.rests.load(Ordering::Relaxed);
                others.hear(all, until, now);
                if slept {
                    warn!(
                        name = others.me.name,
                        "this server stood still for longer than its lease; it is enlisted again, and goes on with what \
                         the others have not taken over"
                    );
                }
                if others.rests.swap(false, Ordering::Relaxed) {
                    info!(name = others.me.name, "this server is enlisted again, and goes on");
                }
                true
            }
            Ok(Enlisted::Taken(other)) => {
                let address = other.replica.address.as_deref().unwrap_or_default();
                error!(
                    name = others.me.name,
                    other = other.replica.holder.0,
                    address,
                    "another server has taken the name of this one; this one does nothing more: stop it, or give one of \
                     them another `replica.name`"
                );
                others.is_replaced_by(other);
                false
            }
            Err(error) => {
                self.not_taken(others, clock, &error.to_string());
                false
            }
        }
    }

    fn not_taken(&self, others: &Others, clock: &Clock, error: &str) {
        if self.may_act(clock.now()) {
            warn!(name = others.me.name, error, "could not tell the store that this server is there; trying again");
        } else if !others.rests.swap(true, Ordering::Relaxed) {
            error!(
                name = others.me.name,
                error,
                "the store has not taken this server's word for a lease: it does nothing until it is enlisted again"
            );
        }
    }

    /// Says so until the shutdown resolves, and then that it goes. A server alone has nobody to tell.
    pub async fn keep(&self, store: &dyn Store, clock: &Clock, stopped: impl Future<Output = ()>) {
        let Some(others) = self.others() else { return };
        tokio::pin!(stopped);
        let mut taken = true;
        loop {
            let third = (others.terms.lease / 3).max(Duration::from_millis(1));
            let pause = if taken { third } else { third.min(AGAIN) };
            tokio::select! {
                () = &mut stopped => break,
                () = clock.sleep(pause) => {}
            }
            if self.replaced().is_some() {
                // Nothing is left to say under a name that is another's.
                return stopped.await;
            }
            taken = self.beat(store, clock).await;
        }
        if let Err(error) = store.leave(self.holder(), clock.now()).await {
            warn!(name = others.me.name, %error, "could not tell the store that this server goes; its lease ends by itself");
        }
    }
}
