//! Texts that break what is put together by hand.

use jiff::Timestamp;

use super::Subject;
use super::samples::*;
use crate::store::{Ceiling, ListQuery, Store};
use crate::task::spec::{Executor, Input};
use crate::task::{Event, Owner, TaskId, TaskSpec};

const TEXTS: [&str; 9] = [
    "'; DROP TABLE tasks; --",
    "\"quoted\" \\\" \\\\",
    "{\"json\": [1, null]}",
    "🦀 e\u{301} \u{202e} \u{feff}",
    "line\nfeed\r\ttab\u{1}",
    "?1 :name @name $name %s %n",
    "\u{10ffff}\u{d7ff}\u{e000}",
    "   ",
    "NULL",
];

fn hostile(text: &str) -> TaskSpec {
    let map = [(text.to_owned(), text.to_owned())];
    TaskSpec {
        name: Some(text.to_owned()),
        description: Some(text.to_owned()),
        executors: vec![Executor {
            image: text.to_owned(),
            command: vec![text.to_owned(), String::new()],
            env: Some(map.clone().into()),
            ..Executor::default()
        }],
        tags: Some(map.into()),
        ..TaskSpec::default()
    }
}

pub(crate) async fn texts_come_back_as_they_were(subject: &impl Subject) {
    let store = subject.fresh().await;
    for (n, text) in (0..).zip(TEXTS) {
        let owner = Owner(text.to_owned());
        let id = put(&store, &owner, n, hostile(text)).await;
        say(&store, &id, None, Event::Noted { attempt: 1, text: text.to_owned() }).await;
        let task = store.get(&owner, &id).await.unwrap().unwrap();
        assert_eq!((&task.owner, &task.spec), (&owner, &hostile(text)));
        assert_eq!(task.attempts[0].log[0].text, text);
        let mut wish = wish(&id);
        wish.backend = text.to_owned();
        let claimed = store.claim(&holder(text), at(NOW), at(LATER), Ceiling::default(), &[wish]).await.unwrap();
        assert_eq!((&claimed[0].claim.backend, &claimed[0].spec), (&text.to_owned(), &hostile(text)));
    }
}

pub(crate) async fn texts_find_what_they_name(subject: &impl Subject) {
    let store = subject.fresh().await;
    for (n, text) in (0..).zip(TEXTS) {
        put(&store, &ann(), n, hostile(text)).await;
    }
    for text in TEXTS {
        let by_name = ListQuery { name_prefix: text.to_owned(), ..ListQuery::default() };
        let by_tag = ListQuery { tags: vec![(text.to_owned(), Some(text.to_owned()))], ..ListQuery::default() };
        for query in [by_name, by_tag] {
            let found = store.list(&ann(), &ListQuery { size: 20, ..query }).await.unwrap().items;
            assert_eq!(found.iter().map(|t| t.spec.name.as_deref()).collect::<Vec<_>>(), [Some(text)]);
        }
    }
}

pub(crate) async fn long_contents(subject: &impl Subject) {
    let store = subject.fresh().await;
    let content = "0123456789abcdé\n".repeat(131_072 / 16);
    let input = |n| Input { content: Some(content.clone()), path: format!("/in/{n}"), ..Input::default() };
    let mut long = spec("long");
    long.inputs = (0..9).map(input).collect();
    let id = put(&store, &ann(), 1, long.clone()).await;
    say(&store, &id, None, Event::Noted { attempt: 1, text: content.clone() }).await;
    let task = store.get(&ann(), &id).await.unwrap().unwrap();
    assert!(task.spec == long && task.attempts[0].log[0].text == content);
    assert!(try_claim(&store, "a", NOW, &id).await.unwrap().spec == long);
}

pub(crate) async fn the_edges_of_time(subject: &impl Subject) {
    let store = subject.fresh().await;
    let fine: Timestamp = "2026-11-22T01:02:03.123456789Z".parse().unwrap();
    let id = TaskId::new(fine);
    store.create(&ann(), &id, fine, spec("fine")).await.unwrap();
    assert_eq!(store.summary(&ann(), &id).await.unwrap().unwrap().created, fine);
    assert_eq!(store.queued(Timestamp::MIN, None, 9).await.unwrap().len(), 1, "without a time it may be tried at any");
    let claimed = store.claim(&holder("a"), fine, Timestamp::MAX, Ceiling::default(), &[wish(&id)]).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let postponed = Event::Postponed { attempt: 1, until: Timestamp::MAX, reason: "never".to_owned() };
    say(&store, &id, None, postponed).await;
    assert!(store.queued(fine, None, 9).await.unwrap().is_empty());
}
