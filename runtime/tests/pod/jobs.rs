//! Ordinary jobs, and what they say.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitStatus;

use serde_json::json;
use tessera_runtime::frames::{self, Stream};
use tessera_runtime::pod::words::Record;
use tessera_runtime::report::{FaultClass, Outcome};
use tessera_runtime::step::{MARK, exit};

use crate::scene::{Pod, RUNS, codes, of_lines, records, whole};

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
fn a_report_without_a_plan_still_says_whose_it_is() {
    let mut pod = Pod::new(&["true"], json!({}));
    fs::write(pod.at("plan/plan.json"), "{").unwrap();
    assert_eq!(pod.stage_in(), 1);
    assert_eq!(pod.report().job, "t-of-the-pod");
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
