//! Filters against a model, pages against new arrivals (TES contract §8).

use std::collections::BTreeMap;

use futures::future::join_all;
use proptest::prelude::*;

use super::Subject;
use super::samples::*;
use crate::store::{ListQuery, Store};
use crate::task::{Owner, Phase, TaskId};

/// A task as the filters see it.
#[derive(Debug, Clone)]
struct Sample {
    owner: Owner,
    name: Option<String>,
    tags: BTreeMap<String, String>,
    phase: Phase,
}

fn any_text() -> impl Strategy<Value = String> {
    "[aA%_\\[é]{0,2}"
}

fn any_phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(&PHASES[..])
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let owner = prop::sample::select(vec!["ann", "bob"]);
    let tags = prop::collection::btree_map("[aA]{0,1}", any_text(), 0..3);
    (owner, prop::option::of(any_text()), tags, any_phase()).prop_map(|(owner, name, tags, phase)| Sample {
        owner: Owner(owner.to_owned()),
        name,
        tags,
        phase,
    })
}

fn any_query() -> impl Strategy<Value = ListQuery> {
    let tags = prop::collection::vec(("[aA]{0,1}", prop::option::of(any_text())), 0..3);
    let prefix = prop_oneof![Just(String::new()), any_text()];
    (prefix, prop::option::of(any_phase()), tags, 1..5u32).prop_map(|(name_prefix, phase, tags, size)| ListQuery {
        name_prefix,
        phase,
        tags,
        after: None,
        size,
    })
}

/// What the contract says of a filter, word for word.
fn shows(query: &ListQuery, sample: &Sample) -> bool {
    let name = sample.name.as_deref().unwrap_or("");
    name.starts_with(&query.name_prefix)
        && query.phase.is_none_or(|phase| phase == sample.phase)
        && query.tags.iter().all(|(key, value)| match value {
            Some(value) => sample.tags.get(key) == Some(value),
            None => sample.tags.contains_key(key),
        })
}

async fn put_samples(store: &impl Store, samples: &[Sample]) -> Vec<TaskId> {
    let put_one = |(n, sample): (usize, &Sample)| {
        let mut spec = spec("");
        spec.name.clone_from(&sample.name);
        spec.tags = Some(sample.tags.clone());
        let (owner, phase) = (sample.owner.clone(), sample.phase);
        async move {
            let id = put(store, &owner, i64::try_from(n).unwrap(), spec).await;
            bring(store, &owner, &id, phase).await;
            id
        }
    };
    join_all(samples.iter().enumerate().map(put_one)).await
}

/// Walks all pages; the whole tasks and the summaries must be the same ones.
async fn walk(store: &impl Store, owner: &Owner, query: &ListQuery) -> Vec<TaskId> {
    let mut query = query.clone();
    let mut ids = Vec::new();
    loop {
        let page = store.list_summaries(owner, &query).await.unwrap();
        let whole = store.list(owner, &query).await.unwrap();
        assert_eq!(page.next, whole.next);
        let told: Vec<_> = whole.items.iter().map(|t| (t.id.clone(), t.created, t.state.phase())).collect();
        assert_eq!(page.items.iter().map(|t| (t.id.clone(), t.created, t.phase)).collect::<Vec<_>>(), told);
        assert!(page.items.len() <= query.size as usize);
        ids.extend(page.items.into_iter().map(|summary| summary.id));
        let Some(next) = page.next else { return ids };
        query.after = Some(next);
    }
}

pub(crate) async fn rule_8_7_filters_agree_with_a_model(subject: &impl Subject) {
    let cases = (prop::collection::vec(any_sample(), 0..24), prop::collection::vec(any_query(), 24));
    for_all(24, &cases, async |(samples, queries)| {
        let store = subject.fresh().await;
        let ids = put_samples(&store, &samples).await;
        for query in &queries {
            for owner in [Owner("ann".to_owned()), Owner("bob".to_owned())] {
                let mut expected: Vec<&TaskId> = samples
                    .iter()
                    .zip(&ids)
                    .filter(|(sample, _)| sample.owner == owner && shows(query, sample))
                    .map(|(_, id)| id)
                    .collect();
                expected.reverse();
                let found = walk(&store, &owner, query).await;
                assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{owner}: {query:?}");
            }
        }
    });
}

pub(crate) async fn rule_8_4_prefixes_are_literal(subject: &impl Subject) {
    let store = subject.fresh().await;
    let names =
        ["100% sure", "100 sure", "a_b", "axb", "a*b", "[ab]c", "ac", "Ab", "ab", "é", "e\u{301}", "\u{10ffff}z"];
    for (n, name) in names.iter().enumerate() {
        put(&store, &ann(), i64::try_from(n).unwrap(), spec(name)).await;
    }
    let mut unnamed = spec("");
    unnamed.name = None;
    put(&store, &ann(), 100, unnamed).await;
    let prefixes =
        ["100%", "a_", "a*", "[ab]", "a.", "a", "A", "ab", "é", "e", "\u{10ffff}", "100% sure", "100% sure!", "%", "_"];
    for prefix in prefixes {
        let query = ListQuery { name_prefix: prefix.to_owned(), size: 50, ..ListQuery::default() };
        let found = store.list(&ann(), &query).await.unwrap().items;
        let found: Vec<String> = found.into_iter().rev().filter_map(|task| task.spec.name).collect();
        let expected: Vec<&str> = names.iter().copied().filter(|name| name.starts_with(prefix)).collect();
        assert_eq!(found, expected, "`{prefix}`");
    }
}

pub(crate) async fn rule_8_6_tags_as_the_contract_says(subject: &impl Subject) {
    let store = subject.fresh().await;
    let tagged = [
        vec![("a", "x")],
        vec![("a", "")],
        vec![("a", "x"), ("b", "y")],
        vec![("b", "y")],
        vec![("A", "x"), ("a.b", "%")],
    ];
    let mut ids = Vec::new();
    for (n, tags) in tagged.iter().enumerate() {
        let mut spec = spec("tagged");
        spec.tags = Some(tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        ids.push(put(&store, &ann(), i64::try_from(n).unwrap(), spec).await);
    }
    put_one(&store).await;
    type Row = (&'static [(&'static str, Option<&'static str>)], &'static [usize]);
    let table: &[Row] = &[
        (&[("a", Some("x"))], &[2, 0]),
        (&[("a", None)], &[2, 1, 0]),
        (&[("a", Some(""))], &[1]),
        (&[("a", Some("x")), ("b", None)], &[2]),
        (&[("a", Some("x")), ("a", None)], &[2, 0]),
        (&[("a", Some("x")), ("a", Some(""))], &[]),
        (&[("b", Some("x"))], &[]),
        (&[("a.b", Some("%"))], &[4]),
        (&[("A", None)], &[4]),
        (&[("", None)], &[]),
    ];
    for (tags, expected) in table {
        let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect();
        let query = ListQuery { tags, size: 1, ..ListQuery::default() };
        let expected: Vec<TaskId> = expected.iter().map(|n| ids[*n].clone()).collect();
        assert_eq!(walk(&store, &ann(), &query).await, expected, "{query:?}");
    }
}

pub(crate) async fn rule_8_3_the_last_page_has_no_next(subject: &impl Subject) {
    let store = subject.fresh().await;
    for n in 0..4 {
        put(&store, &ann(), n, spec("n")).await;
    }
    for (size, more) in [(3, true), (4, false), (5, false), (u32::MAX, false)] {
        let page = store.list_summaries(&ann(), &ListQuery { size, ..ListQuery::default() }).await.unwrap();
        assert_eq!(page.next.is_some(), more, "pages of {size}");
    }
}

/// New tasks between any two pages: those there at first come once each, in order, and none is skipped.
pub(crate) async fn rule_8_1_pages_partition_the_list(subject: &impl Subject) {
    let cases = (0..20i64, 1..7u32, prop::collection::vec(0..4u8, 20));
    for_all(16, &cases, async |(there, size, arrivals)| {
        let store = subject.fresh().await;
        let mut expected = Vec::new();
        for n in 0..there {
            expected.insert(0, put(&store, &ann(), n, spec("there")).await);
        }
        let mut query = ListQuery { size, ..ListQuery::default() };
        let mut found = Vec::new();
        for (page, new) in arrivals.into_iter().enumerate() {
            let told = store.list_summaries(&ann(), &query).await.unwrap();
            found.extend(told.items.into_iter().map(|summary| summary.id));
            for _ in 0..new {
                put(&store, &ann(), 1_000 + i64::try_from(page).unwrap(), spec("new")).await;
            }
            query.after = told.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    });
}

/// The same while others really write at the same time.
pub(crate) async fn rule_8_1_pages_stand_while_tasks_arrive(subject: &impl Subject) {
    let store = subject.fresh().await;
    let tag = |spec: &mut crate::task::TaskSpec| spec.tags = Some([("run".to_owned(), "7".to_owned())].into());
    let mut expected = Vec::new();
    for n in 0..60 {
        let mut spec = spec("there");
        tag(&mut spec);
        expected.insert(0, put(&store, &ann(), n, spec).await);
    }
    let arriving = async {
        for n in 0..200 {
            let mut spec = spec("new");
            tag(&mut spec);
            put(&store, &ann(), 1_000 + n, spec).await;
        }
    };
    let tags = vec![("run".to_owned(), Some("7".to_owned()))];
    let walking = async {
        let mut walks = Vec::new();
        for size in [1, 7, 60] {
            let mut query = ListQuery { size, tags: tags.clone(), ..ListQuery::default() };
            let mut found = Vec::new();
            loop {
                let page = store.list_summaries(&ann(), &query).await.unwrap();
                found.extend(page.items.into_iter().map(|summary| summary.id));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            walks.push(found);
        }
        walks
    };
    let ((), walks) = tokio::join!(arriving, walking);
    for mut found in walks {
        assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "newest first, each once");
        found.retain(|id| *id <= expected[0]);
        assert_eq!(found, expected);
    }
}
