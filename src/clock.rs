//! Time: the system's, or one that a test holds.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// Tells what time it is, and wakes at a moment. Cloning it is looking at the same clock.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Held(Held),
}

#[derive(Debug, Clone)]
struct Held {
    now: Arc<Mutex<Timestamp>>,
    /// Wakes in the order in which they came to wait: a simulation is the same each time.
    moved: Arc<Notify>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until [`Clock::advance`].
    pub fn held(at: Timestamp) -> Self {
        Self(Kind::Held(Held { now: Arc::new(Mutex::new(at)), moved: Arc::default() }))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Kind::System => Timestamp::now(),
            Kind::Held(held) => *held.lock(),
        }
    }

    /// Moves a held clock, and wakes whoever waited for what is now past. A system's clock moves by itself.
    pub fn advance(&self, time: Duration) {
        if let Kind::Held(held) = &self.0 {
            let mut now = held.lock();
            *now = after(*now, time);
            drop(now);
            held.moved.notify_waiters();
        }
    }

    /// Puts a held clock right, or wrong, also back; whoever waits looks again.
    pub fn put(&self, to: Timestamp) {
        if let Kind::Held(held) = &self.0 {
            *held.lock() = to;
            held.moved.notify_waiters();
        }
    }

    /// Returns when so much time has passed.
    pub async fn sleep(&self, time: Duration) {
        match &self.0 {
            Kind::System => tokio::time::sleep(time).await,
            Kind::Held(held) => {
                let until = after(*held.lock(), time);
                loop {
                    // Subscribe before looking, or a move between the two is lost.
                    let mut moved = pin!(held.moved.notified());
                    moved.as_mut().enable();
                    if *held.lock() >= until {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }

    /// What the future answers, or `None` when it takes longer than this.
    pub async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            // An answer that is there counts, also when the time is over.
            biased;
            answer = future => Some(answer),
            () = self.sleep(time) => None,
        }
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Timestamp> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment after another; far beyond what can be told it is the last moment there is.
pub fn after(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_clock_wakes_those_whose_time_has_come() {
        let clock = Clock::held(Timestamp::UNIX_EPOCH);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(2)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert!(sleeper.await.is_ok());
        assert_eq!(clock.now(), after(Timestamp::UNIX_EPOCH, Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn an_answer_that_is_there_counts_and_one_that_never_comes_does_not_hang() {
        let clock = Clock::held(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.within(Duration::ZERO, async { 1 }).await, Some(1));
        assert_eq!(clock.within(Duration::ZERO, std::future::pending::<u8>()).await, None);
    }

    #[test]
    fn time_does_not_overflow() {
        assert_eq!(after(Timestamp::MAX, Duration::MAX), Timestamp::MAX);
    }
}
