#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::atomic::AtomicUsize;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::status::tests::{at_work, ended, finishing, first_waits, pod, running};

/// How the API server's stand-in answers to a request for a log.
#[derive(Debug, Clone)]
enum Answer {
    Log(String),
    Fails(u16, &'static str),
}

/// A stand-in for the API server.
struct Server {
    answer: Arc<Mutex<Answer>>,
    /// Streams that are followed: what goes in here comes out there.
    follows: Arc<Mutex<Vec<UnboundedSender<Bytes>>>>,
    calls: Arc<AtomicUsize>,
    pods: Api<Pod>,
}

fn whole(text: String) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(Bytes::from(text)).boxed_unsync()
}

fn server(first: Answer) -> Server {
    let (answer, follows) = (Arc::new(Mutex::new(first)), Arc::new(Mutex::new(Vec::new())));
    let calls = Arc::new(AtomicUsize::new(0));
    let (its_answer, its_follows, its_calls) = (answer.clone(), follows.clone(), calls.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        its_calls.fetch_add(1, Ordering::Relaxed);
        let follow = request.uri().query().is_some_and(|query| query.contains("follow=true"));
        let now = its_answer.lock().unwrap().clone();
        let response = match now {
            Answer::Fails(code, message) => {
                let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": message});
                Response::builder().status(code).body(whole(status.to_string()))
            }
            Answer::Log(log) if follow => {
                let (send, receive) = unbounded();
                send.unbounded_send(Bytes::from(log)).unwrap();
                its_follows.lock().unwrap().push(send);
                let frames = receive.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
                Response::builder().body(UnsyncBoxBody::new(StreamBody::new(frames)))
            }
            Answer::Log(log) => Response::builder().body(whole(log)),
        };
        futures::future::ready(Ok::<_, Infallible>(response.unwrap()))
    });
    Server { answer, follows, calls, pods: Api::namespaced(kube::Client::new(service, "tasks"), "tasks") }
}

impl Server {
    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

fn frame(offset: usize, text: &str) -> String {
    let mut line = Vec::new();
    let frame = format!("\u{1e}out {offset} {}\n{text}\n", text.len());
    tessera_runtime::frames::write_line(frame.as_bytes(), &mut line);
    String::from_utf8(line).unwrap()
}

fn job() -> JobId {
    JobId::of_attempt("t", 1)
}

struct Reader {
    _dir: tempfile::TempDir,
    printed: Arc<Printed>,
    job: JobId,
}

fn reader() -> Reader {
    let dir = tempfile::tempdir().unwrap();
    Reader { printed: Printed::open(dir.path()).unwrap(), _dir: dir, job: job() }
}

impl Reader {
    async fn read(&self, server: &Server, seen: Option<&PodSeen>, from: u64) -> Result<LogChunk, BackendError> {
        let over = seen.is_some_and(|pod| Look::at(pod).is_over());
        let of = Of { job: &self.job, there: true, over, pod: seen };
        self.printed.read(&server.pods, of, 0, Stream::Stdout, from).await
    }
}

fn text(chunk: &LogChunk) -> &str {
    std::str::from_utf8(&chunk.bytes).unwrap()
}

#[tokio::test]
async fn the_log_of_an_ended_step_is_asked_for_once() {
    let (server, reader) = (server(Answer::Log(frame(0, "one ") + &frame(4, "two"))), reader());
    let seen = pod("Running", &finishing(running()), json!({}));
    let chunk = reader.read(&server, Some(&seen), 0).await.unwrap();
    assert_eq!((text(&chunk), chunk.next, chunk.ended), ("one two", 7, true));
    let chunk = reader.read(&server, Some(&seen), 7).await.unwrap();
    assert_eq!((text(&chunk), chunk.ended), ("", true));
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_log_is_followed_and_its_end_is_looked_at_once_more() {
    let (server, reader) = (server(Answer::Log(frame(0, "one "))), reader());
    let seen = pod("Running", &at_work(), json!({}));
    let chunk = reader.read(&server, Some(&seen), 0).await.unwrap();
    assert_eq!((text(&chunk), chunk.ended), ("one ", false));
    let mut grows = reader.printed.known(&reader.job, 0).unwrap().grows();
    grows.mark_unchanged();
    server.follows.lock().unwrap()[0].unbounded_send(Bytes::from(frame(4, "two "))).unwrap();
    grows.changed().await.unwrap();
    let chunk = reader.read(&server, Some(&seen), chunk.next).await.unwrap();
    assert_eq!((text(&chunk), chunk.ended, server.calls()), ("two ", false, 1));

    // The stream ends before the log does, as when the kubelet goes.
    server.answers(Answer::Log(frame(0, "one ") + &frame(4, "two ") + &frame(8, "three")));
    server.follows.lock().unwrap().clear();
    let seen = pod("Succeeded", &finishing(ended(0, "Completed", "")), json!({}));
    let chunk = reader.read(&server, Some(&seen), chunk.next).await.unwrap();
    assert_eq!((text(&chunk), chunk.ended, server.calls()), ("three", true, 2));
}

#[tokio::test]
async fn what_is_no_log_is_never_its_end() {
    let seen = pod("Succeeded", &finishing(ended(0, "Completed", "")), json!({}));
    let table = [
        (Answer::Fails(500, "dial tcp 10.0.0.1:10250: connect: connection refused"), "unavailable"),
        (Answer::Log("unable to retrieve container logs for containerd://x".to_owned()), "unavailable"),
        (Answer::Fails(404, "pods \"x\" not found"), "rejected"),
        (Answer::Fails(403, "pods \"x\" is forbidden"), "misconfigured"),
    ];
    for (answer, expected) in table {
        let (server, reader) = (server(answer.clone()), reader());
        let said = match reader.read(&server, Some(&seen), 0).await {
            Err(BackendError::Unavailable(_)) => "unavailable",
            Err(BackendError::Rejected(_)) => "rejected",
            Err(BackendError::Misconfigured(_)) => "misconfigured",
            Ok(_) => "a log",
        };
        assert_eq!(said, expected, "{answer:?}");
    }
}

#[tokio::test]
async fn a_step_that_did_not_begin_has_an_empty_log() {
    let (server, reader) = (server(Answer::Fails(500, "nobody asks")), reader());
    let waits = first_waits("ContainerCreating", "").remove(0);
    assert!(!reader.read(&server, Some(&waits), 0).await.unwrap().ended);
    assert!(!reader.read(&server, None, 0).await.unwrap().ended);
    let mut over = waits.clone();
    over.status.phase = Some("Failed".to_owned());
    assert!(reader.read(&server, Some(&over), 0).await.unwrap().ended);
    let of = Of { job: &reader.job, there: false, over: true, pod: None };
    let gone = reader.printed.read(&server.pods, of, 0, Stream::Stdout, 0).await;
    assert!(matches!(gone, Err(BackendError::Rejected(_))), "{gone:?}");
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn what_is_kept_outlives_the_pod_until_the_job_is_forgotten() {
    let (server, reader) = (server(Answer::Log(frame(0, "kept"))), reader());
    let seen = pod("Running", &at_work(), json!({}));
    reader.printed.keep(&server.pods, &reader.job, Some(&seen), Duration::from_secs(5)).await;
    server.answers(Answer::Fails(404, "pods \"x\" not found"));
    server.follows.lock().unwrap().clear();
    for (there, pod) in [(true, None), (false, None), (true, Some(&PodSeen { gone: true, ..seen.clone() }))] {
        let of = Of { job: &reader.job, there, over: true, pod };
        let chunk = reader.printed.read(&server.pods, of, 0, Stream::Stdout, 0).await.unwrap();
        assert_eq!((text(&chunk), chunk.ended), ("kept", true));
        let never = reader.printed.read(&server.pods, of, 1, Stream::Stdout, 0).await.unwrap();
        assert!(never.bytes.is_empty() && never.ended);
    }
    // A node removes the containers of a pod that is being deleted before the pod.
    server.answers(Answer::Log("unable to retrieve container logs for containerd://x".to_owned()));
    let ending = pod("Failed", &finishing(ended(137, "Error", "")), json!({}));
    let chunk = reader.read(&server, Some(&ending), 0).await.unwrap();
    assert_eq!((text(&chunk), chunk.ended), ("kept", true));
    reader.printed.forget(&reader.job);
    let of = Of { job: &reader.job, there: true, over: true, pod: None };
    let gone = reader.printed.read(&server.pods, of, 0, Stream::Stdout, 0).await;
    assert!(matches!(gone, Err(BackendError::Rejected(_))), "{gone:?}");
}
