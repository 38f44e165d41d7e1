//! The proxy, against a server of a few lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Body as Sending, Client, Response};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::proxy::wire::{Body, Framing, Head, Incoming};
use crate::proxy::{Break, Fault, Line, Proxy, Rule};

const DIGITS: &str = "0123456789";

/// Answers GET with the digits, framed as the path says, and PUT with what was sent.
async fn serve(stream: TcpStream) -> std::io::Result<()> {
    let (incoming, mut to) = stream.into_split();
    let mut from = Incoming::new(incoming);
    while let Some(head) = from.head().await? {
        if head.says("expect", "100-continue") {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if head.word(1) == "/early" {
            to.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
            return Ok(());
        }
        let mut sent = Vec::new();
        let mut body = Body::new(head.framing()?);
        while let Some(piece) = body.piece(&mut from).await? {
            sent.extend_from_slice(&piece);
        }
        match (head.word(0), head.word(1)) {
            ("PUT", _) => {
                to.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", sent.len()).as_bytes()).await?;
                to.write_all(&sent).await?;
            }
            ("HEAD", _) => to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await?,
            (_, "/chunked") => {
                to.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\n0123\r\n").await?;
                to.write_all(b"6\r\n456789\r\n0\r\nx-sum: 1\r\n\r\n").await?;
            }
            (_, "/until-close") => {
                to.write_all(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{DIGITS}").as_bytes()).await?;
                return Ok(());
            }
            (_, "/host") => {
                let host = head.header("host").unwrap_or_default();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{host}", host.len());
                to.write_all(answer.as_bytes()).await?;
            }
            _ => to.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{DIGITS}").as_bytes()).await?,
        }
    }
    Ok(())
}

/// A proxy before such a server, and a client that keeps connections.
async fn proxied() -> (Proxy, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No certificate is needed, and none looked for.
    let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    (Proxy::before(&server).await, client)
}

async fn get(proxy: &Proxy, client: &Client, path: &str) -> Response {
    client.get(format!("{}{path}", proxy.url())).send().await.unwrap()
}

async fn text(proxy: &Proxy, client: &Client, path: &str) -> String {
    get(proxy, client, path).await.text().await.unwrap()
}

#[tokio::test]
async fn what_no_rule_is_about_passes_and_is_counted() {
    let (proxy, client) = proxied().await;
    for path in ["/a?x=1", "/chunked", "/until-close", "/a"] {
        assert_eq!(text(&proxy, &client, path).await, DIGITS, "{path}");
    }
    assert_eq!(format!("http://{}", text(&proxy, &client, "/host").await), proxy.url());
    let head = client.head(format!("{}/a", proxy.url())).header("range", "bytes=1-").send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "10");
    assert_eq!([proxy.count("GET", "/a"), proxy.count("*", "/a"), proxy.count("GET", "x=1")], [2, 3, 1]);
    let asked = proxy.asked();
    let last = asked.last().unwrap();
    assert_eq!((last.method.as_str(), last.range.as_deref(), last.status()), ("HEAD", Some("bytes=1-"), Some(200)));
    proxy.forget();
    assert_eq!(proxy.count("*", ""), 0);
}

#[tokio::test]
async fn bodies_of_both_kinds_reach_the_server() {
    let (proxy, client) = proxied().await;
    let large = "x".repeat(3_000_000);
    let stream = futures::stream::iter([Ok::<_, std::io::Error>("0123"), Ok(""), Ok("456789")]);
    for (body, expected) in [(Sending::from(large.clone()), large.as_str()), (Sending::wrap_stream(stream), DIGITS)] {
        let answer = client.put(format!("{}/p", proxy.url())).body(body).send().await.unwrap();
        assert!(answer.text().await.unwrap() == expected);
    }
}

#[tokio::test]
async fn who_waits_to_be_asked_for_the_body_is_asked() {
    let (proxy, _client) = proxied().await;
    let (incoming, mut to) = TcpStream::connect(&proxy.url()[7..]).await.unwrap().into_split();
    let mut from = Incoming::new(incoming);
    to.write_all(b"PUT /p HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    assert_eq!(from.head().await.unwrap().unwrap().status().unwrap(), 100);
    to.write_all(b"ab").await.unwrap();
    assert_eq!(from.head().await.unwrap().unwrap().status().unwrap(), 200);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_arrives() {
    let (proxy, _client) = proxied().await;
    let (incoming, mut to) = TcpStream::connect(&proxy.url()[7..]).await.unwrap().into_split();
    let mut from = Incoming::new(incoming);
    to.write_all(b"PUT /early HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nx").await.unwrap();
    assert_eq!(from.head().await.unwrap().unwrap().status().unwrap(), 403);
    assert!(from.head().await.unwrap().is_none());
}

#[tokio::test]
async fn injected_answers_come_as_often_as_they_should() {
    let (proxy, client) = proxied().await;
    let busy =
        Rule::new(Fault::Answer { status: 429, retry_after_s: Some(7) }).method("GET").path("/a").after(1).times(2);
    proxy.rules([busy, Rule::status(403).method("PUT")]);
    let mut statuses = Vec::new();
    for path in ["/a", "/b", "/a", "/a", "/a"] {
        let answer = get(&proxy, &client, path).await;
        if answer.status() == 429 {
            assert_eq!(answer.headers()["retry-after"], "7");
        }
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 429, 200]);
    let put = client.put(format!("{}/a", proxy.url())).body("x".repeat(1_000_000)).send().await.unwrap();
    assert_eq!(put.status(), 403);
    assert_eq!(proxy.asked().last().unwrap().status(), Some(403));
    proxy.rules([Rule::new(Fault::HangUp)]);
    client.get(format!("{}/a", proxy.url())).send().await.unwrap_err();
    assert_eq!(proxy.asked().last().unwrap().status(), None);
}

#[tokio::test]
async fn a_cut_body_is_short_and_a_cut_request_is_not_answered() {
    let (proxy, client) = proxied().await;
    proxy.rules([Rule::new(Fault::CutAnswer(4)).method("GET"), Rule::new(Fault::CutRequest(4)).method("PUT")]);
    for path in ["/a", "/chunked"] {
        let mut answer = get(&proxy, &client, path).await;
        let mut got = Vec::new();
        let cut = loop {
            match answer.chunk().await {
                Ok(Some(piece)) => got.extend_from_slice(&piece),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(cut, "{path}");
        assert_eq!(got, b"0123", "{path}");
    }
    client.put(format!("{}/p", proxy.url())).body(DIGITS).send().await.unwrap_err();
}

#[tokio::test]
async fn a_stalled_body_ends_only_with_its_caller() {
    let (proxy, client) = proxied().await;
    proxy.rules([Rule::new(Fault::Stall(4))]);
    let mut answer = get(&proxy, &client, "/a").await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "0123");
    timeout(Duration::from_millis(100), answer.chunk()).await.unwrap_err();
}

#[tokio::test]
async fn one_bit_is_turned() {
    let (proxy, client) = proxied().await;
    proxy.rules([Rule::new(Fault::FlipInAnswer(9)).method("GET"), Rule::new(Fault::FlipInRequest(0)).method("PUT")]);
    for path in ["/a", "/chunked", "/until-close"] {
        assert_eq!(text(&proxy, &client, path).await, "0123456788", "{path}");
    }
    let put = client.put(format!("{}/p", proxy.url())).body(DIGITS).send().await.unwrap();
    assert_eq!(put.text().await.unwrap(), "1123456789");
}

#[tokio::test]
async fn an_endless_body_never_ends() {
    let (proxy, client) = proxied().await;
    proxy.rules([Rule::new(Fault::Endless)]);
    for path in ["/a", "/chunked"] {
        let mut answer = get(&proxy, &client, path).await;
        assert_eq!(answer.content_length(), None);
        let mut got = String::new();
        while got.len() < 100_000 {
            got.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
        }
        assert!(got.starts_with("012345678901234567890"), "{path}");
    }
}

#[tokio::test]
async fn what_is_delayed_arrives_late_and_whole() {
    let (proxy, client) = proxied().await;
    let pause = Duration::from_millis(20);
    for (fault, least) in [(Fault::Delay(pause), pause), (Fault::Trickle { bytes: 2, pause }, pause * 5)] {
        proxy.rules([Rule::new(fault)]);
        let began = Instant::now();
        assert_eq!(text(&proxy, &client, "/a").await, DIGITS);
        assert!(began.elapsed() >= least);
    }
}

#[tokio::test]
async fn something_happens_between_two_requests() {
    let (proxy, client) = proxied().await;
    let happened = Arc::new(AtomicUsize::new(0));
    let act = Arc::clone(&happened);
    let first = Fault::First(Arc::new(move || {
        act.fetch_add(1, Ordering::Relaxed);
    }));
    proxy.rules([Rule::new(first).after(1).times(1)]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        assert_eq!(text(&proxy, &client, "/a").await, DIGITS);
        seen.push(happened.load(Ordering::Relaxed));
    }
    assert_eq!(seen, [0, 1, 1]);
}

#[tokio::test]
async fn trailers_stay_with_a_body_in_pieces() {
    let (mut to, from): (DuplexStream, DuplexStream) = duplex(1024);
    to.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n")
        .await
        .unwrap();
    drop(to);
    let mut from = Incoming::new(from);
    let head: Head = from.head().await.unwrap().unwrap();
    assert_eq!(head.answer_framing("GET").unwrap(), Framing::Chunked);
    let mut body = Body::new(Framing::Chunked);
    assert_eq!(body.piece(&mut from).await.unwrap().unwrap(), b"abc");
    assert!(body.piece(&mut from).await.unwrap().is_none());
    assert_eq!(body.trailers, "x-sum: 1\r\n");
    let mut out = Vec::new();
    Framing::Chunked.end(&body.trailers, &mut out).await.unwrap();
    assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
}

#[tokio::test]
async fn a_line_breaks_as_often_as_it_should() {
    let (proxy, client) = proxied().await;
    let line = Line::before(&proxy.url()["http://".len()..]).await;
    let ask = async || {
        let url = format!("http://{}/a", line.address());
        client.get(url).header("connection", "close").send().await?.text().await
    };
    assert_eq!(ask().await.unwrap(), DIGITS);
    for how in [Break::AfterReceived(40), Break::AfterSent(10)] {
        line.breaks(how, 1);
        ask().await.unwrap_err();
        assert_eq!(ask().await.unwrap(), DIGITS, "{how:?}");
    }
    line.breaks(Break::SilentAfter(40), 1);
    timeout(Duration::from_millis(100), ask()).await.unwrap_err();
    assert_eq!(ask().await.unwrap(), DIGITS);
    assert_eq!(line.connections(), 7);
}
