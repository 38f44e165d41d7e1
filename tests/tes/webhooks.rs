//! Webhooks against a target in this process.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tessera::clock::Clock;
use tessera::roster::Turn;
use tessera::store::{ChangeId, Holder, Store};
use tessera::task::{Owner, Phase};
use tessera::webhooks::send::{Message, Outcome, Sender};
use tessera::webhooks::{Pace, Post, SigningKey, Target, run};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::{Server, small};

/// How long anything may take in these tests, before it counts as never.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a target does with a message.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Redirect,
    Never,
}

#[derive(Clone, Debug)]
struct Received {
    path: String,
    id: String,
    timestamp: i64,
    signature: String,
    body: Vec<u8>,
}

impl Received {
    fn state(&self) -> (String, String) {
        let told: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(told["type"], "task.state");
        let text = |key: &str| told["data"][key].as_str().unwrap().to_owned();
        (text("task"), text("state"))
    }
}

/// A server that gets webhooks. Answers beyond those that were given are 204.
struct Listening {
    port: u16,
    received: watch::Receiver<Vec<Received>>,
    _serving: tokio::task::AbortHandle,
}

impl Listening {
    async fn with(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers = answers.into_iter().collect::<VecDeque<_>>();
        Self::answering(move |_| answers.pop_front().unwrap_or(Answer::Status(204))).await
    }

    async fn answering(answer: impl FnMut(&Received) -> Answer + Send + 'static) -> Self {
        let answer = Arc::new(Mutex::new(answer));
        let (sender, received) = watch::channel(Vec::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let taking = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
            let message = Received {
                path: uri.path().to_owned(),
                id: text("webhook-id"),
                timestamp: text("webhook-timestamp").parse().unwrap(),
                signature: text("webhook-signature"),
                body: body.to_vec(),
            };
            let next = (answer.lock().unwrap())(&message);
            sender.send_modify(|all| all.push(message));
            answered(next).await
        };
        let router = Router::new().fallback(taking);
        let serving = tokio::spawn(async move { axum_serve(listener, router).await }).abort_handle();
        Self { port, received, _serving: serving }
    }

    /// Waits until so many have come.
    async fn took(&mut self, count: usize) -> Vec<Received> {
        let enough = self.received.wait_for(|all| all.len() >= count);
        tokio::time::timeout(PATIENCE, enough).await.unwrap().unwrap().clone()
    }

    fn target(&self) -> Target {
        Target {
            url: format!("http://127.0.0.1:{}/hook", self.port).parse().unwrap(),
            key: SigningKey::parse(SECRET).unwrap(),
            phases: [Phase::Complete, Phase::Canceled].into(),
            owners: [].into(),
            internal: true,
            // The tasks of these tests are years old.
            give_up_after: Duration::MAX,
            timeout: PATIENCE,
            pace: Pace { first_ms: 1, most_ms: 5 },
        }
    }
}

async fn axum_serve(listener: tokio::net::TcpListener, router: Router) {
    tessera::http::listener::serve(listener, router, std::future::pending(), PATIENCE).await;
}

async fn answered(answer: Answer) -> Response {
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Answer::Never => std::future::pending().await,
    }
}

/// Webhooks under way.
struct Sending {
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Sending {
    /// Begins, and returns when each target has its place.
    async fn to(server: &Server, targets: Vec<Target>) -> Self {
        Self::among(server, targets, None).await
    }

    /// The same, for one of several servers on the store.
    async fn among(server: &Server, targets: Vec<Target>, turn: Option<Turn>) -> Self {
        let store = Arc::clone(&server.store) as Arc<dyn Store>;
        let names: Vec<String> = targets.iter().map(Target::name).collect();
        let words = Arc::new(tessera::http::api::events::announcement);
        let post = Post { store, clock: Clock::system(), words, turn };
        let (stop, mut stopping) = watch::channel(false);
        let running = tokio::spawn(async move {
            let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
            run(&post, targets, stopped).await;
        });
        for name in names {
            until(async || server.store.told(&name).await.unwrap().is_some()).await;
        }
        Self { stop, running }
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap();
    }
}

/// For what rings no bell.
async fn until(holds: impl AsyncFn() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

/// A task that was created and cancelled.
async fn canceled(server: &Server) -> String {
    let task = server.create(&small()).await;
    assert_eq!(server.ask("POST", &format!("/v1/tasks/{task}:cancel")).await.status, 200);
    task
}

#[tokio::test]
async fn what_happens_after_the_beginning_is_told_signed() {
    let server = Server::new();
    canceled(&server).await;
    let mut target = Listening::with([]).await;
    let sending = Sending::to(&server, vec![target.target()]).await;
    let task = canceled(&server).await;
    let received = target.took(1).await;
    assert_eq!(received.len(), 1);
    let message = &received[0];
    assert_eq!(message.state(), (task, "CANCELED".to_owned()));
    assert_eq!(message.id, format!("{}-4", server.store.installation().0));
    assert!((jiff::Timestamp::now().as_second() - message.timestamp).abs() < 60);
    let key = SigningKey::parse(SECRET).unwrap();
    assert_eq!(message.signature, key.sign(&message.id, message.timestamp, &message.body));
    sending.end().await;
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id() {
    let server = Server::new();
    let mut target = Listening::with([Answer::Status(500), Answer::Never, Answer::Redirect, Answer::Status(429)]).await;
    let impatient = Target { timeout: Duration::from_millis(300), ..target.target() };
    let sending = Sending::to(&server, vec![impatient]).await;
    let (first, second) = (canceled(&server).await, canceled(&server).await);
    let received = target.took(6).await;
    let of = |task: &str| received.iter().filter(|one| one.state().0 == task).cloned().collect::<Vec<_>>();
    assert_eq!(of(&first).len() + of(&second).len(), 6);
    for all in [of(&first), of(&second)] {
        assert!(all.iter().all(|one| one.id == all[0].id && one.body == all[0].body), "{all:?}");
    }
    assert!(received.iter().all(|one| one.path == "/hook"), "a redirect was followed");
    sending.end().await;
}

#[tokio::test]
async fn what_is_refused_is_offered_again_unless_the_target_is_gone() {
    let server = Server::new();
    let refusals = [400, 401, 404, 422, 404].map(Answer::Status);
    let mut target = Listening::with(refusals).await;
    let sending = Sending::to(&server, vec![target.target()]).await;
    let refused = canceled(&server).await;
    assert!(target.took(6).await.iter().all(|one| one.state().0 == refused));
    sending.end().await;

    let server = Server::new();
    let mut gone = Listening::with([Answer::Status(410)]).await;
    let sending = Sending::to(&server, vec![gone.target()]).await;
    canceled(&server).await;
    let name = gone.target().name();
    until(async || server.store.told(&name).await.unwrap() == Some(ChangeId(2))).await;
    let next = canceled(&server).await;
    assert_eq!(gone.took(2).await[1].state().0, next);
    sending.end().await;
}

#[tokio::test]
async fn what_is_never_taken_holds_up_no_other_task_and_is_tried_again_after_a_restart() {
    let server = Server::new();
    // More than are told of side by side.
    let never = |id: &str| id.rsplit_once('-').is_some_and(|(_, n)| n.parse::<u64>().unwrap() <= 20);
    let mut target = Listening::answering(move |one| Answer::Status(if never(&one.id) { 500 } else { 204 })).await;
    let hook = Target { pace: Pace { first_ms: 20, most_ms: 1_000 }, ..target.target() };
    let sending = Sending::to(&server, vec![hook.clone()]).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(canceled(&server).await);
    }
    for task in &tasks[10..] {
        let arrived = target.received.wait_for(|all| all.iter().any(|one| one.state().0 == *task));
        tokio::time::timeout(PATIENCE, arrived).await.unwrap().unwrap();
    }
    let name = hook.name();
    // The first that is open is change 2.
    until(async || server.store.told(&name).await.unwrap() == Some(ChangeId(1))).await;
    sending.end().await;

    let mut target = Listening::with([]).await;
    // The same target to the store, which knows it by its URL.
    server.store.tell(&target.target().name(), ChangeId(1)).await.unwrap();
    let sending = Sending::to(&server, vec![target.target()]).await;
    let again = target.took(20).await;
    let mut told: Vec<String> = again.iter().map(|one| one.state().0).collect();
    told.sort();
    tasks.sort();
    assert_eq!(told, tasks);
    let name = target.target().name();
    until(async || server.store.told(&name).await.unwrap() == Some(ChangeId(40))).await;
    assert_eq!(target.received.borrow().len(), 20);
    sending.end().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_written_ends_no_telling_and_repeats_none() {
    let server = Server::new();
    let mut target = Listening::with([]).await;
    let hook = target.target();
    let name = hook.name();
    let sending = Sending::to(&server, vec![hook]).await;
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON told BEGIN SELECT RAISE(FAIL, 'refused'); END";
    server.beside_the_store().execute_batch(refuse).unwrap();
    let mut tasks = Vec::new();
    for count in 1..=12 {
        tasks.push(canceled(&server).await);
        target.took(count).await;
    }
    assert_eq!(server.store.told(&name).await.unwrap(), Some(ChangeId(0)));
    server.beside_the_store().execute_batch("DROP TRIGGER refuse").unwrap();
    until(async || server.store.told(&name).await.unwrap() == Some(ChangeId(24))).await;
    let told: Vec<String> = target.received.borrow().iter().map(|one| one.state().0).collect();
    assert_eq!(told, tasks);
    sending.end().await;
}

#[tokio::test]
async fn what_is_too_old_is_tried_once() {
    let server = Server::new();
    let mut target = Listening::with([Answer::Status(503)]).await;
    let hurried = Target { give_up_after: Duration::ZERO, ..target.target() };
    let sending = Sending::to(&server, vec![hurried]).await;
    let (old, next) = (canceled(&server).await, canceled(&server).await);
    let told: Vec<String> = target.took(2).await.iter().map(|one| one.state().0).collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&old) && told.contains(&next));
    sending.end().await;
}

#[tokio::test]
async fn after_a_restart_exactly_the_rest_is_told() {
    let server = Server::new();
    let mut target = Listening::with([]).await;
    let hook = target.target();
    let sending = Sending::to(&server, vec![hook.clone()]).await;
    let mut tasks = vec![canceled(&server).await, canceled(&server).await];
    target.took(2).await;
    let name = hook.name();
    until(async || server.store.told(&name).await.unwrap() == Some(ChangeId(4))).await;
    sending.end().await;
    tasks.push(canceled(&server).await);
    tasks.push(canceled(&server).await);
    let sending = Sending::to(&server, vec![hook]).await;
    tasks.push(canceled(&server).await);
    let mut told: Vec<String> = target.took(5).await.iter().map(|one| one.state().0).collect();
    until(async || server.store.told(&name).await.unwrap() == Some(ChangeId(10))).await;
    sending.end().await;
    assert_eq!(target.received.borrow().len(), 5);
    told.sort();
    tasks.sort();
    assert_eq!(told, tasks);
}

#[tokio::test]
async fn a_dead_target_holds_up_no_other_and_owners_are_a_filter() {
    let server = Server::new();
    let (mut dead, mut alive) = (Listening::with([Answer::Never; 100]).await, Listening::with([]).await);
    let strangers = Listening::with([]).await;
    let not_ours = Target { owners: [Owner("bob".to_owned())].into(), ..strangers.target() };
    let sending = Sending::to(&server, vec![dead.target(), alive.target(), not_ours]).await;
    for count in 1..=20 {
        canceled(&server).await;
        alive.took(count).await;
    }
    dead.took(1).await;
    sending.end().await;
    assert!(strangers.received.borrow().is_empty());
}

#[tokio::test]
async fn an_address_of_this_machine_is_refused_unless_it_is_meant() {
    let target = Listening::with([]).await;
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "169.254.169.254", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/hook", target.port).parse().unwrap();
        let hook = Target { url, internal: false, ..target.target() };
        let message = Message { id: "x-1".to_owned(), body: b"{}".to_vec() };
        let outcome = Sender::new(&hook).unwrap().send(&hook, &message, 1).await;
        assert!(
            matches!(&outcome, Outcome::Later { reason, .. } if reason.contains("of this machine")),
            "{host}: {outcome:?}"
        );
    }
    assert!(target.received.borrow().is_empty());
    let hook = target.target();
    let message = Message { id: "x-1".to_owned(), body: b"{}".to_vec() };
    assert_eq!(Sender::new(&hook).unwrap().send(&hook, &message, 1).await, Outcome::Taken);
}

#[tokio::test]
async fn of_several_servers_one_tells_a_target_and_another_goes_on_after_it_dies() {
    let server = Server::new();
    let mut target = Listening::with([]).await;
    let turn = |name: &str| Turn {
        store: Arc::clone(&server.store) as Arc<dyn Store>,
        clock: Clock::system(),
        holder: Holder(format!("{name}/1")),
        lease: Duration::from_millis(300),
    };
    let first = Sending::among(&server, vec![target.target()], Some(turn("a"))).await;
    let second = Sending::among(&server, vec![target.target()], Some(turn("b"))).await;
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(canceled(&server).await);
    }
    let told = |received: &[Received]| received.iter().map(|one| one.state().0).collect::<Vec<_>>();
    let mut heard = told(&target.took(20).await);
    heard.sort();
    assert_eq!(heard, tasks, "each was told once");
    // It dies without a word, with all that it said being remembered.
    let (name, newest) = (target.target().name(), server.store.kept().await.unwrap().newest);
    until(async || server.store.told(&name).await.unwrap() == Some(newest)).await;
    first.running.abort();
    let next = canceled(&server).await;
    assert_eq!(told(&target.took(21).await)[20..], [next]);
    second.end().await;
}
