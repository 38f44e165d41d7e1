//! What a disk, a wrapper or a command does to stage-out.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use tessera_runtime::frames::{self, Stream};
use tessera_runtime::report::Outcome;
use tessera_runtime::step::exit;

use crate::scene::{Pod, codes, of_lines, wait_for, whole};

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
