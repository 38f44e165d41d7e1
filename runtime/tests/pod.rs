//! A pod on this host: our two containers and the wrappers as processes, over one directory.
//!
//! What only a container has is missing: nothing is mounted, so commands reach the tree by its path here, and a
//! wrapper is not process 1, so what it leaves when it is killed is ended by the test.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tessera_runtime::frames::{self, Stream};
use tessera_runtime::pod::words::{LastWords, Record};
use tessera_runtime::report::{FaultClass, Outcome, Report};
use tessera_runtime::step::{HERE, MARK, exit};

struct Pod {
    around: tempfile::TempDir,
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
    fn new(scripts: &[&str], more: Value) -> Self {
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

    fn at(&self, path: &str) -> PathBuf {
        self.around.path().join(path)
    }

    fn step(&self, step: usize, name: &str) -> PathBuf {
        self.at(&format!("attempt/steps/{step}/{name}"))
    }

    fn verb(&mut self, verb: &str, arguments: &[PathBuf]) -> Child {
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

    fn places(&self) -> Vec<PathBuf> {
        ["attempt", "bin", "plan", "last-words"].map(|place| self.at(place)).to_vec()
    }

    fn stage_in(&mut self) -> i32 {
        self.verb("stage-in", &self.places()).wait().unwrap().code().unwrap()
    }

    fn stage_out(&mut self) -> Child {
        self.verb("stage-out", &self.places())
    }

    fn wrapper(&mut self, step: usize) -> Child {
        self.verb("exec", &[self.step(step, ""), self.at("attempt/tree")])
    }

    /// One whose image is a folder here.
    fn wrapper_of_image(&mut self, step: usize) -> Child {
        fs::create_dir_all(self.at("image")).unwrap();
        self.verb("exec", &[self.step(step, ""), self.at("attempt/tree"), self.at("image")])
    }

    fn replan(&self, change: impl FnOnce(&mut Value)) {
        let mut plan: Value = serde_json::from_slice(&fs::read(self.at("plan/plan.json")).unwrap()).unwrap();
        change(&mut plan);
        fs::write(self.at("plan/plan.json"), plan.to_string()).unwrap();
    }

    /// What a container has printed, by when it was started.
    fn printed(&self, verb: &str, nth: usize) -> Vec<u8> {
        fs::read(self.at(&format!("{verb}-{nth}.log"))).unwrap()
    }

    fn words(&self) -> LastWords {
        serde_json::from_slice(&fs::read(self.at("last-words")).unwrap()).unwrap()
    }

    fn report(&self) -> Report {
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
fn wait_for(path: &Path) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !path.exists() {
        assert!(std::time::Instant::now() < until, "{} never came", path.display());
        std::thread::yield_now();
    }
}

fn kill(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_child(child), signal).unwrap();
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What a command does that says that it runs, and then waits until it is told to go on.
const RUNS: &str = "echo $$ >> $POD/command; echo runs > $POD/runs; ";

/// Waits for such a command.
fn runs(pod: &Pod) {
    assert_eq!(fs::read_to_string(pod.at("runs")).unwrap(), "runs\n");
}

fn records(log: &[u8]) -> Vec<Record> {
    let text = std::str::from_utf8(log).unwrap();
    text.split('\u{1e}').skip(1).map(|record| serde_json::from_str(record).unwrap()).collect()
}

/// The frames in the log of a wrapper's container.
fn of_lines(log: &[u8]) -> File {
    let (mut file, mut of_lines) = (tempfile::tempfile().unwrap(), Vec::new());
    frames::Lines::default().take(log, &mut of_lines);
    file.write_all(&of_lines).unwrap();
    file
}

fn codes(report: &Report) -> Vec<i32> {
    report.steps.iter().map(|step| step.exit_code).collect()
}

/// The whole of an ordinary job, all containers at once.
fn whole(pod: &mut Pod, executors: usize) -> (i32, Vec<ExitStatus>) {
    assert_eq!(pod.stage_in(), 0);
    let mut wrappers: Vec<Child> = (0..executors).rev().map(|step| pod.wrapper(step)).collect();
    let mut out = pod.stage_out();
    let code = out.wait().unwrap().code().unwrap();
    let ends = wrappers.iter_mut().rev().map(|wrapper| wrapper.wait().unwrap()).collect();
    (code, ends)
}

#[test]
fn inputs_turns_outputs_and_a_report() {
    let outputs = |around: &Path| json!([{"path": "/data/out", "url": around.join("delivered/out")}]);
    let mut pod = Pod::new(
        &[
            "cat $POD/attempt/tree/data/in > $POD/attempt/tree/data/mid; echo one",
            "cd $POD/attempt/tree/data; cat mid mid > out; echo two >&2",
        ],
        json!({"inputs": [{"path": "/data/in", "source": {"content": "hello\n"}}]}),
    );
    pod.replan(|plan| plan["outputs"] = outputs(pod.around.path()));
    let (code, ends) = whole(&mut pod, 2);
    let report = pod.report();
    assert_eq!((code, &report.outcome), (0, &Outcome::Complete), "{report:?}");
    assert!(ends.iter().all(ExitStatus::success));
    assert_eq!(fs::read_to_string(pod.at("delivered/out")).unwrap(), "hello\nhello\n");
    assert_eq!(report.steps[0].stdout_tail, "one\n");
    assert_eq!(report.steps[1].stderr_tail, "two\n");
    assert!(report.steps[0].ended <= report.steps[1].started);
    assert_eq!(report.outputs.len(), 1);

    // The log of a wrapper's container is frames, each a line, that of stage-out tells of the first step.
    for (nth, stream, text) in [(2, Stream::Stdout, "one\n"), (1, Stream::Stderr, "two\n")] {
        let log = of_lines(&pod.printed("exec", nth));
        assert_eq!(frames::read(&log, stream, 0, 100).unwrap().bytes, text.as_bytes());
    }
    let told = records(&pod.printed("stage-out", 3));
    let one_ended = |record: &Record| matches!(record, Record::Progress(progress) if progress.steps.len() == 1);
    assert!(told.iter().any(one_ended), "{told:?}");
    let runtime = fs::metadata(pod.at("bin/runtime")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&runtime.permissions()) & 0o777, 0o755);
}

#[test]
fn rule_12_1_and_12_3_failures_that_count_and_those_that_are_ignored() {
    let table: [(&[&str], Outcome, &[i32]); 4] = [
        (&["exit 3", "true"], Outcome::ExecutorFailed { step: 0 }, &[3]),
        (&["ignored: exit 3", "true"], Outcome::Complete, &[3, 0]),
        (&["ignored: exit 3", "exit 4", "true"], Outcome::ExecutorFailed { step: 1 }, &[3, 4]),
        (&["ignored: kill -9 $$", "ignored: no-such-program"], Outcome::Complete, &[137, 127]),
    ];
    for (scripts, outcome, expected) in table {
        let mut pod = Pod::new(scripts, json!({}));
        let (code, ends) = whole(&mut pod, scripts.len());
        let report = pod.report();
        assert_eq!((&report.outcome, codes(&report)), (&outcome, expected.to_vec()), "{scripts:?}: {report:?}");
        assert_eq!(code, i32::from(outcome != Outcome::Complete));
        for end in &ends[expected.len()..] {
            assert!([exit::NO_TURN, exit::MARKED].contains(&end.code().unwrap()), "{end}");
        }
    }
}

#[test]
fn a_wrapper_that_is_killed_while_its_command_runs_counts_as_killed() {
    for (first, outcome, expected) in
        [("ignored: ", Outcome::Complete, vec![137, 0]), ("", Outcome::ExecutorFailed { step: 0 }, vec![137])]
    {
        let script =
            format!("{first}{RUNS}echo made > $POD/attempt/tree/data/out; echo ready > $POD/ready; sleep 1000");
        let mut pod = Pod::new(&[&script, "true"], json!({"volumes": ["/data"]}));
        pod.replan(|plan| plan["outputs"] = json!([{"path": "/data/out", "url": pod.at("delivered/out")}]));
        fifo(&pod.at("runs"));
        fifo(&pod.at("ready"));
        assert_eq!(pod.stage_in(), 0);
        let mut out = pod.stage_out();
        let (mut one, mut two) = (pod.wrapper(0), pod.wrapper(1));
        runs(&pod);
        fs::read_to_string(pod.at("ready")).unwrap();
        kill(&one, Signal::KILL);
        assert_eq!(one.wait().unwrap().signal(), Some(9));
        out.wait().unwrap();
        two.wait().unwrap();
        let report = pod.report();
        assert_eq!((&report.outcome, codes(&report)), (&outcome, expected), "{report:?}");
        assert_eq!(fs::read_to_string(pod.at("delivered/out")).unwrap(), "made\n");
        assert!(report.notes.iter().any(|note| note.text == "executor 0 was killed together with its wrapper"));
    }
}

// One of the two places is always passed.
#[allow(clippy::zombie_processes)]
#[test]
fn a_wrapper_that_is_killed_while_it_waits_is_a_lost_job_and_nothing_else_runs() {
    // Before stage-out has looked, and in the middle.
    for early in [true, false] {
        let mut pod = Pod::new(&[&format!("{RUNS}true"), "true", "echo never > $POD/never"], json!({}));
        fifo(&pod.at("runs"));
        assert_eq!(pod.stage_in(), 0);
        let mut waiting = pod.wrapper(1);
        wait_for(&pod.step(1, HERE));
        let mut last = pod.wrapper(2);
        if early {
            kill(&waiting, Signal::KILL);
            waiting.wait().unwrap();
        }
        let (mut out, mut one) = (pod.stage_out(), pod.wrapper(0));
        if !early {
            kill(&waiting, Signal::KILL);
            waiting.wait().unwrap();
        }
        runs(&pod);
        assert!(one.wait().unwrap().success());
        assert_eq!(out.wait().unwrap().code(), Some(1));
        assert!(!last.wait().unwrap().success());
        let report = pod.report();
        let Outcome::Failed(fault) = &report.outcome else { panic!("{report:?}") };
        assert_eq!(fault.class, FaultClass::Lost);
        assert_eq!(fault.message, "executor 1 was ended from outside before its command was started");
        assert!(fault.user_code_started && !pod.at("never").exists());
        assert_eq!(codes(&report), [0]);
    }
}

/// Files enough that copying them takes a while, the first of them `a`.
const MANY: usize = 5_000;
const LAST: &str = "b4999";

#[test]
fn a_wrapper_that_is_killed_while_it_lays_in_is_a_lost_job() {
    let mut pod = Pod::new(&["echo never > $POD/never", "true"], json!({}));
    fs::create_dir(pod.at("many")).unwrap();
    fs::write(pod.at("many/a"), "").unwrap();
    (0..MANY).for_each(|n| fs::write(pod.at(&format!("many/b{n:04}")), "x").unwrap());
    pod.replan(|plan| plan["inputs"] = json!([{"path": "/opt", "source": {"url": pod.at("many")}}]));
    assert_eq!(pod.stage_in(), 0);
    let mut out = pod.stage_out();
    let (mut one, mut two) = (pod.wrapper_of_image(0), pod.wrapper_of_image(1));
    wait_for(&pod.at("image/opt/a"));
    kill(&one, Signal::KILL);
    one.wait().unwrap();
    assert!(!pod.at("image/opt").join(LAST).exists(), "it was done already");
    assert_eq!(out.wait().unwrap().code(), Some(1));
    assert!(!two.wait().unwrap().success() && !pod.at("never").exists());
    let Outcome::Failed(fault) = pod.report().outcome else { panic!("{:?}", pod.report()) };
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Lost, false));
    assert_eq!(fault.message, "executor 0 was ended from outside before its command was started");
}

#[test]
fn a_wrapper_that_is_killed_while_it_harvests_counts_as_killed() {
    for (first, outcome, expected) in
        [("ignored: ", Outcome::Complete, vec![137, 0]), ("", Outcome::ExecutorFailed { step: 0 }, vec![137])]
    {
        let make = format!(
            "mkdir -p $POD/image/opt/out && cd $POD/image/opt/out && touch a && seq {MANY} | \
                            while read n; do echo > b$(($n + 9999)); done; echo done"
        );
        let mut pod = Pod::new(&[&format!("{first}{make}"), "true"], json!({}));
        let output = json!([{"path": "/opt/out", "url": pod.at("delivered/out"), "kind": "directory"}]);
        pod.replan(|plan| plan["outputs"] = output);
        assert_eq!(pod.stage_in(), 0);
        let mut out = pod.stage_out();
        let (mut one, mut two) = (pod.wrapper_of_image(0), pod.wrapper_of_image(1));
        wait_for(&pod.at("attempt/tree/opt/out/a"));
        kill(&one, Signal::KILL);
        assert_eq!(one.wait().unwrap().signal(), Some(9), "it was done already");
        out.wait().unwrap();
        two.wait().unwrap();
        let report = pod.report();
        assert_eq!((&report.outcome, codes(&report)), (&outcome, expected), "{report:?}");
        assert_eq!(report.steps[0].stdout_tail, "done\n");
        assert!(report.notes.iter().any(|note| note.text == "executor 0 was killed together with its wrapper"));
    }
}

/// A small file system at a place, which is root's to make.
struct Small(PathBuf);

impl Small {
    fn at(place: PathBuf) -> Option<Self> {
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&place).status();
        made.is_ok_and(|status| status.success()).then(|| Self(place))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_a_job_with_a_sentence() {
    let fill = "cat /dev/zero > $POD/attempt/tree/data/large; seq 100000; echo > $POD/full";
    let mut pod = Pod::new(&[fill, "echo never > $POD/never"], json!({"volumes": ["/data"]}));
    let Some(_small) = Small::at(pod.at("attempt")) else {
        eprintln!("not run: a small file system cannot be mounted here");
        return;
    };
    let (code, ends) = whole(&mut pod, 2);
    assert!(pod.at("full").exists() && !pod.at("never").exists());
    let report = pod.report();
    let Outcome::Failed(fault) = &report.outcome else { panic!("{report:?}") };
    assert!(fault.message.contains("No space left on device"), "{}", fault.message);
    assert!(fault.user_code_started, "{report:?}");
    assert_eq!((code, ends[0].code()), (1, Some(exit::WRAPPER)));
    // The container's log does not lie there.
    let log = of_lines(&pod.printed("exec", 2));
    assert_eq!(frames::tail(&log, Stream::Stdout, 7).unwrap().text, "100000\n");
}

#[test]
fn a_step_that_cannot_be_read_is_not_waited_for() {
    // Before stage-out is there, and after.
    for early in [true, false] {
        let mut pod = Pod::new(&["true"], json!({}));
        assert_eq!(pod.stage_in(), 0);
        fs::write(pod.step(0, "step.json"), "{").unwrap();
        let first = (!early).then(|| pod.stage_out());
        if !early {
            wait_for(&pod.step(0, "there"));
        }
        assert_eq!(pod.wrapper(0).wait().unwrap().code(), Some(exit::WRAPPER));
        let mut out = first.unwrap_or_else(|| pod.stage_out());
        assert_eq!(out.wait().unwrap().code(), Some(1));
        let Outcome::Failed(fault) = pod.report().outcome else { panic!("{:?}", pod.report()) };
        assert!(fault.message.starts_with("executor 0 could not be run in `a:1`: "), "{}", fault.message);
    }
}

#[test]
fn what_a_command_leaves_in_the_records_place_holds_nobody_up() {
    let scripts = ["mkfifo $POD/attempt/steps/0/record.new", "ln -s /etc/passwd $POD/attempt/steps/1/record.new"];
    let mut pod = Pod::new(&scripts, json!({}));
    assert_eq!(whole(&mut pod, 2).0, 0);
    assert_eq!(codes(&pod.report()), [0, 0]);
}

#[test]
fn a_report_without_a_plan_still_says_whose_it_is() {
    let mut pod = Pod::new(&["true"], json!({}));
    fs::write(pod.at("plan/plan.json"), "{").unwrap();
    assert_eq!(pod.stage_in(), 1);
    assert_eq!(pod.report().job, "t-of-the-pod");
}

#[test]
fn whenever_stage_out_is_ended_nobody_is_left_waiting() {
    for (signal, after) in [Signal::KILL, Signal::TERM].into_iter().flat_map(|signal| (0..8).map(move |n| (signal, n)))
    {
        let mut pod = Pod::new(&["echo one", "ignored: exit 3", "sleep 1000"], json!({}));
        assert_eq!(pod.stage_in(), 0);
        let mut wrappers: Vec<Child> = (0..3).map(|step| pod.wrapper(step)).collect();
        let mut out = pod.stage_out();
        // Anywhere: it opens the steps, gives a turn, reads a record, waits.
        let until = std::time::Instant::now() + std::time::Duration::from_millis(3 * after);
        while std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        kill(&out, signal);
        out.wait().unwrap();
        assert!(!pod.at("last-words").exists());
        // The pod is taken down, or its containers notice by themselves; who came before it was there waits for that.
        let there = (0..3).all(|step| pod.step(step, "there").exists());
        for wrapper in wrappers.iter_mut() {
            if signal == Signal::TERM || !there {
                let _ended = rustix::process::kill_process(Pid::from_child(wrapper), Signal::TERM);
            }
            wrapper.wait().unwrap();
        }
    }
}

#[test]
fn a_wrapper_that_cannot_do_its_part_says_so() {
    let mut pod = Pod::new(&["true"], json!({}));
    assert_eq!(pod.stage_in(), 0);
    // Where the record is to be.
    fs::create_dir(pod.step(0, "record.new")).unwrap();
    let (code, ends) = {
        let mut out = pod.stage_out();
        let mut one = pod.wrapper(0);
        (out.wait().unwrap().code().unwrap(), one.wait().unwrap())
    };
    assert_eq!((code, ends.code()), (1, Some(exit::WRAPPER)));
    let Outcome::Failed(fault) = pod.report().outcome else { panic!("{:?}", pod.report()) };
    assert!(fault.message.starts_with("executor 0 could not be run in `a:1`: "), "{}", fault.message);
}

#[test]
fn when_stage_out_is_killed_who_waits_goes_home_and_what_runs_is_stopped() {
    let mut pod = Pod::new(&[&format!("{RUNS}sleep 1000"), "true", "true"], json!({}));
    fifo(&pod.at("runs"));
    assert_eq!(pod.stage_in(), 0);
    let mut out = pod.stage_out();
    let (mut one, mut two) = (pod.wrapper(0), pod.wrapper(1));
    wait_for(&pod.step(1, HERE));
    runs(&pod);
    kill(&out, Signal::KILL);
    out.wait().unwrap();
    assert_eq!(two.wait().unwrap().code(), Some(exit::NO_TURN));
    assert_eq!(one.wait().unwrap().code(), Some(143));
    // One whose image took longer than that.
    let mut late = pod.wrapper(2);
    assert_eq!(late.wait().unwrap().code(), Some(exit::NO_TURN));
    assert!(!pod.step(1, MARK).exists() && !pod.step(2, MARK).exists());
    assert!(!pod.at("last-words").exists());
}

#[test]
fn a_pod_that_is_taken_down_says_nothing() {
    let mut pod = Pod::new(&[&format!("{RUNS}sleep 1000"), "true"], json!({}));
    fifo(&pod.at("runs"));
    assert_eq!(pod.stage_in(), 0);
    let mut out = pod.stage_out();
    let (mut one, mut two) = (pod.wrapper(0), pod.wrapper(1));
    wait_for(&pod.step(1, HERE));
    runs(&pod);
    // The executors first: their ends are no faults then.
    for child in [&one, &two, &out] {
        kill(child, Signal::TERM);
    }
    assert_eq!(out.wait().unwrap().code(), Some(143));
    assert_eq!(one.wait().unwrap().code(), Some(143));
    assert_eq!(two.wait().unwrap().code(), Some(exit::NO_TURN));
    assert!(!pod.at("last-words").exists());
}

#[test]
fn an_executor_that_alone_is_told_to_stop_is_lost() {
    let mut pod = Pod::new(&[&format!("{RUNS}sleep 1000")], json!({}));
    fifo(&pod.at("runs"));
    assert_eq!(pod.stage_in(), 0);
    let (mut out, mut one) = (pod.stage_out(), pod.wrapper(0));
    runs(&pod);
    kill(&one, Signal::TERM);
    assert_eq!(one.wait().unwrap().code(), Some(143));
    assert_eq!(out.wait().unwrap().code(), Some(1));
    let Outcome::Failed(fault) = pod.report().outcome else { panic!("{:?}", pod.report()) };
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Lost, true));
}

#[test]
fn walltime_and_disk_stop_what_runs() {
    let stubborn = format!("trap '' TERM; {RUNS}while :; do sleep 1; done");
    let large = "head -c 3000000 /dev/zero > $POD/attempt/tree/data/large; sleep 1000";
    let table = [
        (stubborn.as_str(), json!({"walltime_ms": 300}), "the walltime of 0.3 s is over"),
        (large, json!({"disk_bytes": 1 << 20}), "of disk and may use 1.00 MiB; what still ran was stopped"),
    ];
    for (script, limits, sentence) in table {
        let mut pod = Pod::new(&[script, "true"], json!({"limits": limits, "volumes": ["/data"]}));
        fs::write(pod.at("runs"), "").unwrap();
        let (code, ends) = whole(&mut pod, 2);
        let report = pod.report();
        let Outcome::Failed(fault) = &report.outcome else { panic!("{report:?}") };
        assert!(fault.message.contains(sentence), "{}", fault.message);
        assert_eq!((code, fault.class, fault.user_code_started), (1, FaultClass::Rejected, true));
        assert_eq!(report.steps.len(), 1, "what it printed is told");
        assert!(!ends[0].success() && !ends[1].success());
    }
}

#[test]
fn stage_in_may_be_begun_again_and_leaves_alone_what_was_started() {
    let mut pod = Pod::new(&["true"], json!({"inputs": [{"path": "/data/in", "source": {"content": "hello"}}]}));
    assert_eq!((pod.stage_in(), pod.stage_in()), (0, 0));
    let input = pod.at("attempt/tree/data/in");
    fs::write(&input, "changed").unwrap();
    fs::remove_file(pod.at("attempt/staged")).unwrap();
    File::create(pod.step(0, MARK)).unwrap();
    assert_eq!(pod.stage_in(), 0);
    assert_eq!(fs::read_to_string(&input).unwrap(), "changed");
    fs::remove_file(pod.step(0, MARK)).unwrap();
    fs::remove_file(pod.at("attempt/started-0")).unwrap();
    assert_eq!(pod.stage_in(), 0);
    assert_eq!(fs::read_to_string(&input).unwrap(), "hello");
    assert_eq!(whole(&mut pod, 1).0, 0);
}

#[test]
fn an_input_that_is_not_there_is_reported_by_stage_in() {
    let mut pod = Pod::new(&["true"], json!({"inputs": [{"path": "/data/in", "source": {"url": "/no/such"}}]}));
    assert_eq!(pod.stage_in(), 1);
    let report = pod.report();
    let Outcome::Failed(fault) = &report.outcome else { panic!("{report:?}") };
    assert_eq!((fault.class, fault.user_code_started), (FaultClass::Rejected, false));
    assert_eq!(report.notes.last().unwrap().text, fault.message);
}

#[test]
fn last_words_that_cannot_be_written_are_printed() {
    let mut pod = Pod::new(&["true"], json!({}));
    fs::create_dir(pod.at("last-words")).unwrap();
    assert_eq!(whole(&mut pod, 1).0, 0);
    let told = records(&pod.printed("stage-out", 2));
    let Some(Record::Report(report)) = told.last() else { panic!("{told:?}") };
    assert_eq!(report.outcome, Outcome::Complete);
}

#[test]
fn a_large_report_is_summed_up_and_stands_in_the_log() {
    let noise = "i=0; while [ $i -lt 400 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done";
    let mut pod = Pod::new(&[noise, noise], json!({}));
    assert_eq!(whole(&mut pod, 2).0, 0);
    let summary = pod.words().summary.unwrap();
    assert_eq!((&summary.outcome, summary.exit_codes.as_slice()), (&Outcome::Complete, [0, 0].as_slice()));
    let told = records(&pod.printed("stage-out", 3));
    let Some(Record::Report(report)) = told.last() else { panic!("{told:?}") };
    assert_eq!(report.steps.iter().map(|step| step.stdout_tail.len()).collect::<Vec<_>>(), [16_384, 16_384]);
    assert_eq!(serde_json::to_vec(report).unwrap().len() as u64, summary.bytes);
}

#[test]
fn many_lines_are_few_lines_of_the_log() {
    let mut pod = Pod::new(&["seq 100000; seq 1000 >&2"], json!({}));
    assert_eq!(whole(&mut pod, 1).0, 0);
    let log = pod.printed("exec", 1);
    let expected: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    // A node adds some fifty bytes to each.
    let lines = log.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines < 2_000 && log.len() < expected.len() * 11 / 10, "{lines} lines, {} bytes", log.len());
    let frames = of_lines(&log);
    let read = frames::read(&frames, Stream::Stdout, 0, usize::MAX).unwrap();
    assert!(read.bytes == expected.as_bytes());
    assert_eq!(frames::tail(&frames, Stream::Stderr, 5).unwrap().text, "1000\n");
}

#[test]
fn garbage_in_a_step_directory_fools_nobody_else() {
    let garbage = "cd $POD/attempt/steps/0; rm -rf here alive turn bell record.json; mkdir here alive turn; \
                   ln -s /etc/passwd bell; echo ssss > there; exit 0";
    let mut pod = Pod::new(&[&format!("ignored: {garbage}"), "echo two"], json!({}));
    let (code, _) = whole(&mut pod, 2);
    let report = pod.report();
    assert_eq!((code, codes(&report)), (0, vec![0, 0]), "{report:?}");
    let mut pod = Pod::new(&["mkdir $POD/attempt/steps/0/record.json", "true"], json!({}));
    assert_eq!(whole(&mut pod, 2).0, 1);
    let Outcome::Failed(fault) = pod.report().outcome else { panic!("{:?}", pod.report()) };
    assert!(fault.message.contains("record"), "{}", fault.message);
}

#[test]
fn a_plan_may_be_fetched_and_is_kept() {
    use sha2::{Digest, Sha256};
    let mut pod = Pod::new(&["true"], json!({}));
    let plan = fs::read(pod.at("plan/plan.json")).unwrap();
    fs::remove_file(pod.at("plan/plan.json")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/plan", listener.local_addr().unwrap());
    let sha256: String = Sha256::digest(&plan).iter().map(|byte| format!("{byte:02x}")).collect();
    let fetch = json!({"version": 1, "url": url, "token": "open", "sha256": sha256});
    fs::write(pod.at("plan/fetch.json"), fetch.to_string()).unwrap();
    let server = std::thread::spawn(move || {
        // The first answer says that there is nothing yet, the second is the plan.
        for body in [None, Some(plan)] {
            let (mut stream, _) = listener.accept().unwrap();
            let head: Vec<String> =
                BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            assert!(head.iter().any(|line| line.eq_ignore_ascii_case("authorization: Bearer open")), "{head:?}");
            let (status, body) = body.map_or(("503 Busy", Vec::new()), |plan| ("200 OK", plan));
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        }
    });
    assert_eq!(whole(&mut pod, 1).0, 0);
    server.join().unwrap();
    // Nobody is asked again.
    assert_eq!(pod.stage_in(), 0);
}
