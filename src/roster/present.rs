//! The servers that are here.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiff::Timestamp;
use ulid::Ulid;

use super::heard::Heard;
use super::join::Terms;
use crate::clock::after;
use crate::store::{Holder, Offer, Present, Replica};

/// What is known of the servers on this store.
#[derive(Debug)]
pub struct Roster {
    holder: Holder,
    /// `None` where there is only one.
    others: Option<Others>,
}

/// What only one of several servers needs.
#[derive(Debug)]
pub(super) struct Others {
    pub(super) me: Replica,
    pub(super) terms: Terms,
    heard: RwLock<Heard>,
    /// Who has our name now: we never act again.
    replaced: OnceLock<Present>,
    /// It was said that we do nothing until we are enlisted again.
    pub(super) rests: AtomicBool,
}

/// How a holder is seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is this server.
    Me,
    /// It is there.
    Here,
    /// It is not, since a moment if that is known: its tasks may be taken over.
    Away(Option<Timestamp>),
}

impl Roster {
    /// The roster of a server that has its store for itself.
    pub fn alone() -> Arc<Self> {
        Arc::new(Self { holder: Holder(run(Timestamp::now())), others: None })
    }

    /// The roster of one of several servers, which has said nothing yet.
    pub(super) fn silent(me: Replica, terms: Terms) -> Self {
        let holder = me.holder.clone();
        let others =
            Others { me, terms, heard: RwLock::default(), replaced: OnceLock::new(), rests: AtomicBool::default() };
        Self { holder, others: Some(others) }
    }

    /// This server's present run.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The name of this server, the same after a restart; empty where there is only one.
    pub fn name(&self) -> &str {
        self.holder.replica()
    }

    /// Whether this server has its store for itself.
    pub fn is_alone(&self) -> bool {
        self.others.is_none()
    }

    /// Whether this server may act: its own word that it is there still holds, and nobody has its name.
    pub fn may_act(&self, now: Timestamp) -> bool {
        self.others.as_ref().is_none_or(|others| {
            others.replaced.get().is_none() && others.heard().until_of(&self.holder).is_some_and(|until| until > now)
        })
    }

    /// Who has this server's name now, if somebody has: it never acts again.
    pub fn replaced(&self) -> Option<&Present> {
        self.others.as_ref()?.replaced.get()
    }

    /// How a holder is seen. Where there is only one, all work is its own, whoever began it.
    pub fn sees(&self, holder: &Holder, now: Timestamp) -> Seen {
        let Some(others) = self.others.as_ref().filter(|_| *holder != self.holder) else { return Seen::Me };
        let heard = others.heard();
        let Some((known, until)) = heard.named(holder.replica()) else {
            return if others.may_be_new(holder, heard.at()) { Seen::Here } else { Seen::Away(None) };
        };
        match holder.0.cmp(&known.replica.holder.0) {
            std::cmp::Ordering::Equal if until > now => Seen::Here,
            std::cmp::Ordering::Equal => Seen::Away(Some(until)),
            // A later run than the one that was heard of.
            std::cmp::Ordering::Greater => Seen::Here,
            std::cmp::Ordering::Less => Seen::Away(None),
        }
    }

    /// The server of this name, in its last run.
    pub fn named(&self, name: &str) -> Option<Present> {
        let heard = self.others.as_ref()?.heard();
        heard.named(name).map(|(one, until)| Present { replica: one.replica.clone(), until })
    }

    /// All servers that have said that they are there, by name, with moments of our own clock; none where there is only
    /// one.
    pub fn present(&self) -> Vec<Present> {
        self.others.as_ref().map(|others| others.heard().present().collect()).unwrap_or_default()
    }

    /// Whether all were heard of who said at this moment that they are there, by clocks that are a lease apart at most.
    pub fn has_heard_all_of(&self, at: Timestamp) -> bool {
        let Some(others) = &self.others else { return true };
        others.heard().at().is_some_and(|heard| heard >= after(at, others.terms.lease))
    }

    /// How long a machine may be away before its tasks are settled without it.
    pub fn absent_after(&self) -> Duration {
        self.others.as_ref().map_or(Duration::MAX, |others| others.terms.absent_after)
    }

    /// Since when this server has been there to hear of others; nobody is missed from before that.
    pub(super) fn listens_since(&self) -> Option<Timestamp> {
        self.others.as_ref()?.heard().since()
    }

    /// Whether a server that shares the store would have been heard of, were it to come back at all.
    pub fn has_waited(&self, now: Timestamp) -> bool {
        self.is_alone() || self.listens_since().is_some_and(|since| after(since, self.absent_after()) <= now)
    }

    /// The backends of this name that a server has which is here, or has been away only briefly.
    pub fn offers(&self, name: &str, now: Timestamp) -> Vec<(Present, Offer)> {
        let absent_after = self.absent_after();
        let reachable = self.present().into_iter().filter(|one| after(one.until, absent_after) > now);
        reachable
            .filter_map(|one| {
                let offer = one.replica.backends.iter().find(|offer| offer.name == name)?.clone();
                Some((one, offer))
            })
            .collect()
    }

    /// Whether this server is the one that speaks, of those here that have a backend of this name: what holds for all of
    /// them is told once.
    pub fn is_speaker(&self, backend: &str, now: Timestamp) -> bool {
        let mut here = self.offers(backend, now).into_iter().filter(|(one, _)| one.until > now);
        self.is_alone() || here.next().is_none_or(|(first, _)| first.replica.holder == self.holder)
    }

    pub(super) fn others(&self) -> Option<&Others> {
        self.others.as_ref()
    }
}

impl Others {
    fn heard(&self) -> RwLockReadGuard<'_, Heard> {
        self.heard.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our word was taken until a moment, and these were there.
    pub(super) fn hear(&self, rows: Vec<Present>, until: Timestamp, now: Timestamp) {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        heard.hear(rows, &self.me.holder, until, now, self.terms.lease);
    }

    /// Somebody else has our name.
    pub(super) fn is_replaced_by(&self, other: Present) {
        // Whoever was the first to take it is as good as the next.
        let _ = self.replaced.set(other);
    }

    /// A run of a name that was never heard of may have begun since.
    fn may_be_new(&self, holder: &Holder, heard: Option<Timestamp>) -> bool {
        let began = holder.0.rsplit_once('/').and_then(|(_, run)| Ulid::from_string(run).ok());
        let began = began.and_then(|run| i64::try_from(run.timestamp_ms()).ok());
        let began = began.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        began.is_some_and(|began| heard.is_none_or(|heard| after(began, self.terms.lease) > heard))
    }
}

/// The id of a run: later ones are higher.
pub(super) fn run(began: Timestamp) -> String {
    let began_ms = u64::try_from(began.as_millisecond()).unwrap_or(0);
    Ulid::from_parts(began_ms, Ulid::generate().random()).to_string().to_ascii_lowercase()
}
