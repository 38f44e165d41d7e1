//! A command prints on the real Docker engine while its server is killed again and again: whoever follows it sees
//! every byte once.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::load;
use crate::random::Random;
use crate::server::Site;

/// Lines of each stream, ten milliseconds apart.
const LINES: usize = 600;

/// A follower that goes on after the last id it has seen.
struct Follower {
    client: reqwest::Client,
    url: String,
    last: Option<String>,
    out: String,
    err: String,
    /// The state that the event `end` told.
    ended: Option<String>,
}

impl Follower {
    /// Reads until the connection breaks.
    async fn read(&mut self) {
        let mut ask = self.client.get(&self.url).header("accept", "text/event-stream");
        if let Some(last) = &self.last {
            ask = ask.header("last-event-id", last);
        }
        let Ok(answer) = ask.send().await else { return };
        assert_eq!(answer.status(), 200);
        let (mut stream, mut held) = (answer.bytes_stream(), Vec::new());
        while let Some(Ok(bytes)) = stream.next().await {
            held.extend_from_slice(&bytes);
            while let Some(end) = held.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = held.drain(..end + 2).collect();
                self.event(&String::from_utf8(block).unwrap());
            }
        }
    }

    fn event(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let (Some(name), Some(data)) = (field("event: "), field("data: ")) else { return };
        let data: Value = serde_json::from_str(data).unwrap();
        self.last = field("id: ").map(str::to_owned);
        if name == "end" {
            self.ended = Some(data["state"].as_str().unwrap().to_owned());
            return;
        }
        let text = data["text"].as_str().unwrap();
        let said = if data["stream"] == "stdout" { &mut self.out } else { &mut self.err };
        assert_eq!(data["offset"], said.len(), "something came twice or not at all");
        said.push_str(text);
    }
}

fn lines(word: &str) -> String {
    (0..LINES).map(|n| format!("{word} {n}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_sees_every_byte_once() {
    if std::env::var_os("TESSERA_REQUIRE_ENGINES").is_none() {
        println!("not run: it needs a Docker engine (cargo xtask test starts one and sets TESSERA_REQUIRE_ENGINES)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::new(folder.path(), crate::docker::CONFIG);
    let mut random = Random::seeded();
    let mut server = site.start().await;
    let print = format!(
        "n=0; while [ $n -lt {LINES} ]; do echo out $n; echo err $n >&2; n=$((n+1)); usleep 10000 2>/dev/null || sleep 0.01; done"
    );
    let executor = json!({ "image": "tessera-test/busybox:1", "command": ["sh", "-c", print] });
    let task = json!({ "executors": [executor], "resources": { "cpu_cores": 0.5 } });
    let id = load::create(server.url(), &task).await;
    let url = format!("{}/api/v1/tasks/{id}/logs", server.url());
    let mut follower = Follower {
        client: reqwest::Client::new(),
        url: format!("{url}?follow=true"),
        last: None,
        out: String::new(),
        err: String::new(),
        ended: None,
    };
    let mut deaths = 0;
    while follower.ended.is_none() {
        let lifetime = random.between_ms(300, 1_500);
        tokio::time::timeout(lifetime, follower.read()).await.ok();
        if follower.ended.is_none() {
            server.kill();
            deaths += 1;
            assert!(deaths < 200, "it does not end:\n{}", site.last_log_lines());
            // It goes on printing while nobody is there.
            tokio::time::sleep(Duration::from_millis(100)).await;
            server = site.start().await;
        }
    }
    assert_eq!(follower.ended.as_deref(), Some("COMPLETE"));
    assert!(deaths > 2, "the server died only {deaths} times");
    assert!(follower.out == lines("out"), "{}", follower.out);
    assert!(follower.err == lines("err"), "{}", follower.err);

    // The job goes, its log stays.
    load::all_ended(server.url(), Duration::from_secs(60)).await;
    crate::docker::nothing_is_left(&site, &site.data.join("work")).await;
    for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
        let answer = follower.client.get(format!("{url}?stream={stream}")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), lines(word));
    }
    server.terminate().await;
    println!("{deaths} deaths");
}
