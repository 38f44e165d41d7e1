//! Which tasks a listing shows (TES contract §8).

use std::ops::Bound;

use super::ground::{Ground, Row};
use crate::store::{ListQuery, Page, Summary};
use crate::task::{Owner, Task, TaskId};

fn is_asked_for(row: &Row, query: &ListQuery) -> bool {
    let named = || row.spec.name.as_deref().is_some_and(|name| name.starts_with(&query.name_prefix));
    let tagged = |(key, value): &(String, Option<String>)| {
        let tag = row.spec.tags.as_ref().and_then(|tags| tags.get(key));
        tag.is_some_and(|tag| value.as_ref().is_none_or(|value| value == tag))
    };
    (query.name_prefix.is_empty() || named())
        && query.phase.is_none_or(|phase| row.state.phase() == phase)
        && query.tags.iter().all(tagged)
}

impl Ground {
    fn page<T>(&self, owner: &Owner, query: &ListQuery, show: impl Fn(&TaskId, &Row) -> T) -> Page<T> {
        let below = query.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.tasks.range::<TaskId, _>((Bound::Unbounded, below)).rev();
        let mut found = rows.filter(|(_, row)| row.owner == *owner && is_asked_for(row, query));
        let shown: Vec<_> = found.by_ref().take(query.size as usize).collect();
        let next = shown.last().filter(|_| found.next().is_some()).map(|(id, _)| (*id).clone());
        Page { items: shown.into_iter().map(|(id, row)| show(id, row)).collect(), next }
    }

    pub(super) fn list_summaries(&self, owner: &Owner, query: &ListQuery) -> Page<Summary> {
        self.page(owner, query, summary)
    }

    pub(super) fn list(&self, owner: &Owner, query: &ListQuery) -> Page<Task> {
        self.page(owner, query, |id, row| row.task(id))
    }
}

pub(super) fn summary(id: &TaskId, row: &Row) -> Summary {
    Summary { id: id.clone(), created: row.created, phase: row.state.phase() }
}
