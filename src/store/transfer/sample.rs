//! A store with everything in it, and what of it arrives.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use super::{Row, Source, TABLES};
use crate::store::conformance::samples::*;
use crate::store::{Key, Store};
use crate::task::spec::Input;
use crate::task::{Event, JobRef, Owner, TaskId, TaskSpec};

/// Texts that not every store can hold as they are.
const TEXTS: [&str; 8] =
    ["", "\0", "a\0b\u{1}c\u{2}", "\u{1}\u{1}", "\u{10ffff}\u{d7ff}\u{e000}", "'; --\\\"", "🦀 e\u{301}\r\n", "%_*"];

/// Fills a store: every phase, leavings, names, tags, hostile texts, long texts, what was told.
pub(crate) async fn fill(store: &impl Store) {
    for (second, phase) in (0..).zip(PHASES.iter().cycle().take(40)) {
        let id = put(store, &ann(), second, spec("plain")).await;
        bring(store, &ann(), &id, *phase).await;
    }
    for (second, text) in (100..).zip(TEXTS) {
        let owner = Owner(text.to_owned());
        let tags = BTreeMap::from([(text.to_owned(), text.to_owned()), ("t".repeat(3_000), text.to_owned())]);
        let named = TaskSpec { name: Some(text.to_owned()), tags: Some(tags), ..spec("named") };
        let id = TaskId::new(at(second));
        let key = Key::parse(&format!("key-{second}")).unwrap();
        store.create_once(&owner, &key, &id, at(second), named).await.unwrap();
        store.tell(&format!("https://{text}/"), store.kept().await.unwrap().newest).await.unwrap();
        let fence = Some(claim(store, &id).await);
        let job = JobRef { backend: "docker".to_owned(), handle: format!("h{text}") };
        say(store, &id, fence, Event::Submitted { attempt: 1, job }).await;
        say(store, &id, fence, Event::Noted { attempt: 1, text: text.to_owned() }).await;
        say(store, &id, fence, ended(1, crate::task::Verdict::Complete)).await;
    }
    let content = Some("\0x".repeat(2 << 20));
    let long = TaskSpec { inputs: vec![Input { content, ..Input::default() }], ..spec("long") };
    put(store, &ann(), 200, long).await;
    assert!(store.leftovers(100).await.unwrap().len() > TEXTS.len());
}

/// All rows there are, in an order of their own.
pub(crate) async fn rows(of: &mut dyn Source) -> BTreeMap<&'static str, Vec<Row>> {
    let mut all = BTreeMap::new();
    for table in TABLES {
        let (sender, mut batches) = mpsc::channel::<Vec<Row>>(1);
        let gathering = async {
            let mut rows = Vec::new();
            while let Some(batch) = batches.recv().await {
                rows.extend(batch);
            }
            Ok(rows)
        };
        let ((), mut rows) = tokio::try_join!(of.read(table, sender), gathering).unwrap();
        assert!(!rows.is_empty(), "nothing of `{}` is looked at", table.name);
        rows.sort();
        all.insert(table.name, rows);
    }
    all
}
