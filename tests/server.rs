//! The program from outside: the real binary, its command line, its exit codes, on the scripted backend.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

const TESSERA: &str = env!("CARGO_BIN_EXE_tessera");

/// Longer than anything here takes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const FAKE: &str = "[backends.fake]\nkind = 'scripted'\n";

/// A command whose surroundings say nothing.
fn tessera(arguments: &[&str]) -> Command {
    let mut command = Command::new(TESSERA);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TESSERA_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A folder with a configuration, and perhaps a server running on it.
struct House {
    folder: TempDir,
    server: Option<Child>,
    url: String,
}

impl House {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), config).unwrap();
        Self { folder, server: None, url: String::new() }
    }

    /// A house with a server on the scripted backend.
    fn started() -> Self {
        let mut house = Self::new(FAKE);
        house.start(&[]);
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn serve(&self, more: &[&str]) -> Command {
        let mut command = tessera(&["serve"]);
        if !more.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--config").arg(self.path("t.toml")).arg("--data").arg(self.path("data"));
        command.arg("--port-file").arg(self.path("port")).args(more).current_dir(self.folder.path());
        command
    }

    fn start(&mut self, more: &[&str]) {
        let _ = fs::remove_file(self.path("port"));
        let log = fs::File::create(self.path("log")).unwrap();
        let mut child = self.serve(more).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let address = until("the server", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {}", fs::read_to_string(self.path("log")).unwrap());
            fs::read_to_string(self.path("port")).ok()
        });
        self.url = format!("http://{}", address.trim());
        self.server = Some(child);
    }

    /// Ends the server as an operator would, and answers its exit code.
    fn stop(&mut self) -> Option<i32> {
        let mut child = self.server.take().unwrap();
        signal(&child, "TERM");
        until("the server's end", || child.try_wait().unwrap()).code()
    }

    fn client(&self, arguments: &[&str]) -> Command {
        let mut command = tessera(arguments);
        command.env("TESSERA_SERVER", &self.url).current_dir(self.folder.path());
        command
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.ask(arguments);
        assert!(said.status.success(), "{arguments:?}: {}{}", text(&said.stdout), text(&said.stderr));
        text(&said.stdout)
    }

    #[track_caller]
    fn ok_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], arguments].concat())).unwrap()
    }

    /// The whole answer to a GET.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn state(&self, id: &str) -> String {
        self.ok_json(&["task", "get", id, "--view", "minimal"])["state"].as_str().unwrap().to_owned()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn run_prints_what_the_command_printed_and_exits_with_its_code() {
    let house = House::started();
    let said = house.ask(&["run", "alpine", "--", "print", "hello", "print-err", "oh", "exit", "7"]);
    assert_eq!(said.status.code(), Some(7));
    assert_eq!(text(&said.stdout).trim_end(), "hello");
    assert!(text(&said.stderr).contains("oh") && text(&said.stderr).contains("EXECUTOR_ERROR"));

    assert_eq!(house.ask(&["run", "alpine", "--", "true"]).status.code(), Some(0));
    let said = house.ask(&["run", "alpine", "--", "fault", "rejected", "the image is missing"]);
    assert_eq!(said.status.code(), Some(5), "{}", text(&said.stderr));
    assert!(text(&said.stderr).contains("the image is missing"), "{}", text(&said.stderr));
}

#[test]
fn a_log_is_followed_through_a_restart_of_the_server() {
    let mut house = House::started();
    let words = ["print", "before ", "run-ms", "3000", "print", "after", "print-err", "oh"];
    let id = house.ok(&[&["run", "--detach", "alpine", "--"][..], &words].concat());
    let id = id.trim();
    let port = house.url.rsplit(':').next().unwrap().to_owned();
    let mut follow = house.client(&["task", "logs", "-f", id]);
    let mut follow = follow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 7];
    follow.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"before ");
    let server = house.server.as_mut().unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    house.server = None;
    house.start(&["--listen", &format!("127.0.0.1:{port}")]);
    let said = follow.wait_with_output().unwrap();
    assert_eq!((text(&said.stdout), text(&said.stderr), said.status.code()), ("after".into(), "oh".into(), Some(0)));
    // Without an option what the server said stands there too.
    assert_eq!(house.ok(&["task", "logs", "--all", id]), "before after");
    assert_eq!(house.ok(&["task", "logs", "--stream", "stdout", "--executor", "0", id]), "before after");
    assert_eq!(house.ask(&["task", "logs", "--executor", "1", id]).status.code(), Some(1));
}

#[test]
fn tasks_are_created_listed_waited_for_and_told() {
    let house = House::started();
    let task = |name: &str, words: &[&str]| json!({"name": name, "tags": {"group": "g"}, "executors": [{"image": "alpine", "command": words}]});
    let two = format!("{}\n{}", task("one", &["print", "first"]), task("two", &["exit", "3"]));
    let mut create = house.client(&["task", "create", "-"]);
    let mut create = create.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    create.stdin.take().unwrap().write_all(two.as_bytes()).unwrap();
    let ids = text(&create.wait_with_output().unwrap().stdout);
    let ids: Vec<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 2);

    let waited = house.ask(&["task", "wait", ids[0], ids[1]]);
    assert_eq!(waited.status.code(), Some(4));
    assert_eq!(text(&waited.stdout), format!("{}\tCOMPLETE\n{}\tEXECUTOR_ERROR\n", ids[0], ids[1]));

    let listed = house.ok(&["task", "list", "--tag", "group=g", "--page-size", "1", "--all"]);
    let listed: Vec<_> = listed.lines().map(|line| line.split('\t').collect::<Vec<_>>()).collect();
    assert_eq!(listed.iter().map(|row| row[0]).collect::<Vec<_>>(), [ids[1], ids[0]]);
    assert_eq!(listed.iter().map(|row| row[3]).collect::<Vec<_>>(), ["two", "one"]);
    assert_eq!(house.ok(&["task", "list", "--state", "complete", "--name-prefix", "tw"]), "");
    let page = house.ok_json(&["task", "list", "--page-size", "1"]);
    assert_eq!(page["tasks"].as_array().unwrap().len(), 1);
    assert!(page["next_page_token"].is_string());

    assert!(house.ok(&["task", "logs", ids[0]]).contains("executor 0, exit code 0: stdout\nfirst"));
    assert_eq!(house.ok_json(&["task", "get", ids[1]])["logs"][0]["logs"][0]["exit_code"], 3);
    // Cancel of what has ended changes nothing (TES contract 14.5); an unknown task is refused.
    house.ok(&["task", "cancel", ids[0]]);
    assert_eq!(house.state(ids[0]), "COMPLETE");
    let unknown = house.ask(&["task", "cancel", "nobody", ids[0]]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("nobody"));
}

#[test]
fn a_list_says_what_a_task_waits_for_whatever_state_is_shown() {
    for (show_queued, shown) in [(true, "QUEUED"), (false, "INITIALIZING")] {
        let away = "[backends.away]\nkind = 'docker'\nhost = 'unix:///no/such/socket'\n";
        let mut house = House::new(&format!("{away}\n[policy]\nshow_queued = {show_queued}\n"));
        house.start(&[]);
        house.ok(&["run", "--detach", "alpine", "--", "true"]);
        let listed = until("a reason", || {
            let listed = house.ok(&["task", "list"]);
            listed.contains("which cannot take jobs now").then_some(listed)
        });
        assert_eq!(listed.split('\t').nth(1), Some(shown), "{listed}");
    }
}

#[test]
fn a_task_outlives_the_server_and_can_be_cancelled_by_the_next_one() {
    let mut house = House::started();
    let id = house.ok(&["run", "--detach", "alpine", "--", "hang"]);
    let id = id.trim();
    until("the task to run", || (house.state(id) == "RUNNING").then_some(()));
    assert_eq!(house.stop(), Some(0));
    house.start(&[]);
    assert_eq!(house.state(id), "RUNNING");
    let in_vain = house.ask(&["task", "wait", id, "--timeout", "0"]);
    assert_eq!(in_vain.status.code(), Some(7), "{}", text(&in_vain.stderr));
    house.ok(&["task", "cancel", id]);
    assert_eq!(house.ask(&["task", "wait", id]).status.code(), Some(6));
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn an_interrupt_of_run_cancels_its_task() {
    let house = House::started();
    let mut run = house.client(&["run", "alpine", "--", "hang"]);
    let run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = until("the task to run", || {
        let page = house.ok_json(&["task", "list", "--state", "RUNNING"]);
        Some(page["tasks"].get(0)?["id"].as_str()?.to_owned())
    });
    signal(&run, "INT");
    let said = run.wait_with_output().unwrap();
    assert_eq!(said.status.code(), Some(6), "{}", text(&said.stderr));
    assert_eq!(house.state(&running), "CANCELED");
}

#[test]
fn a_wrong_configuration_exits_2_and_names_the_key_before_a_port_is_bound() {
    for (config, flags, named) in [
        ("[server]\nlisen = '127.0.0.1:0'", &[][..], "t.toml:2: server.lisen: unknown field"),
        ("[policy]\nstop_grace_ms = 'soon'", &[], "t.toml:2: policy.stop_grace_ms: invalid type"),
        ("[server\n", &[], "t.toml:1: "),
        ("[backends.x]\nkind = 'slurm'", &[], "t.toml:2: backends.x.kind: `slurm`"),
        (FAKE, &["--listen", "0.0.0.0:0"], "--listen: server.listen: 0.0.0.0:0 can be reached"),
        (FAKE, &["--listen", "here"], "--listen: server.listen: invalid socket address"),
    ] {
        let house = House::new(config);
        let mut serve = house.serve(&[]);
        if !flags.is_empty() {
            serve = tessera(&["serve"]);
            serve.arg("--config").arg(house.path("t.toml")).arg("--data").arg(house.path("data")).args(flags);
        }
        let said = serve.output().unwrap();
        assert_eq!(said.status.code(), Some(2), "{config}");
        assert!(text(&said.stderr).contains(named), "`{}` does not name `{named}`", text(&said.stderr));
        assert!(!text(&said.stdout).contains("listening"));
        // Nothing was done: not even the data folder was made.
        assert!(!house.path("data").exists());
    }
    assert_eq!(tessera(&["serve", "--no-such-flag"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let house = House::started();
    let said = house.serve(&[]).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains("another server uses"), "{}", text(&said.stderr));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let house = House::started();
    let taken = house.url.trim_start_matches("http://").to_owned();
    let other = House::new(FAKE);
    let mut serve = tessera(&["serve", "--listen", &taken]);
    let said = serve.arg("--data").arg(other.path("data")).arg("--config").arg(other.path("t.toml")).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(text(&said.stderr).contains(&format!("cannot listen on {taken}")), "{}", text(&said.stderr));
}

#[test]
fn callers_log_in_where_logins_are_configured() {
    let mut house = House::new(&format!(
        "{FAKE}[[auth.tokens]]\nname = 'ci'\ntoken_file = 'token'\n[[auth.users]]\nname = 'ada'\npassword = 'pw'\n"
    ));
    fs::write(house.path("token"), "s3cret\n").unwrap();
    house.start(&[]);
    let refused = house.ask(&["task", "list"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("401"), "{}", text(&refused.stderr));

    let mut by_token = house.client(&["run", "--detach", "alpine", "--", "true"]);
    let id = text(&by_token.env("TESSERA_TOKEN", "s3cret").output().unwrap().stdout);
    assert_eq!(id.trim().len(), 26);
    let mut by_password = house.client(&["task", "list"]);
    let said = by_password.env("TESSERA_USER", "ada").env("TESSERA_PASSWORD", "pw").output().unwrap();
    // Another user's tasks are not seen (TES contract 17.3).
    assert!(said.status.success() && said.stdout.is_empty(), "{}", text(&said.stderr));
}

#[test]
fn a_server_that_is_not_there_is_exit_code_3() {
    for arguments in [&["task", "list"][..], &["task", "wait", "x"], &["run", "alpine", "--", "true"]] {
        // Nobody listens on port 1.
        let said = tessera(arguments).env("TESSERA_SERVER", "http://127.0.0.1:1").output().unwrap();
        assert_eq!(said.status.code(), Some(3), "{arguments:?}: {}", text(&said.stderr));
        assert!(text(&said.stderr).contains("cannot reach http://127.0.0.1:1"), "{}", text(&said.stderr));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let house = House::new(FAKE);
    let mut check = tessera(&["config", "check"]);
    check.arg("--config").arg(house.path("t.toml")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    drop(check.stdout.take());
    let said = check.wait_with_output().unwrap();
    assert_eq!((said.status.code(), text(&said.stderr)), (Some(0), String::new()));
}

#[test]
fn the_configuration_is_printed_as_it_runs_without_its_secrets() {
    let house = House::new(&format!("{FAKE}[[auth.tokens]]\nname = 'ci'\ntoken = 'hunter2'\n"));
    let check = |json: bool| {
        let mut command = tessera(if json { &["--json", "config", "check"] } else { &["config", "check"] });
        command.arg("--config").arg(house.path("t.toml")).env("TESSERA_POLICY__STOP_GRACE_MS", "0");
        let said = command.output().unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
        text(&said.stdout)
    };
    let printed: toml::Table = toml::from_str(&check(false)).unwrap();
    assert_eq!(printed["policy"]["stop_grace_ms"].as_integer(), Some(0));
    assert_eq!(printed["backends"]["fake"]["kind"].as_str(), Some("scripted"));
    let printed: Value = serde_json::from_str(&check(true)).unwrap();
    assert_eq!(printed["auth"]["tokens"][0]["token"], "…");
    assert!(!check(false).contains("hunter2"));
}

#[test]
fn backends_are_listed_and_checked_without_a_server() {
    let house =
        House::new(&format!("{FAKE}[backends.gone]\nkind = 'docker'\nhost = 'unix:///nowhere.sock'\njobs = 3\n"));
    let ask = |arguments: &[&str]| {
        let mut command = tessera(arguments);
        command.arg("--config").arg(house.path("t.toml")).arg("--data").arg(house.path("data"));
        command.output().unwrap()
    };
    let listed = ask(&["--json", "backend", "list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("fake"), &json!("gone")));
    assert_eq!(listed[1]["jobs"], 3);

    assert_eq!(ask(&["backend", "check", "fake"]).status.code(), Some(0));
    let checked = ask(&["backend", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text(&checked.stdout).contains("gone\tproblem\tengine"), "{}", text(&checked.stdout));
    assert_eq!(ask(&["backend", "check", "nobody"]).status.code(), Some(2));
    // Nothing is left of having looked.
    let left = |at: &Path| {
        fs::read_dir(at).unwrap().any(|it| text(it.unwrap().file_name().as_encoded_bytes()).starts_with('.'))
    };
    assert!(!left(&house.path("data")));
}

#[test]
fn a_server_without_its_engine_starts_and_says_so() {
    let mut house = House::new("[backends.gone]\nkind = 'docker'\nhost = 'unix:///nowhere.sock'\n");
    house.start(&[]);
    assert!(house.get("/healthz").starts_with("HTTP/1.1 200"));
    let ready = house.get("/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("nowhere.sock"), "{ready}");
    let id = house.ok(&["run", "--detach", "alpine", "--", "true"]);
    until("a sentence in the task's log", || {
        house.ok(&["task", "logs", id.trim()]).contains("nowhere.sock").then_some(())
    });
    assert_eq!(house.state(id.trim()), "QUEUED");
    assert_eq!(house.stop(), Some(0));
}

#[test]
fn a_creation_with_a_key_is_done_once() {
    let house = House::started();
    let task = |name: &str| json!({ "name": name, "executors": [{ "image": "alpine", "command": ["true"] }] });
    fs::write(house.path("one.json"), task("one").to_string()).unwrap();
    fs::write(house.path("two.json"), task("two").to_string()).unwrap();
    let create = |files: &[&str]| house.ask(&[&["task", "create", "--idempotency-key", "k"], files].concat());
    let (first, again) = (create(&["one.json"]), create(&["one.json"]));
    assert!(first.status.success() && first.stdout == again.stdout, "{}", text(&again.stderr));
    let other = create(&["two.json"]);
    assert!(other.status.code() == Some(1) && text(&other.stderr).contains("(409)"), "{}", text(&other.stderr));
    let several = create(&["one.json", "two.json"]);
    assert_eq!((several.status.code(), text(&several.stdout).as_str()), (Some(2), ""));
    assert!(text(&several.stderr).contains("names one task, and there are 2"), "{}", text(&several.stderr));
    let run = ["--json", "run", "--idempotency-key", "r", "--detach", "alpine", "--", "true"];
    assert_eq!(house.ok(&run), house.ok(&run));
    assert_eq!(house.ok_json(&["task", "list"])["tasks"].as_array().map(Vec::len), Some(2));
}
