//! §8: filters, pages, tokens.

use serde_json::{Value, json};

use crate::server::{Server, small, small_with};

fn ids(page: &Value) -> Vec<String> {
    page["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn rule_8_1_pages_neither_skip_nor_repeat_while_tasks_arrive() {
    let server = Server::new();
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(server.create(&small()).await);
    }
    made.reverse();
    for view in ["MINIMAL", "FULL"] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/v1/tasks?page_size=3&view={view}&page_token={token}")).await.json();
            seen.extend(ids(&page));
            server.create(&small()).await;
            match page.get("next_page_token") {
                Some(next) => token = next.as_str().unwrap().to_owned(),
                None => break,
            }
        }
        assert!(seen.ends_with(&made), "{seen:?}");
        let mut sorted = seen.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), seen.len());
    }
}

#[tokio::test]
async fn rule_8_1_a_token_fits_one_listing() {
    let server = Server::new();
    for _ in 0..3 {
        server.create(&small_with(json!({ "name": "a" }))).await;
    }
    let page = server.get("/v1/tasks?page_size=1&name_prefix=a").await.json();
    let token = page["next_page_token"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/tasks?name_prefix=a&page_token={token}")).await.status, 200);
    for query in [format!("page_token={token}"), "page_token=x".to_owned()] {
        assert_eq!(server.get(&format!("/v1/tasks?{query}")).await.refused(400).as_deref(), Some("page_token"));
    }
    // Another server's token.
    let other = Server::new();
    other.get(&format!("/v1/tasks?name_prefix=a&page_token={token}")).await.refused(400);
}

#[tokio::test]
async fn rule_8_2_page_size_is_bounded() {
    let server = Server::new();
    assert_eq!(server.get("/v1/tasks?page_size=2047").await.status, 200);
    for size in ["0", "2048", "", "-1", "x"] {
        let refused = server.get(&format!("/v1/tasks?page_size={size}")).await;
        assert_eq!(refused.refused(400).as_deref(), Some("page_size"));
        assert!(refused.json()["message"].as_str().unwrap().contains("1 to 2047"));
    }
}

#[tokio::test]
async fn rule_8_3_no_token_on_the_last_page() {
    let server = Server::new();
    assert_eq!(server.get("/v1/tasks").await.json(), json!({ "tasks": [] }));
    let (first, second) = (server.create(&small()).await, server.create(&small()).await);
    let page = server.get("/v1/tasks?page_size=2").await.json();
    assert_eq!(ids(&page), [second, first]);
    assert!(page.get("next_page_token").is_none());
}

#[tokio::test]
async fn rule_8_4_and_8_5_and_8_6_and_8_7_filters() {
    let server = Server::new();
    let one = server.create(&small_with(json!({ "name": "a%b_c", "tags": { "g": "1", "e": "" } }))).await;
    let two = server.create(&small_with(json!({ "name": "aXbYc", "tags": { "g": "2" } }))).await;
    let bare = server.create(&small()).await;
    server.ask("POST", &format!("/v1/tasks/{two}:cancel")).await;
    let (one, two, bare) = (one.as_str(), two.as_str(), bare.as_str());
    for (query, expected) in [
        ("", vec![bare, two, one]),
        ("name_prefix=", vec![bare, two, one]),
        ("name_prefix=a", vec![two, one]),
        ("name_prefix=a%25", vec![one]),
        ("name_prefix=a.b", vec![]),
        ("name_prefix=A", vec![]),
        ("state=CANCELED", vec![two]),
        ("state=QUEUED", vec![bare, one]),
        ("state=UNKNOWN", vec![]),
        ("state=", vec![bare, two, one]),
        ("tag_key=g", vec![two, one]),
        ("tag_key=g&tag_value=", vec![two, one]),
        ("tag_key=g&tag_value=1", vec![one]),
        ("tag_key=e", vec![one]),
        ("tag_key=g&tag_key=e&tag_value=1", vec![one]),
        ("tag_key=g&tag_key=g&tag_value=1&tag_value=2", vec![]),
        ("tag_key=g&state=CANCELED&name_prefix=a", vec![two]),
        ("tag_key=g&state=CANCELED&name_prefix=a%25", vec![]),
    ] {
        for view in ["MINIMAL", "BASIC"] {
            let page = server.get(&format!("/v1/tasks?view={view}&{query}")).await.json();
            assert_eq!(ids(&page), expected, "{query} {view}");
        }
    }
    server.get("/v1/tasks?state=DONE").await.refused(400);
    server.get("/v1/tasks?tag_value=1").await.refused(400);
}

#[tokio::test]
async fn unknown_query_parameters_are_not_looked_at() {
    assert_eq!(Server::new().get("/v1/tasks?api_key=secret&api_key=again").await.status, 200);
}
