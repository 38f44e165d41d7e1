#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::super::bring_in::bring_in;
use super::super::collect::Target;
use super::*;
use crate::plan::{Input, Kind, MissingOutput, Output, Source, Storage};
use crate::report::FaultClass;

struct House {
    _around: tempfile::TempDir,
    shared: PathBuf,
    tree: Tree,
}

fn house(files: &[(&str, &str)]) -> House {
    let around = tempfile::tempdir().unwrap();
    let (shared, tree) = (around.path().join("shared"), around.path().join("tree"));
    std::fs::create_dir(&shared).unwrap();
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(around.path().join("secret"), "secret").unwrap();
    for (name, text) in files {
        let path = tree.join(&name[1..]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    House { tree: Tree::open(&tree).unwrap(), shared, _around: around }
}

impl House {
    fn url(&self, name: &str) -> String {
        format!("file://{}/{name}", self.shared.display())
    }

    fn plan(&self, outputs: Vec<Output>) -> Plan {
        let plan = br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#;
        Plan {
            outputs,
            storage: Storage { file_roots: vec![self.shared.to_string_lossy().into_owned()], ..Storage::default() },
            ..Plan::read(plan).unwrap()
        }
    }

    fn deliver(&self, plan: &Plan, after_failure: bool) -> Delivered {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(deliver(plan, &self.tree, after_failure))
    }

    fn delivered(&self, outputs: Vec<Output>) -> Delivered {
        let delivered = self.deliver(&self.plan(outputs), false);
        assert_eq!(delivered.fault, None);
        delivered
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.shared.join(name)).unwrap()
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.shared.join(directory)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn output(path: &str, url: String, kind: Option<Kind>) -> Output {
    Output { path: path.into(), url, path_prefix: None, kind }
}

fn paths(delivered: &Delivered) -> Vec<&str> {
    delivered.files.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn rule_10_1_and_10_4_a_file_lies_there_with_its_parents_under_its_name() {
    let house = house(&[("/w/out.txt", "abc")]);
    let delivered = house.delivered(vec![output("/w/out.txt", house.url("new/dir/o.txt"), None)]);
    assert_eq!(house.read("new/dir/o.txt"), "abc");
    assert_eq!(
        delivered.files,
        [DeliveredFile {
            url: house.url("new/dir/o.txt"),
            path: "/w/out.txt".into(),
            size_bytes: 3,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
        }]
    );
    assert_eq!(house.names("new/dir"), ["o.txt"]);
}

#[test]
fn rule_10_4_a_bare_path_and_a_directory_to_put_a_file_into() {
    let house = house(&[("/w/a b", "x")]);
    let bare = house.shared.join("bare").to_string_lossy().into_owned();
    let delivered = house
        .delivered(vec![output("/w/a b", bare.clone(), None), output("/w/a b", house.url("into/"), Some(Kind::File))]);
    assert_eq!(delivered.files[0].url, bare);
    assert_eq!(delivered.files[1].url, house.url("into/a%20b"));
    assert_eq!(house.read("into/a b"), "x");
}

#[test]
fn rule_10_6_a_directory_is_flattened_in_the_list() {
    let house = house(&[("/o/a", "a"), ("/o/s/b", "b"), ("/o/.tessera-part-3", "half")]);
    std::fs::create_dir(house.tree.path().join("o/empty")).unwrap();
    for (name, kind) in [("x", Some(Kind::Directory)), ("y/", Some(Kind::File)), ("z", None)] {
        let delivered = house.delivered(vec![output("/o/", house.url(name), kind)]);
        assert_eq!(paths(&delivered), ["/o/a", "/o/s/b"]);
        let name = name.trim_end_matches('/');
        assert_eq!(delivered.files[1].url, house.url(&format!("{name}/s/b")));
        assert_eq!(house.names(name), ["a", "empty", "s"]);
    }
}

#[test]
fn rule_10_5_links_are_followed_in_the_tree_only() {
    let house = house(&[("/o/a", "a"), ("/e/b", "b")]);
    let link = |target: &str, name: &str| symlink(target, house.tree.path().join(name)).unwrap();
    link("/e/b", "o/absolute");
    link("../e", "o/relative");
    link("../../secret", "o/outside");
    link("/etc/passwd", "o/passwd");
    link("/o", "o/around");
    link("circle", "o/circle");
    let delivered = house.delivered(vec![output("/o", house.url("out"), Some(Kind::Directory))]);
    assert_eq!(paths(&delivered), ["/o/a", "/o/absolute", "/o/relative/b"]);
    assert_eq!(house.read("out/absolute"), "b");
    for left_out in ["outside", "passwd", "around", "circle"] {
        assert!(delivered.notes.concat().contains(left_out), "{left_out}");
    }
    assert_eq!(house.names("out"), ["a", "absolute", "relative"]);
}

#[test]
fn rule_10_5_an_output_may_itself_be_a_link() {
    let house = house(&[("/e/b", "b")]);
    let link = |target: &str, name: &str| symlink(target, house.tree.path().join(name)).unwrap();
    link("/e/b", "file");
    link("e", "directory");
    link("../secret", "outside");
    let delivered = house.delivered(vec![
        output("/file", house.url("file"), Some(Kind::File)),
        output("/directory", house.url("directory"), Some(Kind::Directory)),
    ]);
    assert_eq!(paths(&delivered), ["/file", "/directory/b"]);
    assert!(!house.shared.join("file").is_symlink());
    let outside = house.deliver(&house.plan(vec![output("/outside", house.url("outside"), None)]), false);
    let fault = outside.fault.unwrap();
    assert!(fault.message.contains("leads to nothing in the task's tree"), "{}", fault.message);
    assert_eq!(house.names(""), ["directory", "file"]);
}

#[test]
fn special_files_are_never_opened() {
    let house = house(&[("/o/a", "a")]);
    let fifo = house.tree.path().join("o/fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let directory = house.delivered(vec![output("/o", house.url("out"), None)]);
    assert_eq!(paths(&directory), ["/o/a"]);
    assert!(directory.notes[0].contains("fifo"));
    let alone = house.plan(vec![output("/o/fifo", house.url("fifo"), None)]);
    let fault = house.deliver(&alone, false).fault.unwrap();
    assert_eq!(fault.class, FaultClass::Rejected);
}

fn pattern(path: &str, prefix: &str, url: String) -> Output {
    Output { path_prefix: Some(prefix.into()), ..output(path, url, Some(Kind::File)) }
}

#[test]
fn rule_10_8_each_match_goes_below_the_url_without_its_prefix() {
    let house = house(&[("/w/s/a.txt", "a"), ("/w/s/b.log", "b"), ("/w/t/a.txt", "t")]);
    for (to, prefix, names) in [
        ("whole", "/", &["w/s/a.txt", "w/t/a.txt"]),
        ("some", "/w", &["s/a.txt", "t/a.txt"]),
        ("slash/", "/w/", &["s/a.txt", "t/a.txt"]),
    ] {
        let delivered = house.delivered(vec![pattern("/w/[!x]/?.txt", prefix, house.url(to))]);
        assert_eq!(paths(&delivered), ["/w/s/a.txt", "/w/t/a.txt"]);
        let to = to.trim_end_matches('/');
        let urls: Vec<_> = delivered.files.iter().map(|file| file.url.clone()).collect();
        assert_eq!(urls, names.map(|name| house.url(&format!("{to}/{name}"))));
        assert_eq!(names.map(|name| house.read(&format!("{to}/{name}"))), ["a", "t"]);
    }
}

#[test]
fn rule_10_8_and_10_10_without_wildcard_or_prefix_a_path_is_a_name() {
    let house = house(&[("/w/a", "plain"), ("/w/[a]", "brackets"), ("/w/{a,b}", "braces")]);
    // A prefix of a path without wildcards is ignored, whatever it says.
    let delivered = house.delivered(vec![
        pattern("/w/a", "/elsewhere", house.url("a")),
        output("/w/[a]", house.url("brackets"), None),
        output("/w/{a,b}", house.url("braces"), None),
    ]);
    assert_eq!(paths(&delivered), ["/w/a", "/w/[a]", "/w/{a,b}"]);
    assert_eq!((house.read("a"), house.read("brackets")), ("plain".into(), "brackets".into()));
    assert_eq!(house.read("braces"), "braces");
    // With one they are a pattern.
    assert_eq!(paths(&house.delivered(vec![pattern("/w/[a]", "/w", house.url("out"))])), ["/w/a"]);
    // The door lets no other prefix in; nor does the job.
    let other = house.plan(vec![pattern("/w/*", "/other", house.url("out"))]);
    let fault = house.deliver(&other, false).fault.unwrap();
    assert!(fault.message.contains("does not lie below `/other`"), "{}", fault.message);
}

#[test]
fn rule_10_9_two_stars_span_directories_and_braces_wait_for_their_turn() {
    let house =
        house(&[("/w/a.txt", "a"), ("/w/s/t/b.txt", "b"), ("/w/c.csv", "c"), ("/w/{x,y}", "literal"), ("/w/x", "x")]);
    let found = |path: &str| house.delivered(vec![pattern(path, "/w", house.url("out"))]);
    assert_eq!(paths(&found("/w/**.txt")), ["/w/a.txt", "/w/s/t/b.txt"]);
    assert_eq!(house.read("out/s/t/b.txt"), "b");
    assert_eq!(paths(&found("/w/*.{txt,csv}")), ["/w/a.txt", "/w/c.csv"]);
    assert_eq!(paths(&found("/w/{x,y}")), ["/w/{x,y}"]);
}

#[test]
fn rule_10_11_a_matched_directory_goes_whole_and_no_match_is_noted() {
    let house = house(&[("/w/d/x", "x"), ("/w/d/s/.hidden", "h"), ("/w/e", "e")]);
    let outputs = vec![pattern("/w/d*", "/w", house.url("out")), pattern("/w/*.none", "/w", house.url("out"))];
    let delivered = house.delivered(outputs);
    assert_eq!(paths(&delivered), ["/w/d/s/.hidden", "/w/d/x"]);
    assert_eq!(house.read("out/d/s/.hidden"), "h");
    assert_eq!(delivered.notes, ["nothing matches the output `/w/*.none`"]);
}

#[test]
fn rule_10_12_a_star_matches_no_leading_dot() {
    let house = house(&[("/w/a.txt", "a"), ("/w/.h.txt", "h"), ("/w/s/.i.txt", "i"), ("/w/.s/b.txt", "b")]);
    let found = |path: &str| house.delivered(vec![pattern(path, "/w", house.url("out"))]);
    assert_eq!(paths(&found("/w/**.txt")), ["/w/a.txt"]);
    assert_eq!(paths(&found("/w/*.txt")), ["/w/a.txt"]);
    assert_eq!(paths(&found("/w/.*.txt")), ["/w/.h.txt"]);
}

#[test]
fn rule_10_2_and_10_3_what_is_missing() {
    let house = house(&[("/w/there", "x")]);
    let outputs = vec![
        output("/w/none", house.url("none"), Some(Kind::File)),
        output("/w/there", house.url("there"), None),
        output("/w/directory", house.url("directory"), Some(Kind::Directory)),
    ];
    let mut plan = house.plan(outputs);
    let failed = house.deliver(&plan, false);
    let fault = failed.fault.unwrap();
    assert_eq!(fault.class, FaultClass::Rejected);
    assert!(fault.user_code_started);
    assert!(fault.message.contains("/w/none") && fault.message.contains(&house.url("none")));
    assert_eq!(paths(&Delivered { fault: None, notes: vec![], files: failed.files }), ["/w/there"]);
    assert!(failed.notes[0].contains("/w/directory"));

    let after_failure = house.deliver(&plan, true);
    assert_eq!(after_failure.fault, None);
    assert!(after_failure.notes.concat().contains("/w/none"));

    plan.policy.missing_output = MissingOutput::Ignore;
    let ignored = house.deliver(&plan, false);
    assert_eq!(ignored.fault, None);
    assert!(ignored.notes.concat().contains("/w/none"));
}

#[test]
fn rule_10_4_the_same_target_twice_and_again() {
    let house = house(&[("/o/log", "first"), ("/stdout", "second")]);
    let outputs = vec![
        output("/o", house.url("out"), Some(Kind::Directory)),
        output("/stdout", house.url("out/log"), Some(Kind::File)),
    ];
    for _ in 0..2 {
        let delivered = house.delivered(outputs.clone());
        assert_eq!(delivered.files.len(), 2);
        assert_eq!(house.read("out/log"), "second");
        assert_eq!(house.names("out"), ["log"]);
    }
}

#[test]
fn rule_10_4_files_at_once_are_those_with_different_targets() {
    let item = |url: &str| Item {
        file: true,
        path: "/o".into(),
        target: Target { url: url.into(), to: To::Host(url.into()) },
    };
    let of = |urls: &[&str]| -> Vec<usize> {
        waves(urls.iter().map(|url| item(url)).collect()).iter().map(Vec::len).collect()
    };
    assert_eq!(of(&["/a", "/b", "/c"]), [3]);
    assert_eq!(of(&["/a", "/b", "/a", "/b", "/a"]), [2, 2, 1]);
}

#[test]
fn rule_9_10_an_output_may_be_the_file_that_was_an_input() {
    let house = house(&[]);
    std::fs::write(house.shared.join("script"), "the whole script").unwrap();
    let reader = std::fs::File::open(house.shared.join("script")).unwrap();
    let mut plan = house.plan(vec![output("/w/script", house.url("script"), None)]);
    plan.inputs =
        vec![Input { path: "/w/script".into(), source: Source::Url(house.url("script")), kind: Some(Kind::File) }];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(bring_in(&plan, &house.tree, None)).unwrap();
    let delivered = house.deliver(&plan, false);
    assert_eq!(delivered.fault, None);
    assert_eq!(delivered.files[0].size_bytes, 16);
    assert_eq!(house.read("script"), "the whole script");
    // Who still reads the former file reads it to its end.
    assert_eq!(std::io::read_to_string(reader).unwrap(), "the whole script");
    std::fs::write(house.tree.path().join("w/script"), "changed").unwrap();
    assert_eq!(house.deliver(&plan, false).fault, None);
    assert_eq!(house.read("script"), "changed");
}

#[test]
fn rule_9_7_nothing_is_written_outside_the_roots() {
    let house = house(&[("/w/o", "x")]);
    symlink("..", house.shared.join("up")).unwrap();
    symlink("/nowhere/at/all", house.shared.join("dangling")).unwrap();
    std::fs::write(house.shared.join("file"), "").unwrap();
    for url in [
        house.url("../stolen"),
        house.url("up/stolen"),
        house.url("%2e%2e/stolen"),
        house.url("missing/../../stolen"),
        house.url("dangling/stolen"),
        house.url("file/stolen"),
        "file:///".into(),
        "file:///etc/stolen".into(),
        "gopher://bucket/stolen".into(),
    ] {
        let plan = house.plan(vec![output("/w/o", url.clone(), None)]);
        let fault = house.deliver(&plan, false).fault.unwrap_or_else(|| panic!("{url}"));
        assert_ne!(fault.class, FaultClass::Unavailable, "{}", fault.message);
        assert!(!house.shared.join("../stolen").exists(), "{url}");
    }
    assert_eq!(house.names(""), ["dangling", "file", "up"]);
}

#[test]
fn a_link_at_the_target_is_replaced_not_followed() {
    let house = house(&[("/w/o", "x")]);
    symlink("../secret", house.shared.join("o")).unwrap();
    house.delivered(vec![output("/w/o", house.url("o"), None)]);
    let secret = house.shared.join("../secret");
    assert_eq!(std::fs::read_to_string(secret).unwrap(), "secret");
    assert_eq!(house.read("o"), "x");
}

#[test]
fn a_directory_in_the_way_is_no_fault_of_the_server() {
    let house = house(&[("/w/o", "x")]);
    std::fs::create_dir_all(house.shared.join("o/full")).unwrap();
    let plan = house.plan(vec![output("/w/o", house.url("o"), None)]);
    let fault = house.deliver(&plan, false).fault.unwrap();
    assert_eq!(fault.class, FaultClass::Rejected, "{}", fault.message);
    assert_eq!(house.names(""), ["o"]);
}
