//! Keeps work that nobody is in a hurry for from taking the machine away from the ticks.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// After a piece, so many times as long as it took is rested: a twentieth of one core at most.
const REST: u32 = 19;
/// No rest is longer.
const LONGEST_REST: Duration = Duration::from_secs(2);

/// One piece of work at a time, with a rest after each. Whoever comes to a rested pace does not wait.
#[derive(Debug)]
pub struct Pace(Mutex<Instant>);

/// A piece of work; it ends when this is dropped.
#[derive(Debug)]
pub struct Piece<'a> {
    due: MutexGuard<'a, Instant>,
    began: Instant,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Pace {
    /// Begins a piece when it is its turn.
    pub async fn piece(&self) -> Piece<'_> {
        let due = self.0.lock().await;
        tokio::time::sleep_until(*due).await;
        Piece { due, began: Instant::now() }
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        let rest = self.began.elapsed().saturating_mul(REST).min(LONGEST_REST);
        *self.due = Instant::now() + rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_piece_is_followed_by_a_rest_in_its_measure() {
        let pace = Pace::default();
        let began = Instant::now();
        let first = pace.piece().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_millis(10)).await;
        drop(first);
        drop(pace.piece().await);
        let waited = began.elapsed();
        assert!((200..=202).contains(&waited.as_millis()), "{waited:?}");
    }
}
