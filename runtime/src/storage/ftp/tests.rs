//! A server of the old kind, and of the hostile kind.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use futures::TryStreamExt;

use crate::report::FaultClass;
use crate::storage::location::Location;
use crate::storage::settings::{Rule, Storage};
use crate::storage::source::Source;
use crate::storage::storages::Storages;
use crate::storage::store::{Span, Store};
use crate::storage::trouble::{Patience, Why};

const ONCE: Patience = Patience { tries: 1, first: Duration::ZERO, most: Duration::ZERO };

/// It knows no features, no REST, no MLST, tells another host for its data, and renames over nothing.
#[derive(Clone, Default)]
struct Old {
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    heard: Arc<Mutex<Vec<String>>>,
    /// It answers nothing from this command on.
    silent_at: Option<&'static str>,
    /// It gives this name to nothing but what had it before.
    keeps: Option<&'static [u8]>,
}

impl Old {
    fn start(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = self.clone();
        thread::spawn(move || {
            for control in listener.incoming().flatten() {
                let server = server.clone();
                // A client that hangs up ends its session.
                thread::spawn(move || server.serve(control));
            }
        });
        port
    }

    fn serve(&self, control: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(control.try_clone().ok()?);
        let mut control = control;
        let (mut data, mut renamed) = (None::<TcpListener>, String::new());
        control.write_all(b"220 old\r\n").ok()?;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end();
            self.heard.lock().unwrap().push(line.to_owned());
            let (verb, path) = line.split_once(' ').unwrap_or((line, ""));
            while self.silent_at == Some(verb) {
                thread::park();
            }
            let held = self.files.lock().unwrap().get(path).cloned();
            let answer = match verb {
                "USER" => "331 who?".to_owned(),
                "PASS" => "230 in".to_owned(),
                "TYPE" | "NOOP" => "200 ok".to_owned(),
                "PWD" => "257 \"/home\"".to_owned(),
                "CWD" if matches!(path, "/home" | "d") => "250 ok".to_owned(),
                "SIZE" | "RNFR" | "DELE" | "RETR" if held.is_none() => "550 no such file".to_owned(),
                "SIZE" => format!("213 {}", held?.len()),
                "MDTM" => "213 19941106084937".to_owned(),
                "PASV" => {
                    let listener = TcpListener::bind("127.0.0.1:0").ok()?;
                    let port = listener.local_addr().ok()?.port();
                    data = Some(listener);
                    format!("227 (127,0,0,2,{},{})", port / 256, port % 256)
                }
                "RETR" | "LIST" => {
                    let listing = b"total 1\r\n-rw-r--r-- 1 u g 3 Nov 5 13:46 a b\r\n".to_vec();
                    control.write_all(b"150 here\r\n").ok()?;
                    let (mut stream, _) = data.take()?.accept().ok()?;
                    stream.write_all(&held.unwrap_or(listing)).ok()?;
                    "226 done".to_owned()
                }
                "STOR" => {
                    control.write_all(b"150 give\r\n").ok()?;
                    let mut stored = Vec::new();
                    data.take()?.accept().ok()?.0.read_to_end(&mut stored).ok()?;
                    self.files.lock().unwrap().insert(path.to_owned(), stored);
                    "226 done".to_owned()
                }
                "RNFR" => {
                    renamed = path.to_owned();
                    "350 to?".to_owned()
                }
                "RNTO" if held.is_some() => "553 exists".to_owned(),
                "RNTO"
                    if path == "x" && self.keeps.is_some_and(|kept| self.files.lock().unwrap()[&renamed] != kept) =>
                {
                    "553 no".to_owned()
                }
                "RNTO" => {
                    let mut files = self.files.lock().unwrap();
                    let file = files.remove(&renamed)?;
                    files.insert(path.to_owned(), file);
                    "250 done".to_owned()
                }
                "DELE" => {
                    self.files.lock().unwrap().remove(path);
                    "250 gone".to_owned()
                }
                "CWD" => "550 no such directory".to_owned(),
                _ => "502 what?".to_owned(),
            };
            control.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
        }
    }

    fn holds(&self, name: &str, content: &[u8]) {
        self.files.lock().unwrap().insert(name.to_owned(), content.to_vec());
    }
}

fn open(port: u16, stalled_after: Duration) -> Arc<dyn Store> {
    let base = format!("ftp://127.0.0.1:{port}");
    let rule = Rule { prefix: base.clone(), internal: true, ..Rule::default() };
    let settings = Storage { rules: vec![rule], ..Storage::default() };
    let Location::Remote(remote) = Location::parse(&format!("{base}/x")).unwrap() else { panic!() };
    Storages::new(&settings, ONCE).stalled_after(stalled_after).open(&remote).unwrap().0
}

fn source(content: &[u8]) -> Source {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    Source::new(file).unwrap()
}

#[tokio::test]
async fn data_goes_to_the_host_of_the_control_connection() {
    let server = Old::default();
    server.holds("x", b"content");
    let store = open(server.start(), Duration::from_secs(10));
    // Where it was sent to, nobody listens.
    let reading = store.read("x", Span { from: 3, length: None }, None).await.unwrap();
    assert_eq!((reading.from, reading.object.size), (0, Some(7)), "it knows no stretches");
    assert_eq!(reading.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"content");
}

#[tokio::test]
async fn a_server_that_knows_little_is_enough() {
    let server = Old::default();
    server.holds("x", b"before");
    let store = open(server.start(), Duration::from_secs(10));
    store.write("x", &source(b"after")).await.unwrap();
    assert_eq!(server.files.lock().unwrap().clone(), BTreeMap::from([("x".to_owned(), b"after".to_vec())]));
    let page = store.list("d", None).await.unwrap();
    let found: Vec<_> = page.entries.iter().map(|entry| (entry.name.as_str(), entry.object.size)).collect();
    assert_eq!(found, [("a b", Some(3))]);
    assert_eq!(store.stat("missing").await.unwrap(), None);
    assert!(store.stat("d").await.unwrap().unwrap().directory);
    assert_eq!(store.list("missing", None).await.unwrap_err().why, Why::Absent);
    assert_eq!(store.read("d", Span::WHOLE, None).await.unwrap_err().why, Why::Directory);
    let logins = server.heard.lock().unwrap().iter().filter(|line| line.starts_with("USER")).count();
    assert_eq!(logins, 1, "one connection is enough for all of this");
}

#[tokio::test]
async fn a_refused_delivery_leaves_what_was_there() {
    let server = Old { keeps: Some(b"before"), ..Old::default() };
    server.holds("x", b"before");
    let store = open(server.start(), Duration::from_secs(10));
    let trouble = store.write("x", &source(b"after")).await.unwrap_err();
    assert!(trouble.message.contains("cannot be given its name"), "{}", trouble.message);
    assert_eq!(server.files.lock().unwrap().clone(), BTreeMap::from([("x".to_owned(), b"before".to_vec())]));
    let heard = server.heard.lock().unwrap().clone();
    let aside = heard.iter().filter_map(|line| line.strip_prefix("RNTO ")).find(|name| *name != "x").unwrap();
    assert!(aside.starts_with(".tessera-part-"), "{heard:?}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    for verb in ["PASS", "SIZE", "RETR"] {
        let server = Old { silent_at: Some(verb), ..Old::default() };
        server.holds("x", b"content");
        let store = open(server.start(), Duration::from_millis(200));
        let trouble = store.read("x", Span::WHOLE, None).await.unwrap_err();
        assert_eq!(trouble.class, FaultClass::Unavailable, "{verb}: {}", trouble.message);
        assert!(trouble.message.contains("has not answered"), "{verb}: {}", trouble.message);
    }
}
