//! What a job is about while somebody waits for it.

#![allow(clippy::wildcard_enum_match_arm)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use tessera_contract::{Backend, Observation};
use tessera_runtime::doing::Work;
use tessera_runtime::plan::{Input, Source};
use tessera_runtime::report::Outcome;
use tessera_runtime::storage::settings::Rule;

use crate::ground::{docker, job};

const WHOLE: usize = 3_000_000;
const AT_FIRST: usize = 2_000_000;

/// Answers one request with the beginning of an object, and with the rest when it is told to.
fn held_back() -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (let_go, held) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _asked = stream.read(&mut [0; 4_096]).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {WHOLE}\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&vec![b'x'; AT_FIRST]).unwrap();
        let _told = held.recv();
        stream.write_all(&vec![b'x'; WHOLE - AT_FIRST]).unwrap();
    });
    (address, let_go)
}

#[tokio::test]
async fn inputs_on_their_way_are_told_in_bytes_of_bytes() {
    let ground = docker!();
    let backend = ground.open().await;
    let (address, let_go) = held_back();
    let mut job = job(&["wc -c < /in"]);
    let source = format!("http://{address}/");
    job.plan.inputs.push(Input { path: "/in".to_owned(), source: Source::Url(format!("{source}x")), kind: None });
    // Addresses of this machine are closed to tasks, unless a rule opens them.
    job.plan.storage.rules.push(Rule { prefix: source, internal: true, ..Rule::default() });
    let handle = backend.submit(&job).await.unwrap();
    let fetching = |seen| match seen {
        Observation::Working(progress) => progress.doing.filter(|doing| match doing.work {
            Work::Fetching { bytes, .. } => bytes > 0,
            _ => false,
        }),
        _ => None,
    };
    let doing = ground.until(&backend, &handle, fetching).await;
    let Work::Fetching { files, of_files, bytes, of_bytes } = doing.work else { panic!("{doing:?}") };
    assert_eq!((files, of_files, of_bytes), (0, 1, Some(WHOLE as u64)));
    assert!(bytes <= AT_FIRST as u64, "{bytes} bytes");
    let_go.send(()).unwrap();
    let report = ground.ended(&backend, &handle).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[0].stdout_tail.trim(), WHOLE.to_string());
    ground.put_away(&backend, &handle).await;
}
