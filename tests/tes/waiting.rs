//! Why a task waits, from outside: over the real router, with a scripted backend and an engine that a test ticks.

use serde_json::{Value, json};
use tessera::engine::{dispatch, observe};
use tessera::http::{Access, Credentials, Secret, Settings, Token};
use tessera::store::{Ceiling, ClaimRequest, Holder, Store as _};
use tessera::task::spec::{Executor, Input};
use tessera::task::{Owner, TaskId, TaskSpec};
use tessera_contract::BackendError;
use tessera_contract::scripted::{Mischief, Verb};

use crate::server::{Server, small, small_with};

const TASKS: &str = "/ga4gh/tes/v1/tasks";

async fn shown(server: &Server, id: &str) -> Value {
    let answer = server.get(&format!("/api/v1/tasks/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

async fn tick(server: &Server) {
    dispatch::tick(&server.engine).await.unwrap();
    observe::tick(&server.engine).await.unwrap();
}

fn doing(words: &[&str]) -> Value {
    json!({ "executors": [{ "image": "scripted", "command": words }] })
}

fn needing(cores: u32) -> Value {
    small_with(json!({ "resources": { "cpu_cores": cores } }))
}

fn moment(value: &Value) -> jiff::Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no moment: {value}")).parse().unwrap()
}

#[tokio::test]
async fn the_queue_is_told_in_order_with_what_each_lacks() {
    let server = Server::new();
    let first = server.create(&small_with(json!({ "name": "first" }))).await;
    let second = server.create(&needing(3)).await;
    let task = shown(&server, &second).await;
    assert_eq!((&task["state"], &task["attempt"], &task["backend"]), (&json!("QUEUED"), &json!(1), &json!("scripted")));
    assert_eq!(task["waiting"]["kind"], "in_queue");
    assert_eq!(task["waiting"]["position"], 1);
    assert_eq!(task["since"], task["created"]);
    assert_eq!(task["waiting"]["message"], "waiting for its turn on backend `scripted`: 1 task is ahead of it");

    let hanging = server.create(&doing(&["hang"])).await;
    server.outside.always(Verb::Submit, Mischief::Fail(BackendError::Misconfigured("no".to_owned())));
    let queue = server.get("/api/v1/queue").await.json();
    let told: Vec<(&str, u64)> = queue["tasks"].as_array().unwrap().iter().map(place).collect();
    assert_eq!(told, [(first.as_str(), 0), (second.as_str(), 1), (hanging.as_str(), 2)]);
    assert_eq!(queue["tasks"][0]["name"], "first");
    assert!(queue.get("next_page_token").is_none());
}

fn place(task: &Value) -> (&str, u64) {
    (task["id"].as_str().unwrap(), task["waiting"]["position"].as_u64().unwrap())
}

#[tokio::test]
async fn what_is_lacking_is_told_in_figures() {
    let server = Server::new();
    server
        .create(&small_with(json!({ "resources": { "cpu_cores": 3 },
        "executors": [{ "image": "scripted", "command": ["hang"] }] })))
        .await;
    tick(&server).await;
    let waits = server.create(&needing(2)).await;
    let waiting = &shown(&server, &waits).await["waiting"];
    assert_eq!(waiting["lacks"], json!({ "what": "cpu_milli", "needs": 2_000, "has": 4_000, "free": 1_000 }));
    let message = "waiting for room on backend `scripted`: the task needs 2 cores of 4, 1 free; no task is ahead of it";
    assert_eq!(waiting["message"], message);
}

#[tokio::test]
async fn pages_of_the_queue_count_on() {
    let server = Server::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.create(&small()).await);
    }
    let mut found: Vec<(String, u64)> = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let page = server.get(&format!("/api/v1/queue?page_size=2&page_token={token}")).await.json();
        found.extend(page["tasks"].as_array().unwrap().iter().map(place).map(|(id, n)| (id.to_owned(), n)));
        pages += 1;
        let Some(next) = page["next_page_token"].as_str() else { break };
        next.clone_into(&mut token);
    }
    let expected: Vec<(String, u64)> = ids.into_iter().zip(0..).collect();
    assert_eq!((found, pages), (expected, 3));
    let named = server.get("/api/v1/queue?backend=scripted&page_size=1").await.json();
    assert_eq!(named["tasks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_task_and_the_queue_tell_the_same_place() {
    let server = Server::new();
    server.outside.next(Verb::Submit, 1, Mischief::Fail(BackendError::Misconfigured("no disk".to_owned())));
    let mut ids = vec![server.create(&small_with(json!({ "name": "postponed" }))).await];
    tick(&server).await;
    for _ in 0..4 {
        ids.push(server.create(&small()).await);
    }
    let now = jiff::Timestamp::now();
    let task = TaskId::parse(&ids[2]).unwrap();
    let claim = ClaimRequest { task, backend: "scripted".to_owned(), cpu_milli: 0, ram_bytes: 0 };
    let until = now + std::time::Duration::from_secs(600);
    let claimed =
        server.store.claim(&Holder("another".to_owned()), now, until, Ceiling::default(), &[claim]).await.unwrap();
    assert_eq!(claimed.len(), 1);

    let mut told = Vec::new();
    let mut token = String::new();
    loop {
        let page = server.get(&format!("/api/v1/queue?page_size=2&page_token={token}")).await.json();
        told.extend(page["tasks"].as_array().unwrap().clone());
        let Some(next) = page["next_page_token"].as_str() else { break };
        next.clone_into(&mut token);
    }
    assert_eq!(told.iter().map(|task| task["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    let what: Vec<_> = told.iter().map(|task| (&task["waiting"]["kind"], &task["waiting"]["position"])).collect();
    let (turn, postponed, claimed) = (json!("in_queue"), json!("next_try"), json!("handing_over"));
    let expected =
        [(&postponed, &json!(0)), (&turn, &json!(1)), (&claimed, &Value::Null), (&turn, &json!(2)), (&turn, &json!(3))];
    assert_eq!(what, expected);
    for (id, in_queue) in ids.iter().zip(&told) {
        assert_eq!(shown(&server, id).await["waiting"], in_queue["waiting"]);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_name() {
    let server = Server::new();
    for (query, field) in [
        ("backend=nowhere", "backend"),
        ("page_size=0", "page_size"),
        ("page_size=x", "page_size"),
        ("page_size=2048", "page_size"),
        ("page_token=AAAA", "page_token"),
    ] {
        let answer = server.get(&format!("/api/v1/queue?{query}")).await;
        assert_eq!(answer.refused(400).as_deref(), Some(field), "{query}");
    }
    for id in ["nothing", "01k00000000000000000000000", "%ff", "a%2Fb"] {
        assert_eq!(server.get(&format!("/api/v1/tasks/{id}")).await.refused(404), None, "{id}");
    }
    assert_eq!(server.ask("DELETE", "/api/v1/queue").await.status, 405);
}

#[tokio::test]
async fn others_count_and_are_never_shown() {
    let token = |name: &str| Token { name: name.to_owned(), token: Secret::new(name) };
    let credentials = Credentials { tokens: vec![token("ann"), token("bob")], users: vec![] };
    let server = Server::with(Settings { access: Access::Required(credentials), ..Settings::default() });
    let ask = async |who: &str, method: &str, path: &str, body: Value| {
        let request =
            axum::http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {who}"));
        server.send(request.body(body.to_string().into()).unwrap()).await
    };
    let create = async |who: &str| ask(who, "POST", TASKS, small()).await.json()["id"].as_str().unwrap().to_owned();
    let (anns, bobs) = (create("ann").await, create("bob").await);
    let queue = ask("bob", "GET", "/api/v1/queue?page_size=1", Value::Null).await;
    let text = String::from_utf8(queue.body.clone()).unwrap();
    assert!(!text.contains(&anns), "{text}");
    assert_eq!(place(&queue.json()["tasks"][0]), (bobs.as_str(), 1));
    let foreign = ask("bob", "GET", &format!("/api/v1/tasks/{anns}"), Value::Null).await;
    assert_eq!(foreign.refused(404), None);
    for path in ["/api/v1/queue".to_owned(), format!("/api/v1/tasks/{anns}")] {
        assert_eq!(server.get(&path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_backend_that_takes_nothing_is_told_with_since_and_next_try() {
    let server = Server::new();
    server.outside.always(Verb::Submit, Mischief::Fail(BackendError::Unavailable("out of order".to_owned())));
    let id = server.create(&small()).await;
    tick(&server).await;
    let waiting = &shown(&server, &id).await["waiting"];
    assert_eq!((&waiting["kind"], &waiting["reason"]), (&json!("backend_unavailable"), &json!("out of order")));
    assert!(moment(&waiting["since"]) < moment(&waiting["next_try"]), "{waiting}");
}

#[tokio::test]
async fn a_task_that_is_refused_for_now_is_tried_again_at_a_time() {
    let server = Server::new();
    server.outside.always(Verb::Submit, Mischief::Fail(BackendError::Misconfigured("no disk".to_owned())));
    let id = server.create(&small()).await;
    tick(&server).await;
    let waiting = &shown(&server, &id).await["waiting"];
    assert_eq!((&waiting["kind"], &waiting["refusals"]), (&json!("next_try"), &json!(1)), "{waiting}");
    assert!(moment(&waiting["next_try"]) > jiff::Timestamp::now());
    assert!(waiting["reason"].as_str().unwrap().contains("no disk"), "{waiting}");
    let queue = server.get("/api/v1/queue").await.json();
    assert_eq!(&queue["tasks"][0]["waiting"], waiting, "one task and the queue say the same");
}

#[tokio::test]
async fn a_task_at_work_says_at_what() {
    let server = Server::new();
    let runs = server.create(&doing(&["hang"])).await;
    tick(&server).await;
    let task = shown(&server, &runs).await;
    assert_eq!((&task["state"], &task["running"]["executor"]), (&json!("RUNNING"), &json!(0)), "{task}");
    assert!(task.get("waiting").is_none() && moment(&task["since"]) <= jiff::Timestamp::now(), "{task}");

    assert_eq!(server.ask("POST", &format!("{TASKS}/{runs}:cancel")).await.status, 200);
    let task = shown(&server, &runs).await;
    assert_eq!((&task["state"], &task["waiting"]["kind"]), (&json!("CANCELING"), &json!("being_canceled")), "{task}");
}

#[tokio::test]
async fn inputs_that_are_fetched_are_told_in_figures() {
    let server = Server::new();
    let executor = Executor { image: "scripted".to_owned(), command: vec!["true".to_owned()], ..Executor::default() };
    // No door lets this URL in; its words are those of the scripted backend.
    let input = Input { path: "/in".to_owned(), url: Some("scripted:stall".to_owned()), ..Input::default() };
    let spec = TaskSpec { inputs: vec![input], executors: vec![executor], ..TaskSpec::default() };
    let (id, now) = (TaskId::new(jiff::Timestamp::now()), jiff::Timestamp::now());
    server.store.create(&Owner::anonymous(), &id, now, spec).await.unwrap();
    tick(&server).await;
    let task = shown(&server, id.as_str()).await;
    assert_eq!(task["state"], "INITIALIZING");
    let waiting = &task["waiting"];
    assert_eq!(
        (&waiting["kind"], &waiting["files"], &waiting["of_files"]),
        (&json!("fetching_inputs"), &json!(0), &json!(1))
    );
    assert_eq!(waiting["message"], "fetching inputs: 0 of 1 files, 0 bytes");
    moment(&waiting["since"]);
}
