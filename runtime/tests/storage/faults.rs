//! The table of storage faults in `ARCHITECTURE.md`, row by row: the class, and a sentence with the URL in it and no
//! secret. Nothing that failed has its final name.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tessera_runtime::plan::Kind;
use tessera_runtime::report::Fault as Failure;
use tessera_runtime::storage::secret::Secret;
use tessera_runtime::storage::settings::Rule as Settings;

use crate::proxy::{Fault, Rule};
use crate::rig::Rig;
use crate::scene::{Disk, Scene, replace};

const ARCHITECTURE: &str = include_str!("../../../ARCHITECTURE.md");
/// Fetched in several requests, and sent in several parts.
const LARGE: usize = 40 << 20;

/// Fault, while, class, sentence.
fn table() -> Vec<[String; 4]> {
    let from = ARCHITECTURE.split_once("<!-- storage faults -->").unwrap().1;
    let table = from.split_once("<!-- /storage faults -->").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|row| cells(row).try_into().unwrap_or_else(|row| panic!("a row of four cells, and not {row:?}"))).collect()
}

/// Whether a sentence is the one of the table, where `…` stands for anything.
fn reads_like(sentence: &str, pattern: &str) -> bool {
    let parts: Vec<&str> = pattern.split('…').collect();
    let [head, middle @ .., tail] = parts.as_slice() else { return sentence == pattern };
    let Some(mut rest) = sentence.strip_prefix(head) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(tail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_9_6_every_fault_has_its_class_and_a_sentence() {
    let Some(rig) = Rig::find() else { return };
    let mut wrong = String::new();
    let rows = table();
    assert!(rows.len() > 30, "the table is not read");
    for [fault, phase, class, sentence] in rows {
        let met = match phase.as_str() {
            "fetching" => fetching(&fault, &rig).await,
            "delivering" => delivering(&fault, &rig).await,
            other => panic!("{other:?} is no phase of a storage"),
        };
        let Some(met) = met else { continue };
        let met = met.expect_err(&fault);
        if format!("{:?}", met.class) != class.trim_matches('`') || !reads_like(&met.message, &sentence) {
            wrong += &format!("{fault} | {phase} | `{:?}` | {}\n", met.class, met.message);
        }
    }
    assert!(wrong.is_empty(), "the table says something else:\n{wrong}");
}

/// What an S3 server says when a session is over.
const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";

/// Brings about the fault of a row; the outer `None`: it cannot be, here.
async fn fetching(fault: &str, rig: &Rig) -> Option<Result<(), Failure>> {
    let mut scene = Scene::new(rig).await;
    scene.holds(&vec![7; 300_000]).await;
    let read = |fault: Fault| Rule::new(fault).method("GET");
    match fault {
        "there is no such object" => scene.url.push_str(".not"),
        "there is no such bucket" => scene.url = "s3://there-is-no-such-bucket/file".to_owned(),
        "there are no credentials" => {
            *scene.rule() =
                Settings { anonymous: true, access_key_id: None, secret_access_key: None, ..scene.rule().clone() };
        }
        "the credentials are wrong" => scene.rule().secret_access_key = Some(Secret::new("not-the-secret")),
        "the session is over" => {
            scene.rule().session_token = Some(Secret::new("not-the-token"));
            scene.proxy.rules([read(Fault::Say { status: 400, body: EXPIRED })]);
        }
        "403" => scene.proxy.rules([Rule::status(403)]),
        "404" => scene.proxy.rules([Rule::status(404)]),
        "429" => scene.proxy.rules([Rule::status(429)]),
        "500" => scene.proxy.rules([Rule::status(500)]),
        "503" => scene.proxy.rules([Rule::status(503)]),
        "the connection ends before an answer" => scene.proxy.rules([Rule::new(Fault::HangUp)]),
        "the connection breaks off, always at the same place" => scene.proxy.rules([read(Fault::CutAnswer(0))]),
        "nothing moves any more" => scene.proxy.rules([read(Fault::Stall(1000)).times(1), read(Fault::Stall(0))]),
        "what comes is not what the URL says" => {
            scene.url.push_str("#sha256=0000000000000000000000000000000000000000000000000000000000000000");
        }
        "what comes is not what the storage vouches for" => scene.proxy.rules([read(Fault::FlipInAnswer(10))]),
        "the object is another one at each request" => {
            let others = [scene.another(&[2; 300_000]).await, scene.another(&[3; 300_000]).await];
            let (file, times) = (scene.behind.clone(), AtomicUsize::new(0));
            let change = move || replace(&file, &others[times.fetch_add(1, Ordering::Relaxed) % 2]);
            let change = Fault::First(Arc::new(change));
            // Each time it breaks off, and is another one when the rest is asked for.
            let turns = (0..6).flat_map(|_| [Fault::CutAnswer(1000), change.clone()]);
            scene.proxy.rules(turns.map(|fault| read(fault).times(1)));
        }
        "the source does not end, and the task has a `disk_gb`" => {
            scene.plan.limits.disk_bytes = Some(1_000_000);
            scene.proxy.rules([read(Fault::Endless)]);
        }
        "the source does not end, until the disk is full" => {
            let _disk = Disk::at(&scene.tree, 150)?;
            scene.proxy.rules([read(Fault::Endless)]);
            return Some(scene.fetch().await.map(drop));
        }
        "the disk of the task's files has no room" => {
            let disk = Disk::at(&scene.tree, 80)?;
            scene.holds(&vec![1; LARGE]).await;
            let met = scene.fetch().await.map(drop);
            let left = rustix::fs::statvfs(&scene.tree).unwrap();
            assert!(left.f_bfree + 16 > left.f_blocks, "nothing of it is left");
            drop(disk);
            return Some(met);
        }
        "a file of the host does not fit on the disk of the task's files" => {
            let from = scene.folder("root");
            fs::write(from.join("file"), vec![1; LARGE]).unwrap();
            scene.plan.storage.file_roots = vec![from.display().to_string()];
            scene.url = format!("file://{}/file", from.display());
            let _disk = Disk::at(&scene.tree, 20)?;
            let met = scene.fetch().await.map(drop);
            assert_eq!(fs::read_dir(&scene.tree).unwrap().count(), 0, "nothing of it is left");
            return Some(met);
        }
        "a listing breaks off" => {
            scene.url = scene.url.trim_end_matches("file").to_owned();
            scene.proxy.rules([Rule::status(500).path("list-type")]);
            return Some(scene.fetch_as(Kind::Directory).await);
        }
        "the password is wrong" => scene.url = web(rig, "private/x", "ada:hidden@"),
        "a signed URL is over" => {
            let at = scene.proxy.url().to_owned();
            scene.plan.storage.rules.push(internal(&at));
            scene.url = format!("{at}/data/x?X-Amz-Signature=hidden");
            scene.proxy.rules([Rule::status(403)]);
        }
        "redirects do not end" => scene.url = web(rig, "loop", ""),
        "the host is not known" => scene.url = "https://there-is-no-such-host.invalid/x?token=hidden".to_owned(),
        "nobody listens" => {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            scene.url = format!("http://127.0.0.1:{port}/x");
            let base = format!("http://127.0.0.1:{port}");
            scene.plan.storage.rules.push(internal(&base));
        }
        "the address is one of this machine" => scene.url = "http://169.254.169.254/latest/meta-data/".to_owned(),
        "the URL is not allowed" => scene.plan.storage.allow = vec!["s3://elsewhere".to_owned()],
        other => panic!("nobody knows how to bring about {other:?} while fetching"),
    }
    if scene.url.starts_with("http") {
        scene.plan.storage.rules.push(internal(&rig.web.http));
    }
    Some(scene.fetch().await.map(drop))
}

fn internal(base: &str) -> Settings {
    Settings { prefix: base.trim_end_matches('/').to_owned(), internal: true, ..Settings::default() }
}

/// A URL of the web server, with a login.
fn web(rig: &Rig, path: &str, login: &str) -> String {
    format!("{}{path}", rig.web.http.replace("http://", &format!("http://{login}")))
}

/// The same on the way out. Whatever had the URL before has it still, whole.
async fn delivering(fault: &str, rig: &Rig) -> Option<Result<(), Failure>> {
    let mut scene = Scene::new(rig).await;
    scene.holds(b"before").await;
    let mut content = vec![7; 300_000];
    let write = |fault: Fault| Rule::new(fault).method("PUT");
    match fault {
        "there is no such bucket" => scene.url = "s3://there-is-no-such-bucket/file".to_owned(),
        "there are no credentials" => {
            *scene.rule() =
                Settings { anonymous: true, access_key_id: None, secret_access_key: None, ..scene.rule().clone() };
        }
        "the credentials are wrong" => scene.rule().secret_access_key = Some(Secret::new("not-the-secret")),
        "the session is over" => {
            scene.rule().session_token = Some(Secret::new("not-the-token"));
            scene.proxy.rules([write(Fault::Say { status: 400, body: EXPIRED })]);
        }
        "the target is read-only" => scene.rule().endpoint = Some(rig.s3.read_only_endpoint.clone()),
        "403" => scene.proxy.rules([Rule::status(403)]),
        "429" => scene.proxy.rules([Rule::status(429)]),
        "500" => scene.proxy.rules([Rule::status(500)]),
        "503" => scene.proxy.rules([Rule::status(503)]),
        "the storage is full (507)" => scene.proxy.rules([Rule::status(507)]),
        "the connection breaks off" => scene.proxy.rules([write(Fault::CutRequest(1000))]),
        "a part of a large file breaks off, always" => {
            content = vec![7; LARGE];
            scene.proxy.rules([write(Fault::CutRequest(1000)).path("partNumber=2")]);
        }
        "nothing moves any more" => scene.proxy.rules([write(Fault::Delay(std::time::Duration::from_secs(30)))]),
        "what arrives is not what was sent" => scene.proxy.rules([write(Fault::FlipInRequest(10))]),
        "the server takes no uploads" => {
            scene.plan.storage.rules.push(internal(&rig.web.http));
            scene.url = web(rig, "x", "ada:hidden@");
        }
        "the disk of the root is full" => {
            let root = scene.folder("root");
            let _disk = Disk::at(&root, 1)?;
            fs::write(root.join("file"), "before").unwrap();
            return Some(to_host(&mut scene, &root, &vec![7; 2 << 20]).await);
        }
        "the disk of the root is read-only" => {
            let root = scene.folder("root");
            let disk = Disk::at(&root, 4)?;
            fs::write(root.join("file"), "before").unwrap();
            disk.protect();
            return Some(to_host(&mut scene, &root, b"after").await);
        }
        "there is no such root" => {
            scene.url = "/there/is/no/such/root/file".to_owned();
        }
        other => panic!("nobody knows how to bring about {other:?} while delivering"),
    }
    let met = scene.deliver(&content).await;
    assert_eq!(fs::read(&scene.behind).unwrap(), b"before", "{fault}");
    Some(met)
}

async fn to_host(scene: &mut Scene, root: &std::path::Path, content: &[u8]) -> Result<(), Failure> {
    scene.plan.storage.file_roots = vec![root.display().to_string()];
    scene.url = format!("file://{}/file", root.display());
    let met = scene.deliver(content).await;
    assert_eq!(fs::read(root.join("file")).unwrap(), b"before");
    assert_eq!(fs::read_dir(root).unwrap().count(), 1, "nothing half-written is left");
    met
}
