//! Containers that are killed, told to stop, or taken down.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use rustix::process::{Pid, Signal};
use serde_json::json;
use tessera_runtime::report::{FaultClass, Outcome};
use tessera_runtime::step::{HERE, MARK, exit};

use crate::scene::{Pod, RUNS, codes, fifo, kill, runs, wait_for};

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
