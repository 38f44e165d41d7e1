#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::places::is_within;

fn executor() -> Executor {
    Executor {
        image: "i".into(),
        command: vec!["c".into()],
        workdir: None,
        env: Default::default(),
        stdin: None,
        stdout: None,
        stderr: None,
        ignore_error: false,
    }
}

fn plan() -> Plan {
    Plan {
        version: 1,
        job: "j".into(),
        inputs: vec![],
        executors: vec![executor()],
        outputs: vec![],
        volumes: vec![],
        limits: Default::default(),
        policy: Default::default(),
        storage: Default::default(),
    }
}

fn input(path: &str, kind: Option<Kind>) -> Input {
    Input { path: path.into(), source: Source::Url("/x".into()), kind }
}

fn output(path: &str, kind: Option<Kind>) -> Output {
    Output { path: path.into(), url: "/x".into(), path_prefix: None, kind }
}

fn pattern_output(path: &str) -> Output {
    Output { path_prefix: Some("/".into()), ..output(path, None) }
}

/// The mounts beside `/tmp`; a `*` marks those that need not be directories.
fn mounts(plan: &Plan) -> Vec<String> {
    (Layout::of(plan).unwrap().mounts.into_iter())
        .inspect(|mount| assert_eq!(mount.container[1..], mount.tree))
        .filter(|mount| mount.container != "/tmp")
        .map(|mount| format!("{}{}", mount.container, if mount.directory { "" } else { "*" }))
        .collect()
}

const FILE: Option<Kind> = Some(Kind::File);
const DIRECTORY: Option<Kind> = Some(Kind::Directory);

#[test]
fn rule_11_6_tmp_is_always_mounted() {
    let layout = Layout::of(&plan()).unwrap();
    assert_eq!(layout.mounts.len(), 1);
    assert_eq!(layout.mounts[0].container, "/tmp");
    assert_eq!(layout.directories, ["/tmp"]);
}

#[test]
fn rule_11_2_inputs_hide_nothing() {
    for (path, kind, expected) in [
        ("/data/a/in.txt", FILE, "/data/a"),
        ("/data/a/in.txt", None, "/data/a"),
        ("/in.txt", FILE, "/in.txt*"),
        ("/aHBpzG", None, "/aHBpzG*"),
        ("/opt/x/in.txt", FILE, "/opt/x/in.txt*"),
        ("/optional/in.txt", FILE, "/optional"),
        ("/etc/passwd", FILE, "/etc/passwd*"),
        ("/data/db", DIRECTORY, "/data/db"),
        ("/db", DIRECTORY, "/db"),
        ("/opt/db/", DIRECTORY, "/opt/db"),
        ("/root/db", None, "/root/db*"),
    ] {
        let plan = Plan { inputs: vec![input(path, kind)], ..plan() };
        assert_eq!(mounts(&plan), [expected], "{path}");
        let step = Layout::of(&plan).unwrap().step_file(&plan, 0);
        assert!(step.lay_in.is_empty() && step.harvest.is_empty(), "{path}");
    }
}

#[test]
fn rule_11_2_an_input_at_an_image_root_is_laid_in() {
    for kind in [DIRECTORY, None] {
        let plan = Plan { inputs: vec![input("/root", kind)], ..plan() };
        assert!(mounts(&plan).is_empty());
        let step = Layout::of(&plan).unwrap().step_file(&plan, 0);
        assert_eq!(step.lay_in, ["/root"]);
    }
}

#[test]
fn content_is_a_file_whatever_it_was_called() {
    let plan =
        Plan { inputs: vec![Input { source: Source::Content(String::new()), ..input("/opt/x", DIRECTORY) }], ..plan() };
    assert_eq!(mounts(&plan), ["/opt/x*"]);
}

#[test]
fn rule_11_2_outputs_hide_nothing() {
    let whole = |path: &str| vec![Harvest::Whole(path.into())];
    for (output, mounted, harvest) in [
        (output("/w/out.txt", FILE), Some("/w"), vec![]),
        (output("/w/out.txt", None), Some("/w"), vec![]),
        (output("/out.txt", FILE), None, whole("/out.txt")),
        (output("/opt/x/o", FILE), None, whole("/opt/x/o")),
        (output("/root", DIRECTORY), None, whole("/root")),
        (output("/opt/d", DIRECTORY), None, whole("/opt/d")),
        (output("/outputs", DIRECTORY), Some("/outputs"), vec![]),
        (output("/w/outputs/", DIRECTORY), Some("/w/outputs"), vec![]),
        (pattern_output("/w/*.txt"), Some("/w"), vec![]),
        (pattern_output("/w/a?/b/*.txt"), Some("/w"), vec![]),
        (pattern_output("/*.txt"), None, vec![Harvest::Matches("/*.txt".into())]),
        (pattern_output("/opt/o/*"), None, vec![Harvest::Matches("/opt/o/*".into())]),
        // Without a prefix a bracket is a bracket.
        (output("/opt/o[1]", FILE), None, whole("/opt/o[1]")),
    ] {
        let path = output.path.clone();
        let plan = Plan { outputs: vec![output], ..plan() };
        assert_eq!(mounts(&plan), Vec::from_iter(mounted), "{path}");
        let step = Layout::of(&plan).unwrap().step_file(&plan, 0);
        assert_eq!(step.harvest, harvest, "{path}");
        assert_eq!(step.lay_in.is_empty(), harvest.is_empty(), "{path}");
    }
}

#[test]
fn rule_11_5_an_output_directory_is_made_only_when_nothing_else_covers_its_parent() {
    let alone = Plan { outputs: vec![output("/work/out", DIRECTORY)], ..plan() };
    let layout = Layout::of(&alone).unwrap();
    assert!(layout.directories.contains(&"/work/out".to_owned()));

    let covered = Plan { executors: vec![Executor { workdir: Some("/work".into()), ..executor() }], ..alone };
    let layout = Layout::of(&covered).unwrap();
    assert!(!layout.directories.contains(&"/work/out".to_owned()));
    assert!(layout.directories.contains(&"/work".to_owned()));
    assert_eq!(mounts(&covered), ["/work"]);

    let nested = Plan { outputs: vec![output("/o/in", DIRECTORY), output("/o", DIRECTORY)], ..plan() };
    assert_eq!(Layout::of(&nested).unwrap().directories, ["/o", "/tmp"]);
}

#[test]
fn rule_11_4_and_11_5_an_output_file_is_never_made_and_its_parent_always() {
    let plan = Plan { inputs: vec![input("/w/in", FILE)], outputs: vec![output("/w/deep/er/out.txt", FILE)], ..plan() };
    let layout = Layout::of(&plan).unwrap();
    assert_eq!(layout.directories, ["/tmp", "/w", "/w/deep/er"]);
    assert_eq!(mounts(&plan), ["/w"]);
}

#[test]
fn rule_11_3_volumes_are_mounted_exactly_wherever_they_are() {
    let plan = Plan {
        volumes: vec!["/opt/v".into(), "/v/a".into(), "/v".into(), "/var/lib/x/".into()],
        inputs: vec![input("/v/a/in", FILE), input("/opt/v/in", FILE)],
        outputs: vec![output("/opt/v/out", FILE)],
        ..plan()
    };
    assert_eq!(mounts(&plan), ["/opt/v", "/v", "/var/lib/x"]);
    let step = Layout::of(&plan).unwrap().step_file(&plan, 0);
    assert!(step.harvest.is_empty());
}

#[test]
fn rule_11_1_streams_reach_the_executors_after_them() {
    let with = |stdout: &str| Plan {
        executors: vec![Executor { stdout: Some(stdout.into()), ..executor() }, executor()],
        ..plan()
    };
    let offered = |plan: &Plan, index| Layout::of(plan).unwrap().step_file(plan, index).offer;

    assert_eq!(mounts(&with("/w/log/out")), ["/w/log"]);
    assert!(offered(&with("/w/log/out"), 1).is_empty());

    let top = with("/stdout");
    assert!(mounts(&top).is_empty());
    assert!(offered(&top, 0).is_empty(), "its own stream is not laid in");
    assert_eq!(offered(&top, 1), ["/stdout"]);

    let device = with("/dev/null");
    assert!(mounts(&device).is_empty());
    assert!(offered(&device, 1).is_empty());
}

#[test]
fn rule_11_1_workdirs_reach_the_executors_after_them() {
    let with = |workdir: &str, executors: usize| Plan {
        executors: vec![Executor { workdir: Some(workdir.into()), ..executor() }; executors],
        ..plan()
    };
    assert_eq!(mounts(&with("/work/", 1)), ["/work"]);
    for (workdir, executors, harvest) in [
        ("/root/w", 1, vec![]),
        ("/root/w", 2, vec![Harvest::Changes("/root/w".into())]),
        ("/", 2, vec![]),
        ("/proc/1", 2, vec![]),
    ] {
        let plan = with(workdir, executors);
        assert!(mounts(&plan).is_empty(), "{workdir}");
        let step = Layout::of(&plan).unwrap().step_file(&plan, 0);
        assert_eq!(step.harvest, harvest, "{workdir}");
        assert_eq!(step.workdir.as_deref(), Some(workdir));
    }
}

#[test]
fn rule_11_1_one_tree_backs_what_nests() {
    // An input that may be a directory, a volume in it, an output in that; the same path in and out.
    let plan = Plan {
        inputs: vec![input("/opt/db", None), input("/s", FILE)],
        volumes: vec!["/opt/db/v".into()],
        outputs: vec![output("/opt/db/v/o", FILE), output("/s", FILE)],
        ..plan()
    };
    assert_eq!(mounts(&plan), ["/opt/db*", "/s*"]);
    assert!(Layout::of(&plan).unwrap().step_file(&plan, 0).harvest.is_empty());
}

#[test]
fn rule_11_2_the_root_itself_and_what_is_not_the_tasks_cannot_be_laid_out() {
    let of = |input_path: &str| Layout::of(&Plan { inputs: vec![input(input_path, None)], ..plan() }).unwrap_err();
    assert_eq!(of("/"), LayoutError::Root);
    assert_eq!(of("/./"), LayoutError::Root);
    assert_eq!(of("x"), LayoutError::NotAbsolute("x".into()));
    assert_eq!(of("/a/../b"), LayoutError::NotAbsolute("/a/../b".into()));
    assert_eq!(of("/.tessera/x"), LayoutError::Reserved("/.tessera/x".into()));
    assert_eq!(of("/dev/shm/x"), LayoutError::Kernel("/dev/shm/x".into()));
    assert_eq!(of("/sys"), LayoutError::Kernel("/sys".into()));
}

fn a_path() -> impl Strategy<Value = String> {
    let component = prop::sample::select(vec!["a", "b", "opt", "root", "tmp", "usr", "optional", "lib", "x y", ".h"]);
    prop::collection::vec(component, 1..5).prop_map(|parts| format!("/{}", parts.join("/")))
}

fn a_kind() -> impl Strategy<Value = Option<Kind>> {
    prop::sample::select(vec![FILE, DIRECTORY, None])
}

proptest! {
    #[test]
    fn rule_11_1_and_11_2_nothing_is_hidden_and_everything_is_reached(
        inputs in prop::collection::vec((a_path(), a_kind()), 0..5),
        outputs in prop::collection::vec((a_path(), a_kind()), 0..5),
        workdir in prop::option::of(a_path()),
        stdout in prop::option::of(a_path()),
        volumes in prop::collection::vec(a_path(), 0..3),
    ) {
        let plan = Plan {
            inputs: inputs.iter().map(|(path, kind)| input(path, *kind)).collect(),
            outputs: outputs.iter().map(|(path, kind)| output(path, *kind)).collect(),
            executors: vec![Executor { workdir: workdir.clone(), stdout: stdout.clone(), ..executor() }, executor()],
            volumes: volumes.clone(),
            ..plan()
        };
        let layout = Layout::of(&plan).unwrap();
        let step = layout.step_file(&plan, 1);
        let mounted = |path: &str| layout.mounts.iter().any(|mount| is_within(path, &mount.container));

        // No mount hides an image's own directory, unless a volume names it.
        for mount in &layout.mounts {
            prop_assert!(!is_image_root(&mount.container) || volumes.contains(&mount.container));
        }
        // No mount lies in another, and every mounted directory is there beforehand.
        for (at, mount) in layout.mounts.iter().enumerate() {
            for (other_at, other) in layout.mounts.iter().enumerate() {
                prop_assert!(at == other_at || !is_within(&mount.container, &other.container));
            }
            prop_assert!(!mount.directory || layout.directories.contains(&mount.container));
        }
        // Every declared path is reached: mounted, or laid in, or harvested.
        for (path, _) in &inputs {
            prop_assert!(mounted(path) || step.lay_in.contains(path));
        }
        for (path, kind) in &outputs {
            let harvested = step.harvest.contains(&Harvest::Whole(path.clone()));
            prop_assert!(mounted(path) != harvested);
            // Never made beforehand when it is a file, unless something else needs a directory there.
            if *kind == FILE && layout.directories.contains(path) {
                let needs = |other: &String| is_within(other, path);
                prop_assert!(
                    inputs.iter().any(|(other, _)| needs(other))
                        || outputs.iter().any(|(other, kind)| needs(other) && (other != path || *kind == DIRECTORY))
                        || volumes.iter().any(needs) || workdir.iter().any(needs) || stdout.iter().any(needs)
                        || path == "/tmp"
                );
            }
        }
        for path in workdir.iter().chain(&stdout) {
            prop_assert!(mounted(path) || step.offer.contains(path) || step.lay_in.contains(path));
        }
        for path in &volumes {
            prop_assert!(mounted(path));
        }
        // Parents come first.
        for (at, directory) in layout.directories.iter().enumerate() {
            for earlier in &layout.directories[..at] {
                prop_assert!(!is_within(earlier, directory));
            }
        }
    }
}
