//! The proxy as a test holds it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use reqwest::Url;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::relay;
use super::rule::{Fault, Rule};

/// Listens on a port of its own until it is dropped.
pub struct Proxy {
    url: Url,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

/// One request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// As it travelled.
    pub method: String,
    /// Path and query, as they travelled.
    pub target: String,
    /// The `Range` header.
    pub range: Option<String>,
    answered: Arc<OnceLock<u16>>,
}

/// What the connections share.
pub(super) struct State {
    pub(super) server: SocketAddr,
    asked: Mutex<Vec<Asked>>,
    rules: Mutex<Vec<Rule>>,
}

impl Proxy {
    /// Stands in front of the server of this URL.
    pub async fn before(url: &str) -> Self {
        let mut url = Url::parse(url).expect("a URL");
        assert_eq!(url.scheme(), "http", "the proxy speaks HTTP in clear");
        let server = url.socket_addrs(|| None).expect("an address")[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let here = listener.local_addr().expect("an address");
        url.set_ip_host(here.ip()).expect("a host");
        url.set_port(Some(here.port())).expect("a port");
        let state = Arc::new(State { server, asked: Mutex::default(), rules: Mutex::default() });
        let listening = tokio::spawn(listen(listener, Arc::clone(&state)));
        Self { url, state, listening }
    }

    /// The server's URL, through the proxy; it ends the way the server's was written, but for a path of `/` alone.
    pub fn url(&self) -> &str {
        let text = self.url.as_str();
        if self.url.path() == "/" { text.trim_end_matches('/') } else { text }
    }

    /// From now on these rules count, and no others.
    pub fn rules(&self, rules: impl IntoIterator<Item = Rule>) {
        *self.state.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules.into_iter().collect();
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests with this method (`*` for any) held this in path or query.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let is = |one: &&Asked| (method == "*" || one.method == method) && one.target.contains(part);
        self.asked().iter().filter(is).count()
    }

    /// Counts from nothing again.
    pub fn forget(&self) {
        self.state.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Asked {
    /// The status it was answered with; `None` while it is not, or when it never was.
    pub fn status(&self) -> Option<u16> {
        self.answered.get().copied()
    }

    pub(super) fn answered(&self, status: u16) {
        let _ = self.answered.set(status);
    }
}

impl State {
    /// Notes a request; answers the note and what befalls it.
    pub(super) fn asked(&self, method: &str, target: &str, range: Option<&str>) -> (Asked, Option<Fault>) {
        let (method, target, range) = (method.to_owned(), target.to_owned(), range.map(str::to_owned));
        let asked = Asked { method, target, range, answered: Arc::default() };
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = rules.iter_mut().find_map(|rule| rule.befalls(&asked.method, &asked.target));
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        (asked, fault)
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    // Dropped with the listener, and every connection with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A connection that broke is no concern of the others; its caller has noticed.
            let _ = relay::connection(stream, &state).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
