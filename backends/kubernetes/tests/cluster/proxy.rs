//! An API server that is away, slow, or loses its answers: a door before the real one.

#![allow(clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::channel::Channel;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use kube::client::Body;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the door does to what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// No request is answered, and what is open breaks off.
    Down,
    /// Each answer takes this much longer.
    Slow(Duration),
    /// Every request is refused with this status.
    Status(u16),
    /// A share of the requests is: each one of so many.
    StatusOfEach(u16, usize),
    /// Every watch ends after this time.
    WatchesEnd(Duration),
    /// So many times a watch answers that its version is too old; then watches go on.
    Gone(usize),
    /// What changes something is carried out, and its answer is lost: the first of so many of each kind.
    AnswersLostOfEach(usize),
}

/// The door; it closes when dropped.
pub(crate) struct Proxy {
    fault: watch::Sender<Fault>,
    /// A kubeconfig that leads through it.
    pub(crate) kubeconfig: PathBuf,
    state: Arc<State>,
    task: JoinHandle<()>,
}

type Hook = dyn Fn(&str, &str) -> bool + Send + Sync;

struct State {
    client: kube::Client,
    fault: watch::Receiver<Fault>,
    requests: AtomicUsize,
    /// Watches that were asked for while the fault was that versions are too old.
    too_old: AtomicUsize,
    /// Listings that passed.
    listed: AtomicUsize,
    /// Told of what was carried out, by method and path, before it is answered; `true` loses the answer.
    carried_out: Mutex<Option<Arc<Hook>>>,
    /// What changed something while answers were lost, by method and path.
    changes: Mutex<BTreeMap<(String, String), usize>>,
    /// Ids of the objects that were made, by what they are.
    made: Mutex<Vec<(String, String)>>,
}

/// What comes bit by bit.
type Passing = Channel<Bytes, Infallible>;
type Answer = Response<Either<Full<Bytes>, Passing>>;

impl Proxy {
    /// Before the server that the client reaches; its kubeconfig is written below the folder.
    pub(crate) async fn before(client: &kube::Client, folder: &Path, namespace: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fault, told) = watch::channel(Fault::None);
        let state = Arc::new(State {
            client: client.clone(),
            fault: told,
            requests: AtomicUsize::new(0),
            too_old: AtomicUsize::new(0),
            listed: AtomicUsize::new(0),
            carried_out: Mutex::default(),
            changes: Mutex::default(),
            made: Mutex::default(),
        });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = serving.clone();
                open.spawn(async move {
                    let mut fault = state.fault.clone();
                    let service = service_fn(move |request| answer(state.clone(), request));
                    let builder = Builder::new(TokioExecutor::new());
                    tokio::select! {
                        _ended = builder.serve_connection(TokioIo::new(stream), service) => {}
                        _down = fault.wait_for(|fault| *fault == Fault::Down) => {}
                    }
                });
            }
        });
        let kubeconfig = folder.join("kubeconfig-of-proxy");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{ "name": "proxy", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "proxy", "user": {} }],
            "contexts": [{ "name": "proxy", "context": { "cluster": "proxy", "user": "proxy", "namespace": namespace } }],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        Self { fault, kubeconfig, state, task }
    }

    /// From now on.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// From now on this is told of what was carried out.
    pub(crate) fn tell(&self, hook: Arc<Hook>) {
        *self.state.carried_out.lock().unwrap() = Some(hook);
    }

    /// How many listings of jobs and pods have passed.
    pub(crate) fn listed(&self) -> usize {
        self.state.listed.load(Ordering::Relaxed)
    }

    /// How many objects of a kind were made through the door.
    pub(crate) fn made(&self, kind: &str) -> usize {
        self.state.made.lock().unwrap().iter().filter(|(made, _)| made == kind).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer, or the end of the connection.
async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let at = state.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let fault = *state.fault.borrow();
    let broken = || std::io::Error::other("the connection is broken off");
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    match fault {
        Fault::Down => return Err(broken()),
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::Status(status) => return Ok(refusal(status)),
        Fault::StatusOfEach(status, each) if at.is_multiple_of(each) => return Ok(refusal(status)),
        Fault::Gone(times) if watches => {
            let before = state.too_old.fetch_add(1, Ordering::Relaxed);
            if before < times {
                // In place of the watch, or as the first that it tells.
                return Ok(if before.is_multiple_of(2) { refusal(410) } else { told_in_watch(410) });
            }
        }
        Fault::None | Fault::StatusOfEach(..) | Fault::WatchesEnd(_) | Fault::Gone(_) | Fault::AnswersLostOfEach(_) => {
        }
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let selects = request.uri().query().is_some_and(|query| query.contains("labelSelector="));
    if method == Method::GET && selects && !watches {
        state.listed.fetch_add(1, Ordering::Relaxed);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut onward = Request::builder().method(head.method).uri(head.uri);
    for (name, value) in &head.headers {
        if !["host", "connection", "accept-encoding", "content-length"].contains(&name.as_str()) {
            onward = onward.header(name, value);
        }
    }
    let onward = onward.body(Body::from(body.to_vec())).map_err(std::io::Error::other)?;
    let (head, body) = state.client.send(onward).await.map_err(std::io::Error::other)?.into_parts();
    let body = if watches || path.ends_with("/log") {
        let end = match fault {
            Fault::WatchesEnd(time) if watches => Some(time),
            _other => None,
        };
        Either::Right(until(body, end))
    } else {
        let bytes = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        if method == Method::POST && head.status == StatusCode::CREATED {
            remember(&state, &bytes);
        }
        Either::Left(Full::from(bytes))
    };
    if method != Method::GET {
        let hook = state.carried_out.lock().unwrap().clone();
        let lost = match fault {
            // Each kind by itself: what is tried again from its first call on would lose the same one for ever.
            Fault::AnswersLostOfEach(each) => {
                let mut changes = state.changes.lock().unwrap();
                let count = changes.entry((method.to_string(), path.clone())).or_default();
                *count += 1;
                (*count - 1).is_multiple_of(each)
            }
            _other => false,
        };
        if lost || hook.is_some_and(|hook| hook(method.as_str(), &path)) {
            return Err(broken());
        }
    }
    let mut answer = Response::new(body);
    *answer.status_mut() = head.status;
    if let Some(kind) = head.headers.get("content-type") {
        answer.headers_mut().insert("content-type", kind.clone());
    }
    Ok(answer)
}

/// The body, which ends after a time.
fn until(mut body: Body, end: Option<Duration>) -> Passing {
    let end = end.map(|time| tokio::time::Instant::now() + time);
    let (mut sender, passing) = Channel::new(16);
    tokio::spawn(async move {
        loop {
            let frame = match end {
                Some(end) => tokio::time::timeout_at(end, body.frame()).await.ok().flatten(),
                None => body.frame().await,
            };
            // Whoever reads may have gone.
            let passed = match frame.map(|frame| frame.map(|frame| frame.into_data())) {
                Some(Ok(Ok(data))) => sender.send_data(data).await.is_ok(),
                Some(Ok(Err(_trailers))) => true,
                Some(Err(_)) | None => false,
            };
            if !passed {
                return;
            }
        }
    });
    passing
}

fn remember(state: &State, bytes: &[u8]) {
    let Ok(object) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    state.made.lock().unwrap().push((text(&object["kind"]), text(&object["metadata"]["uid"])));
}

/// As an event of a watch.
fn told_in_watch(status: u16) -> Answer {
    let text = json!({ "type": "ERROR", "object": said(status) });
    Response::new(Either::Left(Full::from(format!("{text}\n"))))
}

fn refusal(status: u16) -> Answer {
    let mut answer = Response::new(Either::Left(Full::from(said(status).to_string())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
    answer
}

/// In the words of Kubernetes.
fn said(status: u16) -> serde_json::Value {
    let reason = match status {
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "made up by a test", "reason": reason,
        "code": status, "metadata": {},
    })
}
