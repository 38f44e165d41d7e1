//! The task's file tree (TES contract §11).

use tessera_runtime::plan::{Executor, Input, Kind, Source};
use tessera_runtime::report::Outcome;

use super::Ground;
use super::jobs::{content, job, job_of, output, script_of};
use super::told::{fault, printed, read};

/// Volumes in outputs, inputs in volumes, paths that are input and output at once.
pub async fn rule_11_1_places_nest_and_overlap_in_any_way(ground: &dyn Ground) {
    let out = ground.folder().join("out");
    let first = Executor {
        workdir: Some("/work/output/volume".into()),
        stdout: Some("/work/output/volume/stdout".into()),
        ..script_of("cat input/given; echo more >> input/given; echo made > ../made")
    };
    let second = Executor {
        workdir: Some("/work".into()),
        stdin: Some("/work/output/volume/stdout".into()),
        ..script_of("cat; cat output/made output/volume/input/given > same; cat /same >> same")
    };
    let mut job = job_of(vec![first, second]);
    job.plan.volumes = vec!["/work/output/volume".into()];
    // An input inside the volume inside the output directory; paths that are input and output at once.
    job.plan.inputs = vec![content("/work/output/volume/input/given", "given\n"), content("/same", "both\n")];
    job.plan.outputs = vec![
        output("/work/output", &out.join("directory"), Some(Kind::Directory)),
        output("/work/output/volume/input/given", &out.join("given"), None),
        output("/work/same", &out.join("same"), Some(Kind::File)),
        output("/same", &out.join("untouched"), Some(Kind::File)),
    ];
    let report = ground.run(job).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[1].stdout_tail, "given\n", "the second executor reads what the first one wrote");
    assert_eq!(read(&out.join("given")), "given\nmore\n");
    assert_eq!(read(&out.join("directory/volume/input/given")), "given\nmore\n");
    assert_eq!(read(&out.join("directory/volume/stdout")), "given\n");
    assert_eq!(read(&out.join("same")), "made\ngiven\nmore\nboth\n");
    assert_eq!(read(&out.join("untouched")), "both\n");
}

/// Right below `/`, under names that no image knows.
pub async fn rule_11_1_places_at_the_root_and_of_any_name(ground: &dyn Ground) {
    let out = ground.folder().join("out");
    let directory = ground.folder().join("in");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("file"), "of a directory\n").unwrap();
    let first = Executor {
        stdout: Some("/stdout".into()),
        stderr: Some("/stderr".into()),
        workdir: Some("/aHBpzG".into()),
        ..script_of("cat /WVXZqd /qQbJvk/file; pwd >&2; echo result > /result; echo kept > kept")
    };
    let second = script_of("cat /stdout /stderr /result /aHBpzG/kept");
    let mut job = job_of(vec![first, second]);
    job.plan.inputs = vec![
        content("/WVXZqd", "at the root\n"),
        Input {
            path: "/qQbJvk".into(),
            source: Source::Url(directory.display().to_string()),
            kind: Some(Kind::Directory),
        },
    ];
    job.plan.outputs = vec![
        output("/stdout", &out.join("stdout"), Some(Kind::File)),
        output("/result", &out.join("result"), Some(Kind::File)),
    ];
    let report = ground.run(job).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(report.steps[1].stdout_tail, "at the root\nof a directory\n/aHBpzG\nresult\nkept\n");
    assert_eq!(read(&out.join("stdout")), "at the root\nof a directory\n");
    assert_eq!(read(&out.join("result")), "result\n");
}

/// Inputs and outputs lie among the files of the image.
pub async fn rule_11_2_nothing_of_the_image_is_hidden(ground: &dyn Ground) {
    let out = ground.folder().join("out");
    let images = "cat /opt/tool/data.txt /root/notes.txt /usr/share/tool/shared.txt /var/lib/tool/state.txt";
    let script = format!("tr a-z A-Z < /opt/tool/in.txt > /results/out.txt; echo o > /usr/share/tool/out; {images}");
    let mut job = job(&[&script]);
    job.plan.executors[0].workdir = Some("/root".into());
    job.plan.executors[0].stderr = Some("/var/lib/tool/stderr".into());
    job.plan.inputs = vec![content("/opt/tool/in.txt", "hello"), content("/root/in", "")];
    job.plan.outputs = vec![
        output("/results/out.txt", &out.join("out.txt"), None),
        output("/usr/share/tool/out", &out.join("usr"), Some(Kind::File)),
    ];
    let report = ground.run(job).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!((read(&out.join("out.txt")), read(&out.join("usr"))), ("HELLO".into(), "o\n".into()));
    let expected = "data of the image\nnotes of the image\nshared of the image\nstate of the image\n";
    assert_eq!(report.steps[0].stdout_tail, expected);
}

/// One where the image has files, too, and for a user that is not root.
pub async fn rule_11_3_volumes_start_empty_and_are_shared_and_writable(ground: &dyn Ground) {
    let list = "ls -a /v/one /opt/tool | grep -v '^\\.'; id -u > /v/one/mine; echo too > /opt/tool/mine";
    let mut job = job(&[list, "cat /v/one/mine /opt/tool/mine; echo again > /v/one/mine", "cat /v/one/mine"]);
    // The image has files in the second one.
    job.plan.volumes = vec!["/v/one".into(), "/opt/tool".into()];
    job.plan.limits.container_user = Some("12345".into());
    let report = ground.run(job).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(printed(&report), ["/opt/tool:\n\n/v/one:\n", "12345\ntoo\n", "again\n"]);
}

/// Work directories, parents of outputs and of streams, volumes.
pub async fn rule_11_4_what_is_named_is_there_and_writable_for_any_user(ground: &dyn Ground) {
    let out = ground.folder().join("out");
    let mut job = job(&["set -e; pwd; echo a > here; echo b > /r/deep/er/out; mkdir /v/d; echo c"]);
    job.plan.executors[0].workdir = Some("/w/deep".into());
    job.plan.executors[0].stdout = Some("/s/deep/stdout".into());
    job.plan.executors[0].stderr = Some("/e/deep/stderr".into());
    job.plan.volumes = vec!["/v".into()];
    job.plan.outputs = vec![
        output("/r/deep/er/out", &out.join("out"), Some(Kind::File)),
        output("/s/deep/stdout", &out.join("stdout"), Some(Kind::File)),
    ];
    job.plan.limits.container_user = Some("12345:54321".into());
    let report = ground.run(job).await;
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!((read(&out.join("out")), read(&out.join("stdout"))), ("b\n".into(), "/w/deep\nc\n".into()));
}

/// Instead of a command that fails for a reason nobody sees.
pub async fn rule_11_4_where_the_user_may_not_write_the_fault_names_the_path(ground: &dyn Ground) {
    let mut job = job(&["true"]);
    job.plan.executors[0].workdir = Some("/usr/not/mine".into());
    job.plan.limits.container_user = Some("12345".into());
    let report = ground.run(job).await;
    let fault = fault(&report);
    assert!(fault.message.contains("`/usr/not/mine`") && fault.message.contains("12345"), "{}", fault.message);
    assert!(!fault.user_code_started && report.steps.is_empty(), "{report:#?}");
}

/// Commands that make it themselves are not disturbed.
pub async fn rule_11_5_an_output_directory_is_made_only_where_nothing_covers_its_parent(ground: &dyn Ground) {
    let out = ground.folder().join("out");
    let mut job = job(&["set -e; echo a > /outputs/a; mkdir /work/outdir; echo b > /work/outdir/b; ls /work"]);
    job.plan.executors[0].workdir = Some("/work".into());
    job.plan.outputs = vec![
        output("/outputs", &out.join("one"), Some(Kind::Directory)),
        output("/work/outdir", &out.join("two"), Some(Kind::Directory)),
        // An output file is never there before the command made it.
        output("/work/file", &out.join("file"), Some(Kind::File)),
    ];
    let report = ground.run(job).await;
    let fault = fault(&report);
    assert!(fault.message.contains("`/work/file`"), "{}", fault.message);
    assert_eq!(report.steps[0].stdout_tail, "outdir\n", "{report:#?}");
    assert_eq!((read(&out.join("one/a")), read(&out.join("two/b"))), ("a\n".into(), "b\n".into()));
}

/// Two tasks at the same time do not meet in it.
pub async fn rule_11_6_tmp_is_empty_private_and_the_tasks_own(ground: &dyn Ground) {
    let out = ground.folder().join("out");
    let mine = "ls -A /tmp; mkdir /tmp/conda && echo mine > /tmp/conda/file";
    let mut as_workdir = job(&[mine, "cat conda/file /tmp/in; echo out > out"]);
    for executor in &mut as_workdir.plan.executors {
        executor.workdir = Some("/tmp".into());
    }
    as_workdir.plan.inputs = vec![content("/tmp/in", "in\n")];
    as_workdir.plan.outputs = vec![output("/tmp", &out, Some(Kind::Directory))];
    // Two tasks at once, any of which would see the other's directory.
    let other = job(&[mine, "cat /tmp/conda/file; ls -ld /tmp"]);
    let (report, of_other) = tokio::join!(ground.run(as_workdir), ground.run(other));
    assert_eq!(report.outcome, Outcome::Complete, "{report:#?}");
    assert_eq!(printed(&report), ["in\n", "mine\nin\n"]);
    assert_eq!((read(&out.join("conda/file")), read(&out.join("out"))), ("mine\n".into(), "out\n".into()));
    assert_eq!(of_other.outcome, Outcome::Complete, "{of_other:#?}");
    assert_eq!(of_other.steps[0].stdout_tail, "");
    assert!(of_other.steps[1].stdout_tail.starts_with("mine\ndrwxrwxrwt"), "{of_other:#?}");
}

/// Tools write where they are installed.
pub async fn rule_11_7_the_images_own_directories_are_writable(ground: &dyn Ground) {
    let script = "set -e; for at in / /usr/share /opt/tool /var/lib /root /etc; do echo x > $at/made; done; echo all";
    let report = ground.run(job(&[script])).await;
    assert_eq!(report.steps[0].stdout_tail, "all\n", "{report:#?}");
}
