//! What was heard of the others, and until when it makes them present by our own clock. Pure.
//!
//! The moments that servers write are of their own clocks. Only whether a word is new is taken from them; how long ago it
//! was heard is counted here.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;
use crate::store::{Holder, Present};

/// Clocks do not differ by so much: whoever has said nothing for so long is away whenever it is first heard of.
const LONG_AGO: Duration = Duration::from_secs(24 * 3_600);

/// All that was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Each server as it was written, and until when it is here by our clock.
    rows: Vec<(Present, Timestamp)>,
    /// When that was heard.
    at: Option<Timestamp>,
    /// Since when we have been there to hear, without a gap.
    since: Option<Timestamp>,
}

impl Heard {
    /// When the others were heard of last.
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// Since when we have been there to hear: nobody was missed before.
    pub(super) fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Everybody, with moments of our clock.
    pub(super) fn present(&self) -> impl Iterator<Item = Present> {
        self.rows.iter().map(|(one, until)| Present { replica: one.replica.clone(), until: *until })
    }

    /// The run of this name that was heard of, and until when it is here by our clock.
    pub(super) fn named(&self, name: &str) -> Option<(&Present, Timestamp)> {
        self.rows.iter().find(|(one, _)| one.replica.name == name).map(|(one, until)| (one, *until))
    }

    /// Hears what the store holds, after our own word that we are here until a moment.
    pub(super) fn hear(&mut self, rows: Vec<Present>, me: &Holder, own: Timestamp, now: Timestamp, lease: Duration) {
        // We were not there to hear, or our clock was set: nobody is away because of that.
        let is_gap = self.at.is_some_and(|at| now < at || now >= after(at, lease));
        let until = |one: &Present| {
            if one.replica.holder == *me {
                return own;
            }
            let former = self.rows.iter().find(|(former, _)| former.replica.holder == one.replica.holder);
            match former {
                Some((former, _)) if one.until < former.until => now, // It has left.
                Some((former, _)) if one.until > former.until => after(now, lease),
                None if after(one.until, LONG_AGO) < now => one.until,
                None => after(now, lease),
                Some((_, until)) if is_gap && after(*until, LONG_AGO) >= now => {
                    if self.at.is_some_and(|at| *until > at) { after(now, lease) } else { now }
                }
                Some((_, until)) => *until,
            }
        };
        let heard = rows.into_iter().map(|one| {
            let until = until(&one);
            (one, until)
        });
        self.rows = heard.collect();
        self.at = Some(now);
        self.since = self.since.filter(|_| !is_gap).or(Some(now));
    }

    /// Our own word holds until then, whatever was heard.
    pub(super) fn until_of(&self, holder: &Holder) -> Option<Timestamp> {
        self.rows.iter().find(|(one, _)| one.replica.holder == *holder).map(|(_, until)| *until)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::store::Replica;

    const LEASE: Duration = Duration::from_secs(15);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn row(holder: &str, until: i64) -> Present {
        let holder = Holder(holder.to_owned());
        let name = holder.replica().to_owned();
        let replica = Replica { name, holder, seat: String::new(), address: None, backends: vec![] };
        Present { replica, until: at(until) }
    }

    /// Hears rows of others beside our own, and says until when `b` is here by our clock.
    fn hears(heard: &mut Heard, now: i64, b: Present) -> i64 {
        let me = Holder("a/1".to_owned());
        heard.hear(vec![row("a/1", now + 15), b], &me, at(now + 15), at(now), LEASE);
        assert_eq!(heard.until_of(&me), Some(at(now + 15)));
        heard.named("b").unwrap().1.as_second() - 1_000_000
    }

    #[test]
    fn a_new_word_lasts_a_lease_by_our_clock_whatever_the_other_clock_says() {
        for skew in [-3_000, 0, 3_000] {
            let mut heard = Heard::default();
            assert_eq!(hears(&mut heard, 0, row("b/1", skew)), 15, "first heard of: it may have just spoken");
            assert_eq!(hears(&mut heard, 5, row("b/1", skew + 5)), 20);
            assert_eq!(hears(&mut heard, 10, row("b/1", skew + 5)), 20, "nothing new");
            assert_eq!(hears(&mut heard, 15, row("b/1", skew + 5)), 20);
            assert_eq!(hears(&mut heard, 20, row("b/2", skew + 6)), 35, "a later run");
            assert_eq!(hears(&mut heard, 25, row("b/2", skew + 1)), 25, "it has left");
        }
    }

    #[test]
    fn a_gap_of_our_own_makes_nobody_away() {
        for gap in [600, -600] {
            let mut heard = Heard::default();
            hears(&mut heard, 0, row("b/1", 0));
            assert_eq!(hears(&mut heard, gap, row("b/1", 0)), gap + 15);
            // One that was away before may have come back, and could not say so.
            let mut heard = Heard::default();
            hears(&mut heard, 0, row("b/1", 0));
            hears(&mut heard, 10, row("b/1", 0));
            hears(&mut heard, 20, row("b/1", 0));
            assert_eq!(hears(&mut heard, 20 + gap, row("b/1", 0)), 20 + gap);
        }
    }

    #[test]
    fn one_that_spoke_days_ago_is_not_waited_for() {
        let mut heard = Heard::default();
        assert_eq!(hears(&mut heard, 200_000, row("b/1", 0)), 0);
        assert_eq!(hears(&mut heard, 200_600, row("b/1", 0)), 0);
    }
}
