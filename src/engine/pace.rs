//! Keeps work that nobody is in a hurry for from taking the machine away from the ticks.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

/// After a piece, so many times as long as it took is rested: a twentieth of one core at most.
const REST: u32 = 19;
/// No rest is longer.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// One piece of work at a time, with a rest after each. Whoever comes to a rested pace does not wait.
#[derive(Debug)]
pub struct Pace(Mutex<Instant>);

/// A piece of work; it ends when this is dropped.
#[derive(Debug)]
pub struct Piece<'a> {
    due: MutexGuard<'a, Instant>,
    began: Instant,
    took: Option<Duration>,
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
        Piece { due, began: Instant::now(), took: None }
    }
}

impl Piece<'_> {
    /// Ends the piece: this was the work in it, the rest was waiting.
    pub fn took(mut self, work: Duration) {
        self.took = Some(work);
    }
}

impl Drop for Piece<'_> {
    fn drop(&mut self) {
        let work = self.took.unwrap_or_else(|| self.began.elapsed());
        let rest = work.saturating_mul(REST).min(LONGEST_REST);
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

    #[tokio::test(start_paused = true)]
    async fn only_work_is_rested_from_and_never_for_long() {
        let pace = Pace::default();
        let first = pace.piece().await;
        tokio::time::advance(Duration::from_secs(60)).await;
        first.took(Duration::from_millis(1));
        let began = Instant::now();
        let second = pace.piece().await;
        assert!((19..=21).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        second.took(Duration::from_secs(60));
        let began = Instant::now();
        drop(pace.piece().await);
        assert!((200..=202).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    }
}
