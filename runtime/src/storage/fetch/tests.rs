#![allow(clippy::unwrap_used)]

use std::io::{Read, Seek};
use std::time::Duration;

use super::*;
use crate::report::FaultClass;
use crate::storage::memory::{Happens, Memory, checksum};

fn impatient(tries: u32) -> Patience {
    Patience { tries, first: Duration::from_millis(1), most: Duration::from_millis(2) }
}

fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

async fn fetch(store: &Memory, known: Option<&Object>, expected: &[Checksum]) -> (Result<Object, Trouble>, Vec<u8>) {
    let mut file = tempfile::tempfile().unwrap();
    let wanted = Wanted { store, key: "k", shown: "mem://k", expected, known, most: None, counted: None };
    let outcome = Fetcher::new(impatient(2)).fetch(wanted, &file).await;
    let mut content = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut content).unwrap();
    (outcome, content)
}

fn memory(content: &[u8]) -> Memory {
    Memory::with(&[("k", content)], impatient(2))
}

#[tokio::test]
async fn a_small_object_is_one_request() {
    for content in [bytes(0), bytes(1), bytes(2 * SEGMENT - 1)] {
        let store = memory(&content);
        let (outcome, found) = fetch(&store, None, &[]).await;
        assert_eq!(outcome.unwrap().size, Some(content.len() as u64));
        assert!(found == content);
        assert_eq!(store.asked(), ["read k"]);
    }
}

#[tokio::test]
async fn a_large_object_comes_side_by_side() {
    let content = bytes(3 * SEGMENT + 5);
    let store = memory(&content);
    let (sha256, md5) = (checksum(Algorithm::Sha256, &content), checksum(Algorithm::Md5, &content));
    let (outcome, found) = fetch(&store, None, &[sha256, md5]).await;
    outcome.unwrap();
    assert!(found == content);
    assert_eq!(store.asked().len(), 4);
}

#[tokio::test]
async fn what_breaks_off_goes_on_where_it_stopped() {
    let content = bytes(2 * SEGMENT);
    let store = memory(&content);
    store.happens([Happens::Breaks(100_000), Happens::Breaks(0), Happens::Breaks(1)]);
    let (outcome, found) = fetch(&store, None, &[]).await;
    outcome.unwrap();
    assert!(found == content);
    assert_eq!(store.asked().len(), 5);
}

#[tokio::test]
async fn what_changes_is_begun_again_but_not_for_ever() {
    let store = memory(&bytes(2 * SEGMENT));
    store.happens([Happens::Breaks(10), Happens::Changes(b"another")]);
    let (outcome, found) = fetch(&store, None, &[]).await;
    assert_eq!(outcome.unwrap().size, Some(7));
    assert_eq!(found, b"another");

    let store = memory(&bytes(100));
    store.happens((0..6).flat_map(|_| [Happens::Breaks(10), Happens::Changes(b"another and another")]));
    assert_eq!(fetch(&store, None, &[]).await.0.unwrap_err().class, FaultClass::Unavailable);
}

#[tokio::test]
async fn only_the_version_that_is_known() {
    let store = memory(b"old");
    let known = store.stat("k").await.unwrap().unwrap();
    store.put("k", b"new");
    assert_eq!(fetch(&store, Some(&known), &[]).await.0.unwrap_err().why, Why::Changed);
}

#[tokio::test]
async fn content_is_proved() {
    let store = memory(b"content");
    store.happens([Happens::Lies]);
    let (outcome, found) = fetch(&store, None, &[]).await;
    outcome.unwrap();
    assert_eq!(found, b"content");
    assert_eq!(store.asked().len(), 2, "once more, since the storage vouches for another content");

    store.happens([Happens::Lies, Happens::Lies, Happens::Lies]);
    let trouble = fetch(&store, None, &[]).await.0.unwrap_err();
    assert!(trouble.message.contains("crc32c"), "{}", trouble.message);
}

#[tokio::test]
async fn patience_counts_tries_without_progress() {
    let store = memory(&bytes(300_000));
    store.happens([Happens::Breaks(100_000), Happens::Breaks(100_000), Happens::Breaks(50_000)]);
    fetch(&store, None, &[]).await.0.unwrap();
    store.happens([Happens::Breaks(0), Happens::Breaks(0)]);
    assert_eq!(fetch(&store, None, &[]).await.0.unwrap_err().class, FaultClass::Unavailable);
}

#[tokio::test]
async fn a_storage_without_ranges_is_read_once() {
    let content = bytes(3 * SEGMENT);
    let store = memory(&content);
    store.happens((0..10).map(|_| Happens::Ignores));
    let (outcome, found) = fetch(&store, None, &[]).await;
    outcome.unwrap();
    assert!(found == content);
    assert!(store.asked().len() <= 4);
}

#[tokio::test]
async fn what_was_promised_elsewhere_is_proved_whatever_else_is() {
    let store = memory(b"content");
    let promised = |text: &[u8]| Object { demanded: vec![checksum(Algorithm::Sha256, text)], ..Object::default() };
    store.promises(promised(b"content"));
    fetch(&store, None, &[]).await.0.unwrap();
    store.promises(promised(b"another"));
    assert_eq!(fetch(&store, None, &[]).await.0.unwrap_err().class, FaultClass::Rejected);
}

#[tokio::test]
async fn without_a_version_a_cut_begins_again_and_not_for_ever() {
    let store = memory(&bytes(300_000));
    store.forgets_versions();
    store.happens([Happens::Breaks(200_000), Happens::Changes(b"short")]);
    let (outcome, found) = fetch(&store, None, &[]).await;
    outcome.unwrap();
    assert_eq!(found, b"short");
    let store = memory(&bytes(300_000));
    store.forgets_versions();
    store.happens((0..100).map(|_| Happens::Breaks(200_000)));
    assert_eq!(fetch(&store, None, &[]).await.0.unwrap_err().class, FaultClass::Unavailable);
    assert!(store.asked().len() < 10);
}
