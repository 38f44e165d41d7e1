#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::*;
use crate::report::FaultClass;
use crate::storage::settings::Storage;

/// A shared directory of the host, and a tree.
struct House {
    _around: tempfile::TempDir,
    shared: PathBuf,
    tree: Tree,
}

fn house() -> House {
    let around = tempfile::tempdir().unwrap();
    let (shared, tree) = (around.path().join("shared"), around.path().join("tree"));
    for directory in [&shared, &tree, &shared.join("private"), &around.path().join("other")] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::write(shared.join("private/key"), "secret").unwrap();
    std::fs::write(around.path().join("other/key"), "secret").unwrap();
    House { tree: Tree::open(&tree).unwrap(), shared, _around: around }
}

impl House {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.shared.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn plan(&self, inputs: Vec<Input>) -> Plan {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let plan = br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#;
        Plan {
            inputs,
            storage: Storage {
                file_roots: vec![text(self.shared.clone())],
                file_forbidden: vec![text(self.shared.join("private"))],
                ..Storage::default()
            },
            ..Plan::read(plan).unwrap()
        }
    }

    fn bring(&self, inputs: Vec<Input>) -> Result<Vec<String>, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(bring_in(&self.plan(inputs), &self.tree, None)).map(|brought| brought.notes)
    }

    fn in_tree(&self, path: &str) -> PathBuf {
        self.tree.path().join(&path[1..])
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.in_tree(path)).unwrap()
    }

    /// No temporary name is left anywhere.
    fn no_parts(&self) {
        let mut open = vec![self.tree.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                assert!(!entry.file_name().to_string_lossy().starts_with(PART));
                if entry.file_type().unwrap().is_dir() {
                    open.push(entry.path());
                }
            }
        }
    }
}

fn url(path: &str, url: impl Into<String>) -> Input {
    Input { path: path.into(), source: Source::Url(url.into()), kind: None }
}

fn file_url(path: &Path) -> String {
    format!("file://{}", path.display())
}

#[test]
fn rule_9_1_and_9_11_and_9_9_content_and_private_copies_with_their_times() {
    let house = house();
    let source = house.write("a/in.txt", "hello");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::open(&source).unwrap().set_modified(old).unwrap();
    let inputs = vec![
        Input { source: Source::Content("text ä".into()), ..url("/data/content", "") },
        Input { source: Source::Content(String::new()), ..url("/data/nothing", "") },
        url("/data/deep/er/in.txt", file_url(&source)),
        url("/opt/in.txt", source.to_string_lossy()),
    ];
    // Twice, as after a crash.
    for _ in 0..2 {
        assert_eq!(house.bring(inputs.clone()).unwrap(), Vec::<String>::new());
        assert_eq!(house.read("/data/content"), "text ä");
        assert_eq!(house.read("/data/nothing"), "");
        assert_eq!(house.read("/data/deep/er/in.txt"), "hello");
        assert_eq!(house.read("/opt/in.txt"), "hello");
        house.no_parts();
    }
    let meta = std::fs::metadata(house.in_tree("/opt/in.txt")).unwrap();
    assert_eq!(meta.modified().unwrap(), old, "TES contract 9.11");
    assert_eq!(meta.permissions().mode() & 0o666, 0o666);
    assert_eq!(meta.nlink(), 1);
    // A private copy (TES contract 9.9).
    std::fs::write(house.in_tree("/opt/in.txt"), "changed").unwrap();
    assert_eq!(std::fs::read_to_string(source).unwrap(), "hello");
}

#[test]
fn rule_9_2_and_9_3_a_url_is_encoded_or_raw_and_the_raw_name_goes_first() {
    let house = house();
    house.write("a b", "decoded");
    house.write("100%", "percent");
    house.write("a?b#c", "marks");
    let brought = |name: &str| {
        let from = url("/in", format!("file://{}/{name}", house.shared.display()));
        house.bring(vec![from]).unwrap();
        house.read("/in")
    };
    assert_eq!(brought("a%20b"), "decoded");
    assert_eq!(brought("a b"), "decoded");
    assert_eq!(brought("100%"), "percent");
    assert_eq!(brought("100%25"), "percent");
    // In a file's URL these begin neither a query nor a fragment.
    assert_eq!(brought("a?b#c"), "marks");
    assert_eq!(brought("a%3Fb%23c"), "marks");
    house.write("a%20b", "raw");
    assert_eq!(brought("a%20b"), "raw");
    assert_eq!(brought("a b"), "decoded");
    // A bare path is what it is.
    std::fs::remove_file(house.shared.join("a%20b")).unwrap();
    let bare = url("/in", format!("{}/a%20b", house.shared.display()));
    assert!(house.bring(vec![bare]).unwrap_err().message.contains("No such file"));
}

#[test]
fn rule_9_11_files_of_a_directory_keep_their_times_too() {
    let house = house();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for name in ["d/a", "d/sub/b"] {
        std::fs::File::open(house.write(name, name)).unwrap().set_modified(old).unwrap();
    }
    house.bring(vec![url("/in", file_url(&house.shared.join("d")))]).unwrap();
    for path in ["/in/a", "/in/sub/b"] {
        assert_eq!(std::fs::metadata(house.in_tree(path)).unwrap().modified().unwrap(), old, "{path}");
    }
}

#[test]
fn rule_9_4_and_9_5_a_directory_whatever_it_was_called() {
    let house = house();
    house.write("d/a", "a");
    house.write("d/sub/b", "b");
    house.write("dd/not", "not");
    symlink("a", house.shared.join("d/inside")).unwrap();
    symlink(house.shared.join("dd"), house.shared.join("d/followed")).unwrap();
    symlink("../../other/key", house.shared.join("d/outside")).unwrap();
    symlink("..", house.shared.join("d/around")).unwrap();
    symlink("nowhere", house.shared.join("d/dangling")).unwrap();
    let fifo = house.shared.join("d/fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    for (at, kind) in [(0, None), (1, Some(Kind::File)), (2, Some(Kind::Directory))] {
        let input = Input { kind, ..url(&format!("/in{at}"), format!("{}/", file_url(&house.shared.join("d")))) };
        let notes = house.bring(vec![input]).unwrap();
        assert_eq!(house.read(&format!("/in{at}/a")), "a");
        assert_eq!(house.read(&format!("/in{at}/sub/b")), "b");
        assert_eq!(house.read(&format!("/in{at}/inside")), "a");
        assert_eq!(house.read(&format!("/in{at}/followed/not")), "not");
        assert!(!house.in_tree(&format!("/in{at}/outside")).exists());
        assert!(!house.in_tree(&format!("/in{at}/fifo")).exists());
        for left_out in ["outside", "around", "fifo"] {
            assert!(notes.iter().any(|note| note.contains(left_out)), "{notes:?}");
        }
        assert!(!notes.concat().contains("secret"));
    }
}

#[test]
fn rule_9_6_and_9_7_what_may_not_be_read_is_refused() {
    let house = house();
    symlink(house.shared.join("../other/key"), house.shared.join("link")).unwrap();
    symlink("private", house.shared.join("hidden")).unwrap();
    let shared = house.shared.display().to_string();
    for (path, words) in [
        (format!("{shared}/../other/key"), "outside"),
        (format!("file://{shared}/%2e%2e/other/key"), "outside"),
        (format!("{shared}/link"), "outside"),
        (format!("{shared}/private/key"), "no task may use"),
        (format!("{shared}/hidden/key"), "no task may use"),
        (format!("{shared}/private"), "no task may use"),
        ("/".into(), "outside"),
        ("/proc/self/environ".into(), "outside"),
        (format!("{shared}2"), "No such file"),
        (format!("{shared}/missing"), "No such file"),
        ("gopher://bucket/key".into(), "there is no storage for `gopher:`"),
    ] {
        let fault = house.bring(vec![url("/in", path.clone())]).unwrap_err();
        assert_eq!(fault.class, FaultClass::Rejected, "{path}");
        assert!(fault.message.contains(words), "{}", fault.message);
        assert!(!fault.user_code_started);
        assert!(!house.in_tree("/in").exists());
    }
}

#[test]
fn rule_9_7_a_forbidden_directory_is_left_out_of_what_surrounds_it() {
    let house = house();
    house.write("open", "open");
    symlink("private", house.shared.join("hidden")).unwrap();
    let notes = house.bring(vec![url("/in", file_url(&house.shared))]).unwrap();
    assert_eq!(house.read("/in/open"), "open");
    assert!(!house.in_tree("/in/private").exists());
    assert!(!house.in_tree("/in/hidden").join("key").exists());
    assert!(notes.concat().contains("private"), "{notes:?}");
}

#[test]
fn a_file_is_no_directory_and_a_fifo_is_neither() {
    let house = house();
    let file = house.write("file", "x");
    let fifo = house.shared.join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let as_directory = Input { kind: Some(Kind::Directory), ..url("/in", file_url(&file)) };
    for (input, words) in
        [(as_directory, "is a file, not a directory"), (url("/in", file_url(&fifo)), "neither a file nor a directory")]
    {
        let fault = house.bring(vec![input]).unwrap_err();
        assert_eq!(fault.class, FaultClass::Rejected);
        assert!(fault.message.contains(words), "{}", fault.message);
    }
}

#[test]
fn rule_9_5_an_empty_directory_is_made_and_noted() {
    let house = house();
    std::fs::create_dir(house.shared.join("empty")).unwrap();
    let notes = house.bring(vec![url("/in", file_url(&house.shared.join("empty")))]).unwrap();
    assert!(house.in_tree("/in").is_dir());
    assert!(notes[0].contains("empty"));
}

#[test]
fn the_later_of_two_that_overlap_wins() {
    let house = house();
    house.write("d/x", "from directory");
    let one = house.write("one", "one");
    let inputs = vec![
        url("/in/x", file_url(&one)),
        url("/in", file_url(&house.shared.join("d"))),
        url("/in2", file_url(&house.shared.join("d"))),
        url("/in2/x", file_url(&one)),
    ];
    house.bring(inputs).unwrap();
    assert_eq!(house.read("/in/x"), "from directory");
    assert_eq!(house.read("/in2/x"), "one");
}

#[test]
fn only_overlapping_inputs_wait_for_each_other() {
    let of = |paths: &[&str]| -> Vec<usize> {
        let inputs: Vec<_> = paths.iter().map(|path| url(path, "/x")).collect();
        waves(&inputs).iter().map(Vec::len).collect()
    };
    assert_eq!(of(&["/a", "/b", "/ab", "/a-b"]), [4]);
    assert_eq!(of(&["/a", "/b", "/a/c", "/d"]), [2, 2]);
    assert_eq!(of(&["/a/c", "/a-b", "/a"]), [2, 1]);
    assert_eq!(of(&["/a", "/a"]), [1, 1]);
}

#[test]
fn a_dropped_future_stops_the_copy() {
    let stop = StopOnDrop::default();
    let flag = stop.flag();
    assert!(!flag.asked());
    drop(stop);
    assert!(flag.asked());

    let house = house();
    let source = house.write("x", "x");
    let stopped = FromHost {
        host: Arc::new(Host::new(&house.plan(vec![]).storage, None)),
        from: match Location::parse(&file_url(&source)).unwrap() {
            Location::Host(path) => path,
            Location::Remote(remote) => panic!("{remote:?}"),
        },
        tree: house.tree.clone(),
        path: "/in".into(),
        kind: None,
        shown: "x".into(),
        part: PART.into(),
        stop: flag,
    };
    assert!(stopped.copy().is_err());
    assert!(!house.in_tree("/in").exists());
}
