//! A service that does as it is told, and a bucket of it.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::bucket::Bucket;
use super::requests::Requests;
use crate::storage::guard::Guard;
use crate::storage::secret::Secret;
use crate::storage::settings::Rule;
use crate::storage::stand_in::{Answer, Asked, StandIn};
use crate::storage::trouble::Patience;

/// `answer` is given each request and how many came before it.
pub(super) async fn service(answer: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> StandIn {
    let before = AtomicUsize::new(0);
    StandIn::new(move |asked| answer(asked, before.fetch_add(1, Ordering::Relaxed))).await
}

/// An answer.
pub(super) fn said(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
    headers.iter().fold(Answer::body(status, body), |answer, (name, value)| answer.header(name, *value))
}

/// A refusal.
pub(super) fn error(status: u16, code: &str) -> Answer {
    said(status, &[], &format!("<Error><Code>{code}</Code><Message>As told</Message></Error>"))
}

/// The region that a request was signed for.
pub(super) fn region(asked: &Asked) -> Option<&str> {
    asked.header("authorization").split('/').nth(2)
}

/// The bucket `b`, for somebody with keys. What is larger than 1,000 bytes goes in parts.
pub(super) fn bucket(server: &StandIn) -> Bucket {
    let (id, secret) = (Some("AKID".to_owned()), Some(Secret::new("SECRET")));
    bucket_for(server, Rule { access_key_id: id, secret_access_key: secret, ..Rule::default() })
}

/// The same for somebody else.
pub(super) fn bucket_for(server: &StandIn, rule: Rule) -> Bucket {
    let rule = Rule { endpoint: Some(server.url("")), proxy: Some(Secret::default()), ..rule };
    let requests = Requests::new("b", &rule, &Guard::default(), Duration::from_secs(5), |_| None).unwrap();
    let (first, most) = (Duration::from_millis(1), Duration::from_millis(5));
    let mut bucket = Bucket::with("b", requests, Patience { tries: 4, first, most });
    bucket.part = 1000;
    bucket
}
