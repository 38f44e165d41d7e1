//! The wrapper as a process: one that is not process 1, which is the harder case for ending what is left.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tessera_runtime::frames::{self, Stream};
use tessera_runtime::step::{BELL, FRAMES, MARK, RECORD, STEP_FILE, STEP_VERSION, StepEnd, StepFile, StepRecord, exit};

struct Job {
    around: tempfile::TempDir,
}

struct Done {
    code: i32,
    record: Option<StepRecord>,
}

impl Job {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        std::fs::create_dir(around.path().join("tree")).unwrap();
        std::fs::create_dir(around.path().join("step")).unwrap();
        Self { around }
    }

    fn tree(&self, path: &str) -> PathBuf {
        self.around.path().join("tree").join(path)
    }

    fn step(&self, name: &str) -> PathBuf {
        self.around.path().join("step").join(name)
    }

    fn start(&self, step: &StepFile) -> Child {
        std::fs::write(self.step(STEP_FILE), serde_json::to_vec(step).unwrap()).unwrap();
        Command::new(env!("CARGO_BIN_EXE_tessera-runtime"))
            .arg("exec")
            .args([self.step(""), self.tree("")])
            .env("FROM_IMAGE", "image")
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn finish(&self, mut child: Child) -> Done {
        let code = child.wait().unwrap().code().unwrap();
        let record = std::fs::read(self.step(RECORD)).ok();
        Done { code, record: record.map(|record| StepRecord::read(&record).unwrap()) }
    }

    fn run(&self, step: &StepFile) -> Done {
        self.finish(self.start(step))
    }

    fn printed(&self, stream: Stream) -> String {
        let frames = File::open(self.step(FRAMES)).unwrap();
        let chunk = frames::read(&frames, stream, 0, usize::MAX).unwrap();
        String::from_utf8(chunk.bytes).unwrap()
    }
}

fn step(command: &[&str]) -> StepFile {
    StepFile {
        version: STEP_VERSION,
        step: 0,
        command: command.iter().map(|&word| word.to_owned()).collect(),
        env: Default::default(),
        workdir: None,
        stdin: None,
        stdout: None,
        stderr: None,
        mounted: vec![],
        lay_in: vec![],
        offer: vec![],
        harvest: vec![],
        log_cap_bytes: 1 << 20,
        stop_grace_ms: 60_000,
        in_turn: false,
    }
}

fn sh(script: &str) -> StepFile {
    step(&["sh", "-c", script])
}

/// The exit code and signal of a step that ran.
fn exited(done: &Done) -> (i32, Option<i32>) {
    match &done.record.as_ref().unwrap().end {
        StepEnd::Exited { code, signal } => {
            assert_eq!(done.code, *code);
            (*code, *signal)
        }
        StepEnd::Fault { message, .. } => panic!("{message}"),
    }
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn rule_12_2_a_command_its_streams_and_its_environment() {
    let job = Job::new();
    let value = "$HOME \"x\" \\ \n ä ";
    let mut step = sh("printf '%s|%s' \"$A\" \"$FROM_IMAGE\"; echo oops >&2; exit 3");
    step.env.insert("A".into(), value.into());
    let done = job.run(&step);
    assert_eq!(exited(&done), (3, None));
    assert_eq!(job.printed(Stream::Stdout), format!("{value}|image"));
    assert_eq!(job.printed(Stream::Stderr), "oops\n");
    assert!(job.step(MARK).exists());
    let record = done.record.unwrap();
    assert!(!record.stopped && record.notes.is_empty());
    assert!(record.started <= record.ended);
    assert!(record.usage.peak_memory_bytes > 0);
}

#[test]
fn a_command_starts_with_nothing_blocked_or_ignored() {
    let job = Job::new();
    job.run(&sh("grep -E 'SigBlk|SigIgn' /proc/self/status"));
    // HUP, INT, QUIT, PIPE, TERM, CHLD: what a wrapper may have changed. The rest is inherited from outside.
    const OURS: u64 = 0x1_5007;
    for line in job.printed(Stream::Stdout).lines() {
        let (_, mask) = line.split_once('\t').unwrap();
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & OURS, 0, "{line}");
    }
}

#[test]
fn rule_12_4_and_12_6_ends_that_are_not_an_exit() {
    for (step, expected) in [
        (sh("kill -9 $$"), (137, Some(9))),
        (sh("kill -15 $$"), (143, Some(15))),
        (step(&["no-such-program"]), (127, None)),
        (step(&["/no/such/program"]), (127, None)),
        (step(&["/etc/passwd"]), (126, None)),
        (step(&["/"]), (126, None)),
    ] {
        let job = Job::new();
        let done = job.run(&step);
        assert_eq!(exited(&done), expected, "{:?}", step.command);
        if expected.1.is_none() {
            let reason = job.printed(Stream::Stderr);
            assert!(reason.contains(&step.command[0]), "{reason}");
            assert!(done.record.unwrap().notes[0].contains(&step.command[0]));
        }
    }
}

#[test]
fn rule_12_4_a_script_without_its_interpreter_is_there_but_cannot_be_executed() {
    let job = Job::new();
    let script = job.tree("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let done = job.run(&step(&[script.to_str().unwrap()]));
    assert_eq!(exited(&done), (126, None));
}

#[test]
fn rule_12_9_stream_files_lie_in_the_tree_and_are_emptied_first() {
    let job = Job::new();
    std::fs::create_dir(job.tree("d")).unwrap();
    std::fs::write(job.tree("d/out"), "a longer text of an earlier step").unwrap();
    let step =
        StepFile { stdout: Some("/d/out".into()), stderr: Some("/new/err".into()), ..sh("echo out; echo err >&2") };
    assert_eq!(exited(&job.run(&step)), (0, None));
    assert_eq!(std::fs::read_to_string(job.tree("d/out")).unwrap(), "out\n");
    assert_eq!(std::fs::read_to_string(job.tree("new/err")).unwrap(), "err\n");
    assert_eq!(job.printed(Stream::Stdout), "out\n");
    assert_eq!(job.printed(Stream::Stderr), "err\n");
}

#[test]
fn rule_12_9_one_path_for_both_streams_is_one_file() {
    let job = Job::new();
    let step = StepFile { stdout: Some("/both".into()), stderr: Some("/both".into()), ..sh("echo out; echo err >&2") };
    job.run(&step);
    let both = std::fs::read_to_string(job.tree("both")).unwrap();
    assert!(both.contains("out\n") && both.contains("err\n") && both.len() == 8, "{both:?}");
    assert_eq!(job.printed(Stream::Stderr), "err\n");
}

#[test]
fn rule_12_8_standard_input_is_opened_and_never_made() {
    let job = Job::new();
    std::fs::write(job.tree("in"), "from the tree").unwrap();
    let reads = |path: &str| StepFile { stdin: Some(path.into()), ..step(&["cat"]) };
    assert_eq!(exited(&job.run(&reads("/in"))), (0, None));
    assert_eq!(job.printed(Stream::Stdout), "from the tree");
    assert_eq!(std::fs::read_to_string(job.tree("in")).unwrap(), "from the tree");

    let job = Job::new();
    assert_eq!(exited(&job.run(&reads("/dev/null"))), (0, None));

    // TES contract 12.8.
    let job = Job::new();
    let done = job.run(&reads("/missing"));
    assert_eq!(exited(&done), (1, None));
    assert!(done.record.unwrap().notes[0].contains("/missing"));
    assert!(!job.tree("missing").exists());

    // Without a writer a FIFO is empty, and nobody waits for one.
    let job = Job::new();
    fifo(&job.step("fifo"));
    assert_eq!(exited(&job.run(&reads(job.step("fifo").to_str().unwrap()))), (0, None));
}

#[test]
fn the_mark_refuses_a_second_start() {
    let job = Job::new();
    let step = StepFile { stdout: Some("/out".into()), ..sh("echo once") };
    job.run(&step);
    std::fs::remove_file(job.step(RECORD)).unwrap();
    let again = job.run(&StepFile { command: vec!["sh".into(), "-c".into(), "echo twice".into()], ..step });
    assert_eq!(again.code, exit::MARKED);
    assert!(again.record.is_none());
    assert_eq!(std::fs::read_to_string(job.tree("out")).unwrap(), "once\n");
}

#[test]
fn a_background_process_holds_nothing_up() {
    let job = Job::new();
    let done = job.run(&sh("sleep 1000 & sleep 1000 & echo started"));
    assert_eq!(exited(&done), (0, None));
    assert_eq!(job.printed(Stream::Stdout), "started\n");

    // One that has left the group and keeps the pipe can only be killed by process 1, and is not waited for.
    let job = Job::new();
    let done = job.run(&sh("setsid sh -c 'echo $$; exec sleep 1000' & echo started"));
    assert_eq!(exited(&done), (0, None));
    for word in job.printed(Stream::Stdout).split_whitespace() {
        if word.parse::<u32>().is_ok() {
            Command::new("kill").args(["-9", word]).status().unwrap();
        }
    }
}

/// Starts a step whose script opens a FIFO when it is ready, and asks the wrapper to stop then.
fn stopped(step: StepFile) -> (Job, Done) {
    let job = Job::new();
    fifo(&job.tree("ready"));
    let mut step = step;
    step.env.insert("READY".into(), job.tree("ready").to_string_lossy().into_owned());
    let child = job.start(&step);
    File::open(job.tree("ready")).unwrap().read_to_end(&mut Vec::new()).unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    let done = job.finish(child);
    (job, done)
}

#[test]
fn a_stop_is_passed_on() {
    let (_, done) = stopped(sh(": > $READY; exec sleep 1000"));
    assert_eq!(exited(&done), (143, Some(15)));
    assert!(done.record.unwrap().stopped);

    let trap = sh("trap 'echo bye; exit 7' TERM; : > $READY; while true; do sleep 0.01; done");
    let (job, done) = stopped(trap);
    assert_eq!(exited(&done), (7, None));
    assert_eq!(job.printed(Stream::Stdout), "bye\n");
}

#[test]
fn who_ignores_a_stop_is_killed() {
    let (_, done) =
        stopped(StepFile { stop_grace_ms: 50, ..sh("trap '' TERM; : > $READY; while true; do sleep 0.01; done") });
    assert_eq!(exited(&done), (137, Some(9)));
    assert!(done.record.unwrap().stopped);
}

#[test]
fn much_output_is_capped_but_its_file_is_whole() {
    let job = Job::new();
    let step = StepFile {
        stdout: Some("/out".into()),
        log_cap_bytes: 1000,
        ..sh("yes 123456789 | head -c 3000000; echo; echo end")
    };
    assert_eq!(exited(&job.run(&step)), (0, None));
    assert_eq!(std::fs::metadata(job.tree("out")).unwrap().len(), 3_000_005);
    let frames = File::open(job.step(FRAMES)).unwrap();
    assert!(frames.metadata().unwrap().len() < 100_000);
    assert!(frames::tail(&frames, Stream::Stdout, 100).unwrap().text.ends_with("\nend\n"));
    let head = frames::read(&frames, Stream::Stdout, 0, usize::MAX).unwrap();
    assert_eq!(head.bytes.len(), 1000);
    assert!(head.dropped > 2_900_000);
}

#[test]
fn rule_11_4_a_working_directory_is_made() {
    let job = Job::new();
    let workdir = job.tree("deep/er").to_string_lossy().into_owned();
    let step = StepFile { workdir: Some(workdir.clone()), ..step(&["pwd"]) };
    job.run(&step);
    assert_eq!(job.printed(Stream::Stdout).trim_end(), workdir);
}

#[test]
fn rule_12_7_what_cannot_be_prepared_is_a_fault_that_names_the_path() {
    let job = Job::new();
    std::fs::write(job.tree("file"), "").unwrap();
    let below_file = job.tree("file/below").to_string_lossy().into_owned();
    for step in [
        StepFile { workdir: Some(below_file.clone()), ..sh("true") },
        StepFile { stdout: Some("/file/below".into()), ..sh("true") },
    ] {
        let done = job.run(&step);
        assert_eq!(done.code, exit::WRAPPER);
        match done.record.unwrap().end {
            StepEnd::Fault { message, command_started } => {
                assert!(message.contains("file/below"), "{message}");
                assert!(!command_started);
            }
            StepEnd::Exited { code, .. } => panic!("exited with {code}"),
        }
        assert!(!job.step(MARK).exists());
    }
}

#[test]
fn the_bell_rings_at_the_start_and_at_the_end() {
    let job = Job::new();
    fifo(&job.step(BELL));
    let listener = {
        let bell = job.step(BELL);
        let mut open = File::options();
        // Held for writing too, so that opening does not wait and reading has no end.
        let mut bell = open.read(true).write(true).open(bell).unwrap();
        std::thread::spawn(move || bell.read_exact(&mut [0; 2]).unwrap())
    };
    job.run(&sh("true"));
    listener.join().unwrap();
}

#[test]
fn without_a_step_there_is_nothing_to_do() {
    let job = Job::new();
    std::fs::remove_dir(job.step("")).unwrap();
    let mut wrapper = Command::new(env!("CARGO_BIN_EXE_tessera-runtime"));
    let output = wrapper.arg("exec").arg(job.step("")).output().unwrap();
    assert_eq!(output.status.code(), Some(exit::WRAPPER));
    assert!(String::from_utf8_lossy(&output.stderr).contains("step"));
}
