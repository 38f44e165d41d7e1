//! A small server that jobs call: it counts, it never answers, and it hands out plans.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tessera_runtime::plan::Source;
use tessera_runtime::storage::settings::Rule;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use tessera_contract::Job;
use tessera_runtime::plan::Input;

/// Answers what is asked at a path below `/`, with the bearer token of the request.
pub(crate) type Answering = dyn Fn(&str, Option<&str>) -> Option<Vec<u8>> + Send + Sync;

/// The server; it ends when dropped.
pub(crate) struct Outside {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    counts: Mutex<HashMap<String, usize>>,
    news: tokio::sync::Notify,
    answering: Mutex<Option<Arc<Answering>>>,
}

impl Outside {
    /// At an address of this machine that pods reach.
    pub(crate) async fn open(host: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let serving = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| answer(state.clone(), request));
                    // Whoever breaks off has broken off.
                    let _ended =
                        Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, state, task }
    }

    /// Its URL, with a slash.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The words of a shell that count.
    pub(crate) fn count(&self, mark: &str) -> String {
        format!("wget -q -O /dev/null {}count/{mark}", self.url())
    }

    /// How often was counted.
    pub(crate) fn counted(&self, mark: &str) -> usize {
        self.state.counts.lock().unwrap().get(mark).copied().unwrap_or_default()
    }

    /// Returns when it was counted.
    pub(crate) async fn until_counted(&self, mark: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
        while self.counted(mark) == 0 {
            assert!(std::time::Instant::now() < deadline, "nobody counted {mark}");
            let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.state.news.notified()).await;
        }
    }

    /// Gives the job an input that never comes.
    pub(crate) fn stall(&self, job: &mut Job) {
        let url = format!("{}never", self.url());
        job.plan.inputs.push(Input { path: "/never/comes".to_owned(), source: Source::Url(url), kind: None });
        self.allow(job);
    }

    /// Addresses of this machine are closed to tasks, unless a rule opens them.
    pub(crate) fn allow(&self, job: &mut Job) {
        job.plan.storage.rules.push(Rule { prefix: self.url(), internal: true, ..Rule::default() });
    }

    /// Answers what is neither a count nor an input that never comes.
    pub(crate) fn answer_with(&self, answering: Arc<Answering>) {
        *self.state.answering.lock().unwrap() = Some(answering);
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    if path == "never" {
        std::future::pending::<()>().await;
    }
    if let Some(mark) = path.strip_prefix("count/") {
        *state.counts.lock().unwrap().entry(mark.to_owned()).or_default() += 1;
        state.news.notify_waiters();
        return Ok(Response::new(Full::default()));
    }
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let answering = state.answering.lock().unwrap().clone();
    Ok(match answering.and_then(|answering| answering(&path, token)) {
        Some(bytes) => Response::new(Full::from(bytes)),
        None => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = hyper::StatusCode::NOT_FOUND;
            response
        }
    })
}
