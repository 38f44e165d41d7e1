//! How executors run, and what becomes of one that fails (TES contract §12).

use std::collections::BTreeMap;

use futures::future::join_all;
use tessera_runtime::plan::{Executor, Kind};
use tessera_runtime::report::Outcome;

use super::Ground;
use super::jobs::{exact, job, job_of, output, script_of};
use super::told::{codes, notes, printed};

const FAILED: bool = false;
const IGNORED: bool = true;

/// An executor that appends its number to a file and ends with this code: a signal, or no program, where it says so.
fn ending(at: usize, how: &str, ignore_error: bool) -> Executor {
    let script = match how {
        "127" => return Executor { ignore_error, ..exact(&["/no/such/program"]) },
        "126" => return Executor { ignore_error, ..exact(&["/etc/passwd"]) },
        "137" => format!("echo {at} >> /shared/ran; kill -9 $$"),
        "143" => format!("echo {at} >> /shared/ran; kill -15 $$"),
        code => format!("echo {at} >> /shared/ran; exit {code}"),
    };
    Executor { ignore_error, ..script_of(&script) }
}

/// How each executor ends and whether that is ignored; the exit codes told; the outcome.
type Row = (&'static [(&'static str, bool)], &'static [i32], Outcome);

/// What follows what, in every mix: executors that go well, fail, or fail with leave to.
pub async fn rule_12_1_and_12_3_and_12_5_failures_stop_or_are_passed_over(ground: &dyn Ground) {
    let failed = |step| Outcome::ExecutorFailed { step };
    let table: [Row; 12] = [
        (&[("0", FAILED), ("0", FAILED), ("0", FAILED)], &[0, 0, 0], Outcome::Complete),
        (&[("3", FAILED), ("0", FAILED)], &[3], failed(0)),
        (&[("0", FAILED), ("4", FAILED), ("0", IGNORED)], &[0, 4], failed(1)),
        (&[("3", IGNORED), ("0", FAILED)], &[3, 0], Outcome::Complete),
        (&[("3", IGNORED), ("4", IGNORED), ("5", IGNORED)], &[3, 4, 5], Outcome::Complete),
        (&[("3", IGNORED), ("4", FAILED), ("0", FAILED)], &[3, 4], failed(1)),
        (&[("3", IGNORED), ("0", FAILED), ("4", FAILED)], &[3, 0, 4], failed(2)),
        (&[("0", IGNORED), ("4", IGNORED), ("0", FAILED)], &[0, 4, 0], Outcome::Complete),
        (&[("127", IGNORED), ("0", FAILED)], &[127, 0], Outcome::Complete),
        (&[("126", IGNORED), ("127", FAILED), ("0", FAILED)], &[126, 127], failed(1)),
        (&[("137", IGNORED), ("143", IGNORED), ("0", FAILED)], &[137, 143, 0], Outcome::Complete),
        (&[("0", FAILED), ("143", FAILED), ("0", FAILED)], &[0, 143], failed(1)),
    ];
    let place = |at: usize| ground.folder().join(format!("ran-{at}"));
    let jobs = table.iter().enumerate().map(|(at, (executors, ..))| {
        let executors = executors.iter().enumerate().map(|(at, (how, ignored))| ending(at, how, *ignored));
        let mut job = job_of(executors.collect());
        // After a failure, too, what there is is delivered.
        job.plan.outputs = vec![output("/shared/ran", &place(at), Some(Kind::File))];
        ground.run(job)
    });
    let reports = join_all(jobs).await;
    for (at, ((executors, codes, outcome), report)) in table.iter().zip(&reports).enumerate() {
        assert_eq!(report.outcome, *outcome, "{executors:?}: {report:#?}");
        let said: Vec<_> = report.steps.iter().map(|step| (step.step as usize, step.exit_code)).collect();
        let expected: Vec<_> = codes.iter().copied().enumerate().collect();
        assert_eq!(said, expected, "a log for each that ran and for no other, in order: {executors:?}");
        let ran = std::fs::read_to_string(place(at)).unwrap_or_default();
        let started = codes.iter().enumerate().filter(|(_, code)| ![126, 127].contains(*code));
        let expected: String = started.map(|(at, _)| format!("{at}\n")).collect();
        assert_eq!(ran, expected, "{executors:?}");
    }
}

/// Neither a shell nor an entry point of the image comes between, and values arrive byte for byte.
pub async fn rule_12_2_a_command_is_argv_without_shell_or_entry_point(ground: &dyn Ground) {
    let of = |image: &str, command: &[&str]| Executor { image: format!("tessera-test/{image}:1"), ..exact(command) };
    let value = "a b\n$HOME `id` \"'\\ ä=";
    let mut env = of("scratch", &["/tool", "env", "VALUE"]);
    env.env = BTreeMap::from([("VALUE".to_owned(), value.to_owned())]);
    let executors = vec![
        // No shell and no `/tmp` in this image.
        of("scratch", &["/tool", "echo", "$HOME", "a  b", "*", ""]),
        of("scratch", &["tool", "echo", "found in PATH"]),
        env,
        // One whose entry point is `sh -c`.
        of("entrypoint", &["echo", "a;", "echo", "b"]),
        // One element, and no line that is split.
        of("busybox", &["pwd"]),
        Executor { ignore_error: true, ..of("busybox", &["echo hello"]) },
        of("nopath", &["/bin/busybox", "echo", "no PATH"]),
    ];
    let report = ground.run(job_of(executors)).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    let value = format!("{value}\n");
    let expected = ["$HOME a  b * \n", "found in PATH\n", &value, "a; echo b\n", "/\n", "", "no PATH\n"];
    assert_eq!(printed(&report), expected);
    assert_eq!(report.steps[5].exit_code, 127);
}

/// It counts as any failure does, and nothing is made in its place.
pub async fn rule_12_8_standard_input_that_is_missing_is_the_executors_failure(ground: &dyn Ground) {
    let reads = |ignore_error| Executor {
        stdin: Some("/shared/missing".into()),
        ignore_error,
        ..script_of("echo never > /shared/started")
    };
    let next = || script_of("ls /shared; echo next");
    let (failed, ignored) =
        tokio::join!(ground.run(job_of(vec![reads(FAILED), next()])), ground.run(job_of(vec![reads(IGNORED), next()])));
    let report = failed;
    assert_eq!(report.outcome, Outcome::ExecutorFailed { step: 0 }, "{report:#?}");
    assert_eq!(codes(&report), [1]);
    assert!(notes(&report).contains("standard input `/shared/missing` cannot be read"), "{}", notes(&report));

    let report = ignored;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[1].stdout_tail, "next\n", "neither made nor started");
}

/// A file of a stream holds what the last executor wrote to it; the log holds it, too.
pub async fn rule_12_9_streams_are_emptied_first_share_a_file_and_are_kept_apart(ground: &dyn Ground) {
    let to = |stdout: &str, stderr: &str, script| Executor {
        stdout: Some(stdout.into()),
        stderr: Some(stderr.into()),
        ..script_of(script)
    };
    let script = "echo out; echo err >&2; echo out again";
    let executors = vec![
        to("/shared/both", "/shared/both", "echo something much longer, of a former executor"),
        to("/shared/both", "/shared/both", script),
        to("/shared/out", "/shared/err", script),
        script_of("cat /shared/out /shared/err; wc -c < /shared/both; sort /shared/both"),
    ];
    let report = ground.run(job_of(executors)).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    for step in &report.steps[1..3] {
        assert_eq!((step.stdout_tail.as_str(), step.stderr_tail.as_str()), ("out\nout again\n", "err\n"));
    }
    // No byte of one stream lies over one of the other.
    assert_eq!(report.steps[3].stdout_tail, "out\nout again\nerr\n18\nerr\nout\nout again\n");
}

/// 137 is said to be memory only where the engine has seen it.
pub async fn rule_12_6_a_signal_is_told_and_the_memory_only_when_the_engine_says_so(ground: &dyn Ground) {
    let small = |scripts: &[&str]| {
        let mut job = job(scripts);
        job.plan.limits.ram_bytes = Some(32 << 20);
        job
    };
    // The command itself, or a process of a command that ends in another way.
    let hungry = "exec dd if=/dev/zero of=/dev/null bs=200M count=1";
    let of_hungry = "dd if=/dev/zero of=/dev/null bs=200M count=1; exit 2";
    // The kernel may take the shell as well, before the memory of the other is free again.
    let table = [(hungry, &[137][..], FAILED), (hungry, &[137], IGNORED), (of_hungry, &[2, 137], FAILED)];
    let of_hungry = table.iter().map(|(script, _, ignored)| {
        let mut job = small(&[script, "echo next"]);
        job.plan.executors[0].ignore_error = *ignored;
        ground.run(job)
    });
    let (killed, reports) = tokio::join!(ground.run(small(&["kill -9 $$"])), join_all(of_hungry));
    assert_eq!((&killed.outcome, killed.steps[0].exit_code), (&Outcome::ExecutorFailed { step: 0 }, 137));
    assert!(!notes(&killed).contains("memory"), "{}", notes(&killed));
    for ((_, codes, ignored), report) in table.iter().zip(&reports) {
        let expected = if *ignored { Outcome::Complete } else { Outcome::ExecutorFailed { step: 0 } };
        assert_eq!(report.outcome, expected, "{report:#?}");
        assert!(codes.contains(&report.steps[0].exit_code), "{report:#?}");
        // Of how much is not known where the kernel took the wrapper, too.
        let sentence = "executor 0 ran out of memory: it was killed at its limit";
        assert!(notes(report).contains(sentence), "{}", notes(report));
    }
}
