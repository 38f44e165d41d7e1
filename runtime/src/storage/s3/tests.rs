//! The bucket against a service that does as it is told.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::TryStreamExt;

use super::stand_in::{bucket, bucket_for, error, region, said, service};
use crate::report::FaultClass;
use crate::storage::checksum::Algorithm;
use crate::storage::settings::Rule;
use crate::storage::source::Source;
use crate::storage::stand_in::{Answer, Asked, StandIn};
use crate::storage::store::{Span, Store, Tag};
use crate::storage::trouble::Why;

const UPLOADED: &str = "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str = "<CompleteMultipartUploadResult><ETag>&quot;x-2&quot;</ETag></CompleteMultipartUploadResult>";

/// As large as makes two parts, or small.
fn source(size: u64) -> Source {
    let file = tempfile::tempfile().unwrap();
    file.set_len(size).unwrap();
    Source::new(file).unwrap()
}

const LARGE: u64 = 1700;

#[tokio::test]
async fn the_region_is_learnt_once() {
    for sends in ["header", "body"] {
        let server = service(move |came, _| match (region(came), sends) {
            (Some("eu-west-3"), _) => said(200, &[("etag", "\"e\"")], "hello"),
            (_, "header") => said(301, &[("x-amz-bucket-region", "eu-west-3")], ""),
            _ => said(400, &[], "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>"),
        })
        .await;
        let bucket = bucket(&server);
        for _ in 0..2 {
            let reading = bucket.read("k", Span::WHOLE, None).await.unwrap();
            let pieces: Vec<_> = reading.body.try_collect().await.unwrap();
            assert_eq!(pieces.concat(), b"hello");
        }
        assert_eq!(server.lines().len(), 3);
    }
}

#[tokio::test]
async fn a_region_that_leads_in_circles_is_an_error() {
    let server = service(|came, before| {
        let region = format!("r{before}");
        assert!(came.method == "GET");
        said(301, &[("x-amz-bucket-region", &region), ("location", "http://169.254.169.254/")], "")
    })
    .await;
    let trouble = bucket(&server).read("k", Span::WHOLE, None).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Rejected);
    assert!(trouble.message.starts_with("cannot fetch `s3://b/k`: the server answered 301"), "{}", trouble.message);
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test]
async fn what_is_sent_is_signed_or_says_why_not() {
    let server = service(|_, _| error(403, "AccessDenied")).await;
    let configured = bucket(&server).read("k", Span::WHOLE, None).await.unwrap_err();
    let anonymous = bucket_for(&server, Rule { anonymous: true, ..Rule::default() });
    let unsigned = anonymous.read("k", Span::WHOLE, None).await.unwrap_err();
    for trouble in [&configured, &unsigned] {
        assert_eq!(trouble.class, FaultClass::Misconfigured);
        assert!(trouble.message.contains("(AccessDenied: As told)"), "{}", trouble.message);
    }
    assert!(!configured.message.contains("not signed") && unsigned.message.contains("not signed"));
    let came = server.asked();
    assert!(came[0].headers["authorization"].starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
    assert!(!came[1].headers.contains_key("authorization"));
}

#[tokio::test]
async fn an_empty_object_has_no_range() {
    let server = service(|came, _| match came.headers.get("range") {
        Some(_) => error(416, "InvalidRange"),
        None => said(200, &[("etag", "\"e\"")], ""),
    })
    .await;
    let bucket = bucket(&server);
    let reading = bucket.read("k", Span { from: 0, length: Some(9) }, None).await.unwrap();
    assert_eq!((reading.from, reading.object.size, reading.object.tag), (0, Some(0), Some(Tag("\"e\"".to_owned()))));
    let trouble = bucket.read("k", Span { from: 5, length: None }, None).await.unwrap_err();
    assert_eq!(trouble.why, Why::Changed);
}

#[tokio::test]
async fn versions_and_checksums() {
    let server = service(|came, _| {
        assert_eq!(came.headers["x-amz-checksum-mode"], "ENABLED");
        match came.headers.get("if-match").map(String::as_str) {
            Some("\"old\"") => error(412, "PreconditionFailed"),
            _ => said(200, &[("etag", "\"new\""), ("x-amz-checksum-crc32c", "AAAAAA==")], ""),
        }
    })
    .await;
    let bucket = bucket(&server);
    // One service refuses, another does not know the condition.
    for tag in ["\"old\"", "\"other\""] {
        let trouble = bucket.read("k", Span::WHOLE, Some(&Tag(tag.to_owned()))).await.unwrap_err();
        assert_eq!(trouble.why, Why::Changed);
    }
    let same = bucket.read("k", Span::WHOLE, Some(&Tag("\"new\"".to_owned()))).await.unwrap();
    assert_eq!(same.object.checksums.len(), 1);
    assert_eq!(bucket.stat("k").await.unwrap().unwrap().checksums.len(), 1);
}

#[tokio::test]
async fn a_hundred_thousand_keys_come_page_by_page() {
    let server = service(|came, _| {
        let token = came.target.split('&').find_map(|part| part.strip_prefix("continuation-token=t"));
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let mut text = "<ListBucketResult><EncodingType>url</EncodingType>".to_owned();
        for n in from..from + 1000 {
            text += &format!("<Contents><Key>d/key+{n}</Key><Size>{n}</Size></Contents>");
        }
        let next = from + 1000;
        if next < 100_000 {
            text += &format!("<IsTruncated>true</IsTruncated><NextContinuationToken>t{next}</NextContinuationToken>");
        }
        said(200, &[], &(text + "</ListBucketResult>"))
    })
    .await;
    let bucket = bucket(&server);
    let (mut seen, mut next) = (0, None);
    loop {
        let page = bucket.list("d", next.as_deref()).await.unwrap();
        for entry in page.entries {
            assert_eq!((entry.name, entry.object.size), (format!("key {seen}"), Some(seen)));
            seen += 1;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!((seen, server.lines().len()), (100_000, 100));
    assert_eq!(server.lines()[0], "GET /b/?list-type=2&encoding-type=url&max-keys=1000&prefix=d%2F");
}

#[tokio::test]
async fn a_busy_service_is_asked_again() {
    let server = service(|_, before| match before {
        0 => error(503, "SlowDown"),
        1 => Answer::Cut,
        2 => error(400, "BadDigest"),
        _ => said(200, &[], ""),
    })
    .await;
    bucket(&server).write("k", &source(3)).await.unwrap();
    let sum = source(3).checksum(Algorithm::Crc32c, 0, 3).await.unwrap().base64();
    let came = server.asked();
    assert_eq!(came.len(), 4);
    assert!(came.iter().all(|came| came.body == [0; 3] && came.headers["x-amz-checksum-crc32c"] == sum));
}

#[tokio::test]
async fn a_service_that_knows_no_checksums_gets_none() {
    let server = service(|came, _| match came.headers.contains_key("x-amz-checksum-crc32c") {
        true => error(501, "NotImplemented"),
        false => said(200, &[], ""),
    })
    .await;
    let bucket = bucket(&server);
    for key in ["first", "second"] {
        bucket.write(key, &source(3)).await.unwrap();
    }
    assert_eq!(server.lines(), ["PUT /b/first", "PUT /b/first", "PUT /b/second"]);
}

#[tokio::test]
async fn what_is_refused_for_another_reason_changes_nothing() {
    let server = service(|_, _| error(400, "InvalidArgument")).await;
    let bucket = bucket(&server);
    assert_eq!(bucket.write("k", &source(3)).await.unwrap_err().class, FaultClass::Rejected);
    assert!(bucket.gives_sums());
}

/// An upload in parts, where nothing is special but what `special` says.
fn upload(came: &Asked, special: impl Fn(&str) -> Option<Answer>) -> Answer {
    let line = format!("{} {}", came.method, came.target);
    if let Some(answer) = special(&line) {
        return answer;
    }
    match line.as_str() {
        "POST /b/k?uploads=" => {
            let echo = [("x-amz-checksum-algorithm", "CRC32C"), ("x-amz-checksum-type", "FULL_OBJECT")];
            said(200, &echo, UPLOADED)
        }
        "POST /b/k?uploadId=u1" => said(200, &[], COMPLETED),
        "DELETE /b/k?uploadId=u1" => said(204, &[], ""),
        _ => said(200, &[("etag", "\"part\"")], ""),
    }
}

#[tokio::test]
async fn parts_carry_checksums_and_so_does_the_whole() {
    let server = service(|came, _| upload(came, |_| None)).await;
    bucket(&server).write("k", &source(LARGE)).await.unwrap();
    let mut came = server.asked();
    came.sort_by_key(|came| came.target.clone());
    let parts: Vec<_> = came[..2].iter().map(|came| (came.target.as_str(), came.body.len() as u64)).collect();
    assert_eq!(parts, [("/b/k?partNumber=1&uploadId=u1", 1000), ("/b/k?partNumber=2&uploadId=u1", 700)]);
    let whole = source(LARGE).checksum(Algorithm::Crc32c, 0, LARGE).await.unwrap();
    assert_eq!(came[2].headers["x-amz-checksum-crc32c"], whole.base64());
    assert_eq!(came[2].headers["x-amz-checksum-type"], "FULL_OBJECT");
    let text = String::from_utf8(came[2].body.clone()).unwrap();
    assert!(text.contains(&came[0].headers["x-amz-checksum-crc32c"]), "{text}");
}

#[tokio::test]
async fn one_part_is_tried_again_and_not_the_others() {
    let server = service(|came, before| {
        upload(came, |line| (line.contains("partNumber=2&") && before < 4).then(|| error(500, "InternalError")))
    })
    .await;
    bucket(&server).write("k", &source(LARGE)).await.unwrap();
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| line.contains("partNumber=1&")).count(), 1, "{lines:?}");
    assert!(lines.iter().filter(|line| line.contains("partNumber=2&")).count() > 1, "{lines:?}");
}

#[tokio::test]
async fn what_fails_leaves_no_parts() {
    let server =
        service(|came, _| upload(came, |line| line.contains("partNumber=2&").then(|| error(403, "AccessDenied"))))
            .await;
    let trouble = bucket(&server).write("k", &source(LARGE)).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured);
    let lines = server.lines();
    assert_eq!(lines.last().unwrap(), "DELETE /b/k?uploadId=u1");
    assert!(!lines.iter().any(|line| line == "POST /b/k?uploadId=u1"));
}

#[tokio::test]
async fn a_success_that_is_none_is_no_success() {
    let late = |code: &'static str| async move {
        let server = service(move |came, _| {
            let body = format!("\n  \n<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code></Error>");
            upload(came, |line| (line == "POST /b/k?uploadId=u1").then(|| said(200, &[], &body)))
        })
        .await;
        let trouble = bucket(&server).write("k", &source(LARGE)).await.unwrap_err();
        let asked = server.lines().iter().filter(|line| *line == "POST /b/k?uploadId=u1").count();
        (trouble.class, asked, server.lines().pop().unwrap())
    };
    let aborted = || "DELETE /b/k?uploadId=u1".to_owned();
    assert_eq!(late("InternalError").await, (FaultClass::Unavailable, 4, aborted()));
    assert_eq!(late("AccessDenied").await, (FaultClass::Misconfigured, 1, aborted()));
    assert_eq!(late("InvalidPart").await, (FaultClass::Rejected, 1, aborted()));
}

#[tokio::test]
async fn a_lost_last_answer_is_asked_for_at_the_object() {
    let whole = source(LARGE).checksum(Algorithm::Crc32c, 0, LARGE).await.unwrap().base64();
    let size = LARGE.to_string();
    for (sum, tag, is_there) in [
        (Some(whole.as_str()), "\"x-2\"", true),
        (Some("AAAAAA=="), "\"x-2\"", false),
        (None, "\"x-2\"", true),
        (None, "\"x-3\"", false),
    ] {
        let (size, sum, tag) = (size.clone(), sum.map(str::to_owned), tag.to_owned());
        let completing = AtomicUsize::new(0);
        let server = service(move |came, _| {
            upload(came, |line| match line {
                "POST /b/k?uploadId=u1" => match completing.fetch_add(1, Ordering::Relaxed) {
                    0 => Some(Answer::Cut),
                    _ => Some(error(404, "NoSuchUpload")),
                },
                "HEAD /b/k" => {
                    let mut headers = vec![("content-length", size.as_str()), ("etag", tag.as_str())];
                    headers.extend(sum.as_deref().map(|sum| ("x-amz-checksum-crc32c", sum)));
                    Some(said(200, &headers, ""))
                }
                _ => None,
            })
        })
        .await;
        let done = bucket(&server).write("k", &source(LARGE)).await;
        assert_eq!(done.is_ok(), is_there, "{done:?}");
        let begun = server.lines().iter().filter(|line| *line == "POST /b/k?uploads=").count();
        assert_eq!(begun, if is_there { 1 } else { 3 });
    }
}

#[tokio::test]
async fn directories_are_no_objects() {
    let server = service(|_, _| said(200, &[("etag", "\"e\"")], "")).await;
    let bucket = bucket(&server);
    assert_eq!(bucket.stat("d/").await.unwrap(), None);
    assert_eq!(bucket.read("d/", Span::WHOLE, None).await.unwrap_err().why, Why::Directory);
    let asked = server.lines().len();
    for key in ["", "d/", "a/../b"] {
        assert_eq!(bucket.write(key, &source(1)).await.unwrap_err().class, FaultClass::Rejected);
    }
    assert_eq!(bucket.read("", Span::WHOLE, None).await.unwrap_err().class, FaultClass::Rejected);
    assert_eq!(server.lines().len(), asked);
}

#[tokio::test]
async fn a_stat_that_is_refused_without_a_word_asks_for_one() {
    let server = service(|came, _| match came.method.as_str() {
        "HEAD" => said(400, &[], ""),
        _ => error(400, "ExpiredToken"),
    })
    .await;
    let trouble = bucket(&server).stat("k").await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured);
    assert!(trouble.message.contains("ExpiredToken"), "{}", trouble.message);
}

#[tokio::test]
async fn what_was_written_is_what_is_hashed() {
    let server = service(|_, _| said(200, &[], "")).await;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"hello").unwrap();
    let source = Source::new(file).unwrap();
    bucket(&server).write("k", &source).await.unwrap();
    assert_eq!(server.asked()[0].body, b"hello");
    assert_eq!(source.sha256().await.unwrap(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

/// The connection is closed while the file is still being sent. Whether the answer or the broken pipe is seen first is
/// a matter of luck, so that it takes some tries.
#[tokio::test]
async fn a_refusal_that_comes_early_is_heard() {
    let server = StandIn::reading(|_| 1000, |_| error(403, "AccessDenied")).await;
    let mut bucket = bucket(&server);
    bucket.part = 8 << 20;
    bucket.patience.tries = 50;
    let trouble = bucket.write("k", &source(8 << 20)).await.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Misconfigured, "{}", trouble.message);
}
