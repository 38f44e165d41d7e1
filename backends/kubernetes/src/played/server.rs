//! An API server in memory: objects, versions, patches, watches, and mishaps on order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, Service};

/// What goes wrong with the next call of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// It is refused with this code.
    Refused(u16, &'static str),
    /// It is carried out, and the answer never arrives.
    AnswerLost,
}

type Line = (u64, String, Bytes);

#[derive(Default)]
struct State {
    objects: BTreeMap<(String, String), Value>,
    version: u64,
    /// All that happened, for those who watch from a version on.
    past: Vec<Line>,
    /// What happened before is forgotten.
    horizon: u64,
    watchers: Vec<(String, UnboundedSender<Bytes>)>,
    mishaps: Vec<(String, Mishap)>,
    asked: Vec<String>,
    page: Option<usize>,
    namespace_uid: Option<String>,
}

/// The server; clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// The next call like `create jobs` goes wrong.
    pub(crate) fn mishap(&self, call: &str, mishap: Mishap) {
        self.state().mishaps.push((call.to_owned(), mishap));
    }

    /// What was asked so far, but for the watches and lists that keep the mirror up.
    pub(crate) fn asked(&self) -> Vec<String> {
        let kept_up =
            |call: &String| ["watch ", "list jobs", "list pods", "get namespaces"].iter().any(|w| call.starts_with(w));
        self.state().asked.iter().filter(|call| !kept_up(call)).cloned().collect()
    }

    /// How often one thing was asked.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.state().asked.iter().filter(|asked| *asked == call).count()
    }

    /// Pages of lists hold so many.
    pub(crate) fn pages_of(&self, size: usize) {
        self.state().page = Some(size);
    }

    /// Closes all watches; with `forget` nobody can go on where he was.
    pub(crate) fn close_watches(&self, forget: bool) {
        let mut state = self.state();
        if forget {
            state.version += 1;
            state.horizon = state.version;
        }
        state.watchers.clear();
    }

    /// The namespace is removed with all that is in it, and made anew.
    pub(crate) fn namespace_made_anew(&self) {
        let mut state = self.state();
        let all: Vec<(String, String)> = state.objects.keys().cloned().collect();
        for (resource, name) in all {
            state.remove(&resource, &name);
        }
        state.namespace_uid = Some("another-uid".to_owned());
    }

    /// Watches that are open tell nothing any more, and do not end; those that are opened later do.
    pub(crate) fn watches_fall_silent(&self) {
        self.state().watchers.iter_mut().for_each(|(of, _)| "nothing".clone_into(of));
    }

    /// Its store is restored from an older copy: versions begin again, and so does what is told of a Pod.
    pub(crate) fn restored(&self) {
        let mut state = self.state();
        (state.version, state.horizon) = (0, 0);
        let all: Vec<(String, String)> = state.objects.keys().cloned().collect();
        for key in all {
            state.version += 1;
            let version = json!(state.version.to_string());
            if let Some(object) = state.objects.get_mut(&key) {
                object["metadata"]["resourceVersion"] = version;
            }
        }
        state.past.clear();
        state.watchers.clear();
    }

    /// An object as it is.
    pub(crate) fn object(&self, resource: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&(resource.to_owned(), name.to_owned())).cloned()
    }

    /// The names of a resource.
    pub(crate) fn names(&self, resource: &str) -> Vec<String> {
        self.state().objects.keys().filter(|(of, _)| of == resource).map(|(_, name)| name.clone()).collect()
    }

    /// Somebody else makes or changes an object.
    pub(crate) fn put(&self, resource: &str, name: &str, object: Value) {
        self.state().put(resource, name, object);
    }

    /// Somebody else removes an object.
    pub(crate) fn remove(&self, resource: &str, name: &str) {
        self.state().remove(resource, name);
    }

    async fn answer(self, request: Request<Body>) -> Result<Answer, BoxError> {
        let verb = request.extensions().get::<&'static str>().copied().unwrap_or("get").replace("_metadata", "");
        let path = request.uri().path().to_owned();
        let query: BTreeMap<String, String> = request
            .uri()
            .query()
            .map(|query| url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
            .unwrap_or_default();
        let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").collect();
        let (resource, name) = match parts.as_slice() {
            ["namespaces", name] => ("namespaces", Some((*name).to_owned())),
            ["namespaces", _, resource] => (*resource, None),
            ["namespaces", _, resource, name] => (*resource, Some((*name).to_owned())),
            other => return Err(format!("nobody answers {other:?}").into()),
        };
        let call = format!("{verb} {resource}");
        let body = request.into_body().collect().await?.to_bytes();
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let mut state = self.state();
        state.asked.push(call.clone());
        let mishap = state.mishaps.iter().position(|(of, _)| *of == call).map(|at| state.mishaps.remove(at).1);
        if let Some(Mishap::Refused(code, message)) = mishap {
            return Ok(refused(code, message));
        }
        if verb == "watch" {
            return Ok(state.watch(resource, &query));
        }
        let answer = state.carry_out(&verb, resource, name, &query, body);
        if mishap == Some(Mishap::AnswerLost) {
            return Err("connection reset by peer".into());
        }
        Ok(match answer {
            Ok(object) => whole(200, &object),
            Err((code, message)) => refused(code, &message),
        })
    }
}

impl State {
    fn put(&mut self, resource: &str, name: &str, mut object: Value) -> Value {
        self.version += 1;
        let key = (resource.to_owned(), name.to_owned());
        let kind = if self.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        let meta = &mut object["metadata"];
        meta["name"] = json!(name);
        meta["resourceVersion"] = json!(self.version.to_string());
        if meta["uid"].is_null() {
            meta["uid"] = json!(format!("uid-{}", self.version));
        }
        if meta["creationTimestamp"].is_null() {
            meta["creationTimestamp"] = json!("2026-11-22T11:00:00Z");
        }
        self.objects.insert(key, object.clone());
        self.tell(resource, kind, &object);
        object
    }

    fn remove(&mut self, resource: &str, name: &str) -> Option<Value> {
        let mut object = self.objects.remove(&(resource.to_owned(), name.to_owned()))?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.tell(resource, "DELETED", &object);
        Some(object)
    }

    fn tell(&mut self, resource: &str, kind: &str, object: &Value) {
        let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
        self.past.push((self.version, resource.to_owned(), line.clone()));
        self.watchers.retain(|(of, watcher)| of != resource || watcher.unbounded_send(line.clone()).is_ok());
    }

    fn watch(&mut self, resource: &str, query: &BTreeMap<String, String>) -> Answer {
        let from: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or_default();
        let (sender, receiver) = unbounded();
        if from < self.horizon || from > self.version {
            let status =
                json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"});
            let _ = sender.unbounded_send(Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status}))));
        } else {
            for (_, _, line) in self.past.iter().filter(|(version, of, _)| *version > from && of == resource) {
                let _ = sender.unbounded_send(line.clone());
            }
            self.watchers.push((resource.to_owned(), sender));
        }
        let body = StreamBody::new(receiver.map(|line| Ok::<_, Infallible>(Frame::data(line))));
        Response::new(body.boxed_unsync())
    }

    fn carry_out(
        &mut self,
        verb: &str,
        resource: &str,
        name: Option<String>,
        query: &BTreeMap<String, String>,
        body: Value,
    ) -> Result<Value, (u16, String)> {
        if resource == "namespaces" {
            let uid = self.namespace_uid.as_deref().unwrap_or("namespace-uid");
            return Ok(json!({"metadata": {"name": name, "uid": uid}}));
        }
        let Some(name) = name else {
            if verb == "list" {
                return Ok(self.list(resource, query));
            }
            let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if self.objects.contains_key(&(resource.to_owned(), name.clone())) {
                return Err((409, format!("{resource} \"{name}\" already exists")));
            }
            return Ok(self.put(resource, &name, body));
        };
        let found = self.objects.get(&(resource.to_owned(), name.clone())).cloned();
        let found = found.ok_or_else(|| (404, format!("{resource} \"{name}\" not found")))?;
        match verb {
            "patch" => {
                let mut changed = found.clone();
                if body.is_array() {
                    let patch: json_patch::Patch = serde_json::from_value(body).map_err(|e| (400, e.to_string()))?;
                    json_patch::patch(&mut changed, &patch).map_err(|e| (422, e.to_string()))?;
                } else {
                    json_patch::merge(&mut changed, &body);
                }
                Ok(self.put(resource, &name, changed))
            }
            "delete" => {
                self.remove(resource, &name);
                Ok(json!({"kind": "Status", "status": "Success"}))
            }
            "get" => Ok(found),
            other => Err((405, format!("{other} is not played"))),
        }
    }

    fn list(&self, resource: &str, query: &BTreeMap<String, String>) -> Value {
        let from: usize = query.get("continue").and_then(|token| token.parse().ok()).unwrap_or_default();
        let all: Vec<&Value> = self.objects.iter().filter(|((of, _), _)| of == resource).map(|(_, one)| one).collect();
        let size = self.page.unwrap_or(usize::MAX).min(all.len() - from);
        let next = (from + size < all.len()).then(|| (from + size).to_string());
        json!({
            "metadata": {"resourceVersion": self.version.to_string(), "continue": next},
            "items": all[from..from + size],
        })
    }
}

fn whole(code: u16, body: &Value) -> Answer {
    let frames = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(body.to_string())))]);
    Response::builder().status(code).body(StreamBody::new(frames).boxed_unsync()).unwrap()
}

fn refused(code: u16, message: &str) -> Answer {
    whole(code, &json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "x"}))
}

impl Service<Request<Body>> for Server {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
