#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};

use super::*;
use crate::report::FaultClass;
use crate::storage::checksum::hex;
use crate::storage::fetch::{Fetcher, Wanted};
use crate::storage::location::Location;
use crate::storage::settings::Storage;
use crate::storage::storages::Storages;

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
    outcome: Result<Object, Trouble>,
    content: String,
    asked: Vec<String>,
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(future)
}

fn impatient(tries: u32) -> Patience {
    Patience { tries, first: Duration::from_millis(1), most: Duration::from_millis(5) }
}

/// Storages where these addresses are exceptions to the guard.
fn storages(tries: u32, addresses: &[&str]) -> Storages {
    let rule = |address: &&str| Rule { prefix: (*address).to_owned(), internal: true, ..Rule::default() };
    let settings = Storage { rules: addresses.iter().map(rule).collect(), ..Storage::default() };
    Storages::new(&settings, impatient(tries)).stalled_after(Duration::from_millis(300))
}

fn fetch_from(storages: &Storages, tries: u32, url: &str) -> (Result<Object, Trouble>, String) {
    let Location::Remote(remote) = Location::parse(url).unwrap() else { panic!("{url}") };
    let shown = redacted(url);
    let mut file = tempfile::tempfile().unwrap();
    let outcome = storages.open(&remote).and_then(|(store, key)| {
        let wanted = Wanted {
            store: &*store,
            key: &key,
            shown: &shown,
            expected: &remote.expected,
            known: None,
            most: Some(1_000_000),
            counted: None,
        };
        block_on(Fetcher::new(impatient(tries)).fetch(wanted, &file))
    });
    if let Err(trouble) = &outcome {
        assert!(!trouble.message.contains("SECRET"), "{}", trouble.message);
    }
    let mut content = String::new();
    io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut content).unwrap();
    (outcome, content)
}

fn fetch(tries: u32, answers: Vec<Answer>) -> Fetched {
    fetch_with(tries, answers, &[], "")
}

fn fetch_with(tries: u32, answers: Vec<Answer>, others: &[&str], fragment: &str) -> Fetched {
    let (address, asked) = server(answers);
    let exceptions = [&[address.as_str()], others].concat();
    let url = format!("{address}/file?sig=SECRET{fragment}");
    let (outcome, content) = fetch_from(&storages(tries, &exceptions), tries, &url);
    Fetched { outcome, content, asked: asked.join().unwrap() }
}

#[test]
fn a_file_with_its_query_and_its_date() {
    let headers = "content-length: 5\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let fetched = fetch(1, vec![Says(ok(headers, "hello"))]);
    assert_eq!(fetched.outcome.unwrap().modified.unwrap().as_second(), 784_111_777);
    assert_eq!(fetched.content, "hello");
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
    fetched.outcome.unwrap();
    assert_eq!(fetched.content, "ok");
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
        fetched.outcome.unwrap();
        assert_eq!(fetched.content, "abcdef");
        let again = fetched.asked[1].to_ascii_lowercase();
        assert!(again.contains("range: bytes=3-5\r\n") && again.contains("if-range: \"x\"\r\n"));
    }
}

#[test]
fn a_file_that_changed_is_fetched_anew() {
    let broken = || Says(ok("content-length: 6\r\netag: \"x\"\r\n", "abc"));
    let whole = || Says(ok("content-length: 3\r\n", "new"));
    let fetched = fetch(2, vec![broken(), whole(), whole()]);
    assert_eq!(fetched.content, "new");
    let unsatisfiable = status("416 Range Not Satisfiable");
    let fetched = fetch(3, vec![broken(), unsatisfiable, whole()]);
    assert_eq!(fetched.content, "new");
    assert!(!fetched.asked[2].to_ascii_lowercase().contains("range:"));
}

#[test]
fn without_proof_nothing_is_put_together() {
    let broken = Says(ok("content-length: 6\r\netag: W/\"x\"\r\n", "abc"));
    let fetched = fetch(2, vec![broken, Says(ok("content-length: 6\r\n", "ABCDEF"))]);
    assert_eq!(fetched.content, "ABCDEF");
    assert!(!fetched.asked[1].to_ascii_lowercase().contains("range:"));
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    for (line, class) in [
        ("404 Not Found", FaultClass::Rejected),
        ("403 Forbidden", FaultClass::Misconfigured),
        ("401 Unauthorized", FaultClass::Misconfigured),
    ] {
        let fetched = fetch(5, vec![status(line)]);
        let trouble = fetched.outcome.unwrap_err();
        assert_eq!(trouble.class, class);
        assert!(trouble.message.contains(line), "{}", trouble.message);
        assert!(trouble.message.contains("/file"), "{}", trouble.message);
        assert_eq!(fetched.content, "");
    }
}

#[test]
fn patience_ends() {
    let fetched = fetch(2, vec![status("500 Oops"), status("500 Oops")]);
    assert_eq!(fetched.outcome.unwrap_err().class, FaultClass::Unavailable);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("http://{closed}");
    let (outcome, _) = fetch_from(&storages(2, &[&address]), 2, &format!("{address}/x?SECRET"));
    let trouble = outcome.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Unavailable);
    assert!(trouble.message.contains("refused"), "{}", trouble.message);
}

#[test]
fn credentials_stay_with_their_host() {
    let (other, asked_other) = server(vec![Says(ok("content-length: 1\r\n", "x"))]);
    let other = other.replace("127.0.0.1", "localhost");
    let moved =
        format!("HTTP/1.1 302 Found\r\nlocation: {other}/there\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (address, asked) = server(vec![Says(moved)]);
    let url = address.replace("http://", "http://user:pass@");
    fetch_from(&storages(1, &[&address, &other]), 1, &url).0.unwrap();
    let authorized = |asked: Vec<String>| asked[0].to_ascii_lowercase().contains("authorization:");
    assert!(authorized(asked.join().unwrap()));
    assert!(!authorized(asked_other.join().unwrap()));
}

fn put(storages: &Storages, url: &str, file: File) -> Result<Source, Trouble> {
    let Location::Remote(remote) = Location::parse(url).unwrap() else { panic!("{url}") };
    let (store, key) = storages.open(&remote).unwrap();
    let source = Source::new(file).unwrap();
    block_on(store.write(&key, &source)).map(|()| source)
}

fn file(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn an_upload_is_a_put_with_a_length() {
    let text = "abc".repeat(200_000);
    let (address, asked) = server(vec![status("503 Busy"), status("201 Created")]);
    let written = put(&storages(2, &[&address]), &format!("{address}/o?sig=1"), file(&text)).unwrap();
    assert_eq!(block_on(written.sha256()).unwrap(), hex(&Sha256::digest(&text)));
    for asked in asked.join().unwrap() {
        assert!(asked.starts_with("PUT /o?sig=1 HTTP/1.1\r\n"));
        let head = asked.to_ascii_lowercase();
        assert!(head.contains("content-length: 600000\r\n") && !head.contains("chunked"));
        assert!(asked.ends_with(&text));
    }
}

#[test]
fn a_redirected_upload_is_refused() {
    for line in ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"] {
        // It hears nothing: whoever asks finds a connection that nobody accepted.
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        other.set_nonblocking(true).unwrap();
        let there = other.local_addr().unwrap();
        let (address, asked) = server(vec![status(&format!("{line}\r\nlocation: http://{there}/o"))]);
        let exceptions = storages(1, &[&address, &format!("http://{there}")]);
        let trouble = put(&exceptions, &format!("{address}/o"), file("x")).unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        assert!(trouble.message.contains(&line[..3]), "{}", trouble.message);
        assert_eq!(asked.join().unwrap().len(), 1);
        assert_eq!(other.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn the_next_host_is_not_told_the_signature() {
    let (other, asked_other) = server(vec![Says(ok("content-length: 1\r\n", "x"))]);
    let moved = vec![status(&format!("302 Found\r\nlocation: {other}/there"))];
    let fetched = fetch_with(1, moved, &[&other], "");
    fetched.outcome.unwrap();
    let asked = asked_other.join().unwrap().remove(0);
    assert!(asked.starts_with("GET /there HTTP/1.1\r\n"));
    assert!(!asked.to_ascii_lowercase().contains("referer:") && !asked.contains("SECRET"), "{asked}");
}

#[test]
fn lists_hold_for_where_a_redirect_leads() {
    let (other, asked) =
        server(vec![status("302 Found\r\nlocation: /denied/%78"), status("302 Found\r\nlocation: /x")]);
    let rules = vec![Rule { prefix: other.clone(), internal: true, ..Rule::default() }];
    let settings = |allow: Vec<String>, deny| Storage { rules: rules.clone(), allow, deny, ..Storage::default() };
    for settings in
        [settings(vec![], vec![format!("{other}/denied/x")]), settings(vec![format!("{other}/moved")], vec![])]
    {
        let storages = Storages::new(&settings, impatient(1)).stalled_after(Duration::from_millis(300));
        let trouble = fetch_from(&storages, 1, &format!("{other}/moved")).0.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected);
        assert!(trouble.message.contains("redirects"), "{}", trouble.message);
    }
    assert_eq!(asked.join().unwrap().len(), 2);
}

#[test]
fn what_is_under_a_lock_of_somebody_is_not_waited_for() {
    let (address, asked) = server(vec![status("412 Precondition Failed")]);
    let trouble = put(&storages(3, &[&address]), &format!("{address}/o"), file("x")).unwrap_err();
    assert_eq!((trouble.class, trouble.why), (FaultClass::Rejected, Why::Other));
    assert_eq!(asked.join().unwrap().len(), 1);
}

#[test]
fn this_machine_is_not_asked() {
    // It hears nothing.
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    own.set_nonblocking(true).unwrap();
    let port = own.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let (outcome, _) = fetch_from(&storages(2, &[]), 2, &format!("http://{host}:{port}/x?SECRET"));
        let trouble = outcome.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected, "{host}");
        assert!(trouble.message.contains("may not use"), "{}", trouble.message);
        // Nor by a redirect of one that may be asked.
        let moved = vec![status(&format!("302 Found\r\nlocation: http://{host}:{port}/x"))];
        let trouble = fetch(1, moved).outcome.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Rejected, "{host}");
        assert!(trouble.message.contains("redirects"), "{}", trouble.message);
    }
    assert_eq!(own.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn content_that_was_said_to_be_another_is_refused() {
    let answer = || Says(ok("content-length: 5\r\n", "hello"));
    let md5 = "5d41402abc4b2a76b9719d911017c592";
    fetch_with(1, vec![answer()], &[], &format!("#md5={md5}")).outcome.unwrap();
    let other = md5.replace('5', "6");
    let trouble = fetch_with(1, vec![answer()], &[], &format!("#md5={other}")).outcome.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Rejected);
    assert!(trouble.message.contains(md5) && trouble.message.contains(&other), "{}", trouble.message);
}

#[test]
fn a_source_without_end_is_left() {
    let trouble = fetch(1, vec![Says(ok("", &"x".repeat(1_100_000)))]).outcome.unwrap_err();
    assert_eq!(trouble.class, FaultClass::Rejected);
    let trouble = fetch(1, vec![Says(ok("content-length: 99999999999999\r\n", ""))]).outcome.unwrap_err();
    assert!(trouble.message.contains("99999999999999 bytes"), "{}", trouble.message);
}
