#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::JoinHandle;

use super::*;
use crate::tree::Tree;

/// What a scripted server does with one connection.
enum Answer {
    /// Sends this and closes.
    Says(String),
    /// Sends this and goes silent until the client gives up.
    Stalls(String),
}

use Answer::{Says, Stalls};

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{headers}connection: close\r\n\r\n{body}")
}

fn status(line: &str) -> Answer {
    Says(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"))
}

/// A server that answers one connection after another as told, and then tells what it was asked.
fn server(answers: Vec<Answer>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let serve = |answer: Answer| {
            let (mut stream, _) = listener.accept().unwrap();
            let request = request(&mut stream);
            match answer {
                Says(text) => stream.write_all(text.as_bytes()).unwrap(),
                Stalls(text) => {
                    stream.write_all(text.as_bytes()).unwrap();
                    let _closed = stream.read(&mut [0; 16]);
                }
            }
            request
        };
        answers.into_iter().map(serve).collect()
    });
    (address, asked)
}

/// A whole request, header names in lower case.
fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

struct Fetched {
    outcome: Result<(), Trouble>,
    content: Option<String>,
    mtime: i64,
    asked: Vec<String>,
    names: usize,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

fn fetch(tries: u32, answers: Vec<Answer>) -> Fetched {
    let (address, asked) = server(answers);
    let directory = tempfile::tempdir().unwrap();
    let slot = Tree::open(directory.path()).unwrap().slot(Path::new("/in")).unwrap();
    let url = Url::parse(&format!("{address}/file?sig=SECRET")).unwrap();
    let web = Web::impatient(tries, Duration::from_millis(300));
    let outcome = block_on(web.get(&url, &slot, "/in", ".tessera-part-0"));
    let file = directory.path().join("in");
    if let Err(trouble) = &outcome {
        assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
    }
    Fetched {
        outcome,
        content: std::fs::read_to_string(&file).ok(),
        mtime: std::fs::metadata(&file).map_or(0, |meta| meta.mtime()),
        asked: asked.join().unwrap(),
        names: std::fs::read_dir(directory.path()).unwrap().count(),
    }
}

#[test]
fn a_file_with_its_query_and_its_date() {
    let headers = "content-length: 5\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let fetched = fetch(1, vec![Says(ok(headers, "hello"))]);
    assert_eq!(fetched.outcome, Ok(()));
    assert_eq!(fetched.content.as_deref(), Some("hello"));
    assert_eq!(fetched.mtime, 784_111_777);
    assert_eq!(fetched.names, 1);
    assert!(fetched.asked[0].starts_with("GET /file?sig=SECRET HTTP/1.1\r\n"));
}

#[test]
fn what_passes_is_tried_again() {
    let fetched = fetch(
        4,
        vec![
            status("503 Busy\r\nretry-after: 1"),
            status("429 Slow\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT"),
            Says(String::new()),
            Says(ok("content-length: 2\r\n", "ok")),
        ],
    );
    assert_eq!(fetched.outcome, Ok(()));
    assert_eq!(fetched.content.as_deref(), Some("ok"));
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let part = "HTTP/1.1 206 Partial\r\ncontent-range: bytes 3-5/6\r\ncontent-length: 3\r\n\
                connection: close\r\n\r\ndef";
    for broken in [
        Says(ok("content-length: 6\r\netag: \"x\"\r\n", "abc")),
        Stalls(ok("content-length: 6\r\netag: \"x\"\r\n", "abc")),
    ] {
        let fetched = fetch(2, vec![broken, Says(part.into())]);
        assert_eq!(fetched.outcome, Ok(()));
        assert_eq!(fetched.content.as_deref(), Some("abcdef"));
        let again = fetched.asked[1].to_ascii_lowercase();
        assert!(again.contains("range: bytes=3-\r\n") && again.contains("if-range: \"x\"\r\n"));
    }
}

#[test]
fn a_file_that_changed_is_fetched_anew() {
    let broken = || Says(ok("content-length: 6\r\netag: \"x\"\r\n", "abc"));
    let whole = || Says(ok("content-length: 3\r\n", "new"));
    let fetched = fetch(2, vec![broken(), whole()]);
    assert_eq!(fetched.content.as_deref(), Some("new"));
    let unsatisfiable = status("416 Range Not Satisfiable");
    let fetched = fetch(3, vec![broken(), unsatisfiable, whole()]);
    assert_eq!(fetched.content.as_deref(), Some("new"));
    assert!(!fetched.asked[2].to_ascii_lowercase().contains("range:"));
}

#[test]
fn without_proof_nothing_is_put_together() {
    let broken = Says(ok("content-length: 6\r\netag: W/\"x\"\r\n", "abc"));
    let fetched = fetch(2, vec![broken, Says(ok("content-length: 6\r\n", "ABCDEF"))]);
    assert_eq!(fetched.content.as_deref(), Some("ABCDEF"));
    assert!(!fetched.asked[1].to_ascii_lowercase().contains("range:"));
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    for line in ["404 Not Found", "403 Forbidden", "401 Unauthorized"] {
        let fetched = fetch(5, vec![status(line)]);
        let trouble = fetched.outcome.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        assert!(trouble.message.contains(line), "{}", trouble.message);
        assert!(trouble.message.contains("/file"), "{}", trouble.message);
        assert_eq!(fetched.content, None);
    }
}

#[test]
fn patience_ends() {
    let fetched = fetch(2, vec![status("500 Oops"), status("500 Oops")]);
    assert_eq!(fetched.outcome.unwrap_err().class, FaultClass::Unavailable);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let slot = Tree::open(directory.path()).unwrap().slot(Path::new("/in")).unwrap();
    let url = Url::parse(&format!("http://{closed}/x?SECRET")).unwrap();
    let web = Web::impatient(2, Duration::from_millis(300));
    let trouble = block_on(web.get(&url, &slot, "/in", "part")).unwrap_err();
    assert_eq!(trouble.class, FaultClass::Unavailable);
    assert!(trouble.message.contains("refused"), "{}", trouble.message);
    assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
}

#[test]
fn credentials_stay_with_their_host() {
    let (other, asked_other) = server(vec![Says(ok("content-length: 1\r\n", "x"))]);
    let other = other.replace("127.0.0.1", "localhost");
    let moved =
        format!("HTTP/1.1 302 Found\r\nlocation: {other}/there\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (address, asked) = server(vec![Says(moved)]);
    let directory = tempfile::tempdir().unwrap();
    let slot = Tree::open(directory.path()).unwrap().slot(Path::new("/in")).unwrap();
    let url = Url::parse(&address.replace("http://", "http://user:pass@")).unwrap();
    let web = Web::impatient(1, Duration::from_millis(300));
    block_on(web.get(&url, &slot, "/in", "part")).unwrap();
    let authorized = |asked: Vec<String>| asked[0].to_ascii_lowercase().contains("authorization:");
    assert!(authorized(asked.join().unwrap()));
    assert!(!authorized(asked_other.join().unwrap()));
}

#[test]
fn an_upload_is_a_put_with_a_length() {
    let directory = tempfile::tempdir().unwrap();
    let text = "abc".repeat(200_000);
    std::fs::write(directory.path().join("o"), &text).unwrap();
    let tree = Tree::open(directory.path()).unwrap();
    let entry = tree.find(Path::new("/o")).unwrap().unwrap();
    let (address, asked) = server(vec![status("503 Busy"), status("201 Created")]);
    let url = Url::parse(&format!("{address}/o?sig=1")).unwrap();
    let web = Web::impatient(2, Duration::from_secs(5));
    let written = block_on(web.put(&url, &entry)).unwrap();
    assert_eq!(written.size_bytes, 600_000);
    assert_eq!(written.sha256, hex(&Sha256::digest(&text)));
    for asked in asked.join().unwrap() {
        assert!(asked.starts_with("PUT /o?sig=1 HTTP/1.1\r\n"));
        let head = asked.to_ascii_lowercase();
        assert!(head.contains("content-length: 600000\r\n") && !head.contains("chunked"));
        assert!(asked.ends_with(&text));
    }
}

#[test]
fn a_redirected_upload_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("o"), "x").unwrap();
    let tree = Tree::open(directory.path()).unwrap();
    let entry = tree.find(Path::new("/o")).unwrap().unwrap();
    for line in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        // It hears nothing: whoever asks finds a connection that nobody accepted.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let there = other.local_addr().unwrap();
        let (address, asked) = server(vec![status(&format!("{line}\r\nlocation: http://{there}/o"))]);
        let url = Url::parse(&format!("{address}/o")).unwrap();
        let web = Web::impatient(1, Duration::from_millis(300));
        let trouble = block_on(web.put(&url, &entry)).unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        assert!(trouble.message.contains(&line[..3]), "{}", trouble.message);
        assert_eq!(asked.join().unwrap().len(), 1);
        assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn the_next_host_is_not_told_the_signature() {
    let (other, asked_other) = server(vec![Says(ok("content-length: 1\r\n", "x"))]);
    let fetched = fetch(1, vec![status(&format!("302 Found\r\nlocation: {other}/there"))]);
    assert_eq!(fetched.outcome, Ok(()));
    let asked = asked_other.join().unwrap().remove(0);
    assert!(asked.starts_with("GET /there HTTP/1.1\r\n"));
    assert!(!asked.to_ascii_lowercase().contains("referer:") && !asked.contains("SECRET"), "{asked}");
}
