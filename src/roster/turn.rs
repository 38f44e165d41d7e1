//! Work that one server does at a time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{self, Clock};
use crate::store::{Holder, Store, StoreError};

/// How long nobody else begins after a server was last heard of.
pub const LEASE: Duration = Duration::from_secs(15);
/// So often a lease is asked for while it holds.
const TRIES: u32 = 3;

/// A server's place among others that would do the same.
#[derive(Clone)]
pub struct Turn {
    /// Where they agree.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Clock,
    /// This server.
    pub holder: Holder,
    /// How long nobody else begins after this server was last heard of.
    pub lease: Duration,
}

impl Turn {
    /// Does a piece of work while no other server does, until it is over or this server stops. Politeness, no lock: where
    /// two do it for a moment, because one of them was paused, it must be harmless. Work that is interrupted begins anew
    /// in the next turn.
    pub async fn take<W: Future<Output = ()>>(
        &self,
        what: &str,
        work: impl Fn() -> W,
        stopped: impl Future<Output = ()>,
    ) {
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return,
                () = self.comes(what) => {}
            }
            tokio::select! {
                () = &mut stopped => {}
                () = work() => {}
                () = self.is_over(what) => continue,
            }
            // The next one need not wait. That it cannot be said now costs a lease.
            let _ = self.ask(what, self.clock.now(), Duration::ZERO).await;
            return;
        }
    }

    async fn ask(&self, what: &str, now: Timestamp, lease: Duration) -> Result<bool, StoreError> {
        self.store.lease(what, &self.holder, now, clock::after(now, lease)).await
    }

    /// Returns when it is this server's turn.
    async fn comes(&self, what: &str) {
        loop {
            match self.ask(what, self.clock.now(), self.lease).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::debug!(what, %error, "cannot ask whose turn it is"),
            }
            self.clock.sleep(self.lease / TRIES).await;
        }
    }

    /// Returns when another server may have begun.
    async fn is_over(&self, what: &str) {
        let mut until = clock::after(self.clock.now(), self.lease);
        loop {
            self.clock.sleep(self.lease / TRIES).await;
            let now = self.clock.now();
            match self.ask(what, now, self.lease).await {
                Ok(true) => until = clock::after(now, self.lease),
                Ok(false) => return,
                Err(_) if now < until => {}
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::{Notify, watch};

    use super::*;
    use crate::store::sqlite::Sqlite;

    /// A server that works, and says so.
    struct Server {
        begun: Arc<AtomicU32>,
        ended: Arc<AtomicU32>,
        moved: Arc<Notify>,
        stop: watch::Sender<bool>,
        running: tokio::task::JoinHandle<()>,
    }

    struct Leaves(Arc<AtomicU32>, Arc<Notify>);

    impl Drop for Leaves {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.notify_waiters();
        }
    }

    impl Server {
        fn start(store: &Arc<Sqlite>, clock: &Clock, name: &str, moved: &Arc<Notify>) -> Self {
            let turn = Turn {
                store: store.clone(),
                clock: clock.clone(),
                holder: Holder(format!("{name}/1")),
                lease: Duration::from_secs(15),
            };
            let (begun, ended): (Arc<AtomicU32>, Arc<AtomicU32>) = Default::default();
            let (stop, mut stopping) = watch::channel(false);
            let (begins, ends, moves) = (begun.clone(), ended.clone(), moved.clone());
            let running = tokio::spawn(async move {
                let work = || async {
                    begins.fetch_add(1, Ordering::SeqCst);
                    moves.notify_waiters();
                    let _leaves = Leaves(ends.clone(), moves.clone());
                    std::future::pending::<()>().await;
                };
                let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
                turn.take("work", work, stopped).await;
            });
            Self { begun, ended, moved: moved.clone(), stop, running }
        }

        fn works(&self) -> bool {
            self.begun.load(Ordering::SeqCst) > self.ended.load(Ordering::SeqCst)
        }

        /// Moves the clock on until it works.
        async fn until_it_works(&self, clock: &Clock) {
            while !self.works() {
                let moved = self.moved.notified();
                clock.advance(Duration::from_secs(1));
                let _ = tokio::time::timeout(Duration::from_millis(5), moved).await;
            }
        }
    }

    #[tokio::test]
    async fn one_works_at_a_time_and_another_goes_on_after_it_dies_or_stops() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tessera.db")).unwrap());
        let clock = Clock::held(Timestamp::from_second(1_700_000_000).unwrap());
        let moved = Arc::default();
        let first = Server::start(&store, &clock, "a", &moved);
        first.until_it_works(&clock).await;
        let second = Server::start(&store, &clock, "b", &moved);
        let began = clock.now();
        while clock.now() < clock::after(began, Duration::from_secs(120)) {
            clock.advance(Duration::from_secs(5));
            // Each hears of the time that has passed, and asks.
            let leased = store.lease("work", &first_holder(), clock.now(), clock::after(clock.now(), LEASE)).await;
            assert!(leased.unwrap() && first.works() && !second.works());
        }
        // It dies: nobody says anything for it.
        first.running.abort();
        second.until_it_works(&clock).await;
        // It comes back, and waits.
        let third = Server::start(&store, &clock, "a", &moved);
        assert!(!third.works());
        // An orderly end leaves the turn at once.
        second.stop.send_replace(true);
        second.running.await.unwrap();
        let now = clock.now();
        let taken = store.lease("work", &first_holder(), now, clock::after(now, LEASE)).await;
        assert!(taken.unwrap(), "whoever asks next has it");
        third.until_it_works(&clock).await;
    }

    fn first_holder() -> Holder {
        Holder("a/1".to_owned())
    }

    #[tokio::test]
    async fn who_was_paused_for_longer_than_its_lease_stops_working() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(folder.path().join("tessera.db")).unwrap());
        let clock = Clock::held(Timestamp::from_second(1_700_000_000).unwrap());
        let moved = Arc::default();
        let first = Server::start(&store, &clock, "a", &moved);
        first.until_it_works(&clock).await;
        // What another server sees, whose clock is ahead as if this one had been asleep.
        let later = clock::after(clock.now(), Duration::from_secs(60));
        let other = Holder("b/1".to_owned());
        assert!(store.lease("work", &other, later, clock::after(later, Duration::from_secs(600))).await.unwrap());
        while first.works() {
            let moved = first.moved.notified();
            clock.advance(Duration::from_secs(5));
            let _ = tokio::time::timeout(Duration::from_millis(5), moved).await;
        }
        assert_eq!(first.begun.load(Ordering::SeqCst), 1);
    }
}
