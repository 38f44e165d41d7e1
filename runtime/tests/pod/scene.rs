//! The pod: its folders, its containers, what they have said.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tessera_runtime::frames::{self};
use tessera_runtime::pod::words::{LastWords, Record};
use tessera_runtime::report::Report;

pub(crate) struct Pod {
    pub(crate) around: tempfile::TempDir,
    children: Vec<Pid>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        // Wrappers lead sessions of their own, and with them the groups of their commands' parents.
        for pid in &self.children {
            let _gone = rustix::process::kill_process(*pid, Signal::KILL);
        }
        if let Ok(command) = fs::read_to_string(self.at("command")) {
            for pid in command.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
                let _gone = rustix::process::kill_process_group(pid, Signal::KILL);
            }
        }
    }
}

impl Pod {
    /// Executors are shell scripts, in which `$POD` is the directory around everything.
    pub(crate) fn new(scripts: &[&str], more: Value) -> Self {
        let around = tempfile::tempdir().unwrap();
        for folder in ["attempt/tree", "attempt/steps", "bin", "plan", "delivered"] {
            fs::create_dir_all(around.path().join(folder)).unwrap();
        }
        let executors: Vec<Value> = (scripts.iter())
            .map(|script| {
                let (script, ignore_error) = match script.strip_prefix("ignored: ") {
                    Some(script) => (script, true),
                    None => (*script, false),
                };
                json!({"image": "a:1", "command": ["sh", "-c", script], "env": {"POD": around.path()},
                    "ignore_error": ignore_error})
            })
            .collect();
        let mut plan = json!({"version": 1, "job": "t-1", "executors": executors,
            "policy": {"stop_grace_ms": 100}, "storage": {"file_roots": [around.path().canonicalize().unwrap()]}});
        for (key, value) in more.as_object().unwrap() {
            plan[key] = value.clone();
        }
        fs::write(around.path().join("plan/plan.json"), plan.to_string()).unwrap();
        Self { around, children: Vec::new() }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.around.path().join(path)
    }

    pub(crate) fn step(&self, step: usize, name: &str) -> PathBuf {
        self.at(&format!("attempt/steps/{step}/{name}"))
    }

    pub(crate) fn verb(&mut self, verb: &str, arguments: &[PathBuf]) -> Child {
        let log = File::create(self.at(&format!("{verb}-{}.log", self.children.len()))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tessera-runtime"))
            .arg(verb)
            .args(arguments)
            .env("TESSERA_JOB", "t-of-the-pod")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        self.children.push(Pid::from_child(&child));
        child
    }

    pub(crate) fn places(&self) -> Vec<PathBuf> {
        ["attempt", "bin", "plan", "last-words"].map(|place| self.at(place)).to_vec()
    }

    pub(crate) fn stage_in(&mut self) -> i32 {
        self.verb("stage-in", &self.places()).wait().unwrap().code().unwrap()
    }

    pub(crate) fn stage_out(&mut self) -> Child {
        self.verb("stage-out", &self.places())
    }

    pub(crate) fn wrapper(&mut self, step: usize) -> Child {
        self.verb("exec", &[self.step(step, ""), self.at("attempt/tree")])
    }

    /// One whose image is a folder here.
    pub(crate) fn wrapper_of_image(&mut self, step: usize) -> Child {
        fs::create_dir_all(self.at("image")).unwrap();
        self.verb("exec", &[self.step(step, ""), self.at("attempt/tree"), self.at("image")])
    }

    pub(crate) fn replan(&self, change: impl FnOnce(&mut Value)) {
        let mut plan: Value = serde_json::from_slice(&fs::read(self.at("plan/plan.json")).unwrap()).unwrap();
        change(&mut plan);
        fs::write(self.at("plan/plan.json"), plan.to_string()).unwrap();
    }

    /// What a container has printed, by when it was started.
    pub(crate) fn printed(&self, verb: &str, nth: usize) -> Vec<u8> {
        fs::read(self.at(&format!("{verb}-{nth}.log"))).unwrap()
    }

    pub(crate) fn words(&self) -> LastWords {
        serde_json::from_slice(&fs::read(self.at("last-words")).unwrap()).unwrap()
    }

    pub(crate) fn report(&self) -> Report {
        self.words().report.unwrap_or_else(|| {
            let log = (0..).map(|nth| self.at(&format!("stage-out-{nth}.log"))).find(|log| log.exists()).unwrap();
            match records(&fs::read(log).unwrap()).pop() {
                Some(Record::Report(report)) => report,
                other => panic!("{other:?}"),
            }
        })
    }
}

/// Waits until a file is there, as a FIFO would say it: by somebody who opens it for writing.
pub(crate) fn wait_for(path: &Path) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !path.exists() {
        assert!(std::time::Instant::now() < until, "{} never came", path.display());
        std::thread::yield_now();
    }
}

pub(crate) fn kill(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).unwrap();
}

pub(crate) fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What a command does that says that it runs, and then waits until it is told to go on.
pub(crate) const RUNS: &str = "echo $$ >> $POD/command; echo runs > $POD/runs; ";

/// Waits for such a command.
pub(crate) fn runs(pod: &Pod) {
    assert_eq!(fs::read_to_string(pod.at("runs")).unwrap(), "runs\n");
}

pub(crate) fn records(log: &[u8]) -> Vec<Record> {
    let text = std::str::from_utf8(log).unwrap();
    text.split('\u{1e}').skip(1).map(|record| serde_json::from_str(record).unwrap()).collect()
}

/// The frames in the log of a wrapper's container.
pub(crate) fn of_lines(log: &[u8]) -> File {
    let (mut file, mut of_lines) = (tempfile::tempfile().unwrap(), Vec::new());
    frames::Lines::default().take(log, &mut of_lines);
    file.write_all(&of_lines).unwrap();
    file
}

pub(crate) fn codes(report: &Report) -> Vec<i32> {
    report.steps.iter().map(|step| step.exit_code).collect()
}

/// The whole of an ordinary job, all containers at once.
pub(crate) fn whole(pod: &mut Pod, executors: usize) -> (i32, Vec<ExitStatus>) {
    assert_eq!(pod.stage_in(), 0);
    let mut wrappers: Vec<Child> = (0..executors).rev().map(|step| pod.wrapper(step)).collect();
    let mut out = pod.stage_out();
    let code = out.wait().unwrap().code().unwrap();
    let ends = wrappers.iter_mut().rev().map(|wrapper| wrapper.wait().unwrap()).collect();
    (code, ends)
}
