//! What a target was not told yet, and how far it was told for good. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::store::{Change, ChangeId};
use crate::task::TaskId;

/// Changes that may be open at once, give or take a page; then those that come after them wait in the store.
const MOST_OPEN: usize = 1_024;
/// Changes that no target wanted and that are looked at again after a restart, at most.
const UNWANTED: u64 = 1_000;

/// A target's window on what happens: it is read at its newer end, and closed in any order.
#[derive(Debug)]
pub(super) struct Window {
    /// The last change that was read, wanted or not.
    read: ChangeId,
    /// Neither taken nor given up.
    open: BTreeSet<ChangeId>,
    /// A task is here while one of its changes is under way, with those that wait for it.
    behind: BTreeMap<TaskId, VecDeque<Change>>,
    /// As far as the store knows.
    told: ChangeId,
    /// The last of those that were closed.
    closed: ChangeId,
}

impl Window {
    /// A window that begins after a change.
    pub(super) fn after(told: ChangeId) -> Self {
        Self { read: told, open: BTreeSet::new(), behind: BTreeMap::new(), told, closed: told }
    }

    /// After what is read next; `None` while too much is open.
    pub(super) fn wants_more(&self) -> Option<ChangeId> {
        (self.open.len() < MOST_OPEN).then_some(self.read)
    }

    /// Goes on to a change that the target does not want.
    pub(super) fn pass(&mut self, id: ChangeId) {
        self.read = id;
    }

    /// Opens a change, and gives it back when none of its task is under way.
    pub(super) fn open(&mut self, change: Change) -> Option<Change> {
        self.read = change.id;
        self.open.insert(change.id);
        match self.behind.get_mut(&change.task) {
            Some(behind) => {
                behind.push_back(change);
                None
            }
            None => {
                self.behind.insert(change.task.clone(), VecDeque::new());
                Some(change)
            }
        }
    }

    /// Closes a change that was under way, and gives the one that waited for it.
    pub(super) fn close(&mut self, task: &TaskId, id: ChangeId) -> Option<Change> {
        self.open.remove(&id);
        self.closed = self.closed.max(id);
        let next = self.behind.get_mut(task).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.behind.remove(task);
        }
        next
    }

    /// What the store should know and does not; what no target wanted is worth a write only now and then.
    pub(super) fn to_tell(&self) -> Option<ChangeId> {
        let all_closed = self.open.first().map_or(self.read, |first| ChangeId(first.0.saturating_sub(1)));
        let further = all_closed.0.saturating_sub(self.told.0);
        let at_least = if self.closed > self.told { 1 } else { UNWANTED };
        (further >= at_least).then_some(all_closed)
    }

    /// The store knows.
    pub(super) fn told(&mut self, told: ChangeId) {
        self.told = self.told.max(told);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::task::{Owner, Phase};

    fn change(id: u64, task: &TaskId) -> Change {
        Change {
            id: ChangeId(id),
            owner: Owner("ann".to_owned()),
            task: task.clone(),
            phase: Phase::Complete,
            previous: None,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    fn task() -> TaskId {
        TaskId::new(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_task_is_told_of_in_order_and_others_beside_it() {
        let (one, other) = (task(), task());
        let mut window = Window::after(ChangeId(0));
        assert_eq!(window.open(change(1, &one)).unwrap().id, ChangeId(1));
        assert!(window.open(change(2, &one)).is_none());
        assert_eq!(window.open(change(3, &other)).unwrap().id, ChangeId(3));
        assert!(window.close(&other, ChangeId(3)).is_none());
        assert_eq!(window.close(&one, ChangeId(1)).unwrap().id, ChangeId(2));
        assert!(window.open(change(4, &one)).is_none());
        assert_eq!(window.close(&one, ChangeId(2)).unwrap().id, ChangeId(4));
        assert!(window.close(&one, ChangeId(4)).is_none());
        assert!(window.behind.is_empty() && window.open.is_empty());
    }

    #[test]
    fn what_is_told_for_good_ends_before_the_first_open_one() {
        let (one, other) = (task(), task());
        let mut window = Window::after(ChangeId(6));
        window.open(change(7, &one));
        window.open(change(8, &other));
        window.pass(ChangeId(9));
        window.close(&other, ChangeId(8));
        assert_eq!(window.to_tell(), None);
        window.open(change(10, &other));
        window.close(&one, ChangeId(7));
        assert_eq!(window.to_tell(), Some(ChangeId(9)));
        // Not written: it is still to be told, and what comes is not held up.
        assert_eq!((window.to_tell(), window.wants_more()), (Some(ChangeId(9)), Some(ChangeId(10))));
        window.told(ChangeId(9));
        assert_eq!(window.to_tell(), None);
        window.close(&other, ChangeId(10));
        assert_eq!(window.to_tell(), Some(ChangeId(10)));
        window.told(ChangeId(10));
        assert_eq!(window.to_tell(), None);
    }

    #[test]
    fn what_is_closed_while_the_store_is_told_is_told_next() {
        let (one, other) = (task(), task());
        let mut window = Window::after(ChangeId(0));
        window.open(change(1, &one));
        window.open(change(2, &other));
        window.close(&one, ChangeId(1));
        let under_way = window.to_tell().unwrap();
        window.close(&other, ChangeId(2));
        window.told(under_way);
        assert_eq!(window.to_tell(), Some(ChangeId(2)));
    }

    #[test]
    fn what_nobody_wants_is_written_now_and_then() {
        let mut window = Window::after(ChangeId(5));
        window.pass(ChangeId(1_004));
        assert_eq!(window.to_tell(), None);
        window.pass(ChangeId(1_005));
        assert_eq!(window.to_tell(), Some(ChangeId(1_005)));
    }

    #[test]
    fn a_window_has_a_bound() {
        let (mut window, one) = (Window::after(ChangeId(0)), task());
        for id in 1..=MOST_OPEN as u64 {
            assert!(window.wants_more().is_some(), "{id}");
            window.open(change(id, &one));
        }
        assert_eq!(window.wants_more(), None);
        window.close(&one, ChangeId(1));
        assert!(window.wants_more().is_some());
    }
}
