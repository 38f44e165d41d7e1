#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;
use crate::plan::Output;
use crate::storage::settings::{Cache, Storage};

/// Two roots that tasks may use, of which containers may write to one.
struct House {
    around: tempfile::TempDir,
    plan: Plan,
}

fn house() -> House {
    let around = tempfile::tempdir().unwrap();
    for directory in ["open/job/deep", "closed/job", "open/private", "other"] {
        std::fs::create_dir_all(around.path().join(directory)).unwrap();
    }
    std::fs::write(around.path().join("open/file"), "").unwrap();
    symlink("../closed/job", around.path().join("open/leads-out")).unwrap();
    symlink("../open/job", around.path().join("closed/leads-in")).unwrap();
    let text = |name: &str| around.path().join(name).to_str().unwrap().to_owned();
    let plan = br#"{"version":1,"job":"j","executors":[{"image":"i","command":["c"]}]}"#;
    let plan = Plan {
        storage: Storage {
            file_roots: vec![text("open"), text("closed")],
            file_forbidden: vec![text("open/private")],
            file_bind_rw: vec![text("open"), text("other")],
            ..Storage::default()
        },
        ..Plan::read(plan).unwrap()
    };
    House { around, plan }
}

impl House {
    /// Where the first input is mounted from, without the directory around all.
    fn in_place(&self) -> Option<String> {
        let Source::Url(url) = &self.plan.inputs[0].source else { panic!("it has a URL") };
        let Location::Host(from) = Location::parse(url).unwrap() else { panic!("{url}") };
        let sharing = Sharing::of(&self.plan, Some(Path::new("/links")));
        let there = sharing.in_place(0, &Host::new(&self.plan.storage, None), &from)?;
        let around = self.around.path().canonicalize().unwrap();
        Some(Path::new(&there).strip_prefix(around).unwrap().to_str().unwrap().to_owned())
    }

    fn input(&self, path: &str, name: &str) -> Input {
        let url = format!("file://{}/{name}", self.around.path().display());
        Input { path: path.into(), source: Source::Url(url), kind: None }
    }
}

fn output(path: &str, path_prefix: Option<&str>) -> Output {
    Output { path: path.into(), url: "s3://b/o".into(), path_prefix: path_prefix.map(str::to_owned), kind: None }
}

#[test]
fn rule_9_9_only_directories_of_opened_roots_are_given_to_write_to() {
    let mut house = house();
    for (name, there) in [
        ("open/job", Some("open/job")),
        ("open/job/", Some("open/job")),
        ("open", Some("open")),
        ("open/job/deep", Some("open/job/deep")),
        // Where it really is counts.
        ("closed/leads-in", Some("open/job")),
        ("open/leads-out", None),
        ("closed/job", None),
        ("open/../closed/job", None),
        // A file is staged.
        ("open/file", None),
        ("open/missing", None),
        ("open/private", None),
        // Opened, but no root that tasks may use.
        ("other", None),
    ] {
        house.plan.inputs = vec![house.input("/job", name)];
        assert_eq!(house.in_place().as_deref(), there, "{name}");
        assert!(may_share(&house.plan), "containers wait until it is known");
    }
    house.plan.storage.file_bind_rw.clear();
    house.plan.inputs = vec![house.input("/job", "open/job")];
    assert_eq!(house.in_place(), None);
    assert!(!may_share(&house.plan));
}

#[test]
fn rule_9_9_a_directory_that_the_tasks_own_paths_touch_is_copied() {
    let mut house = house();
    house.plan.inputs = vec![house.input("/job", "open/job"), house.input("/jobs", "open/file")];
    assert_eq!(house.in_place().as_deref(), Some("open/job"));
    let free = house.plan.clone();
    let changes: [(&str, fn(&mut Plan)); 8] = [
        ("a volume in it", |plan| plan.volumes = vec!["/job/v".into()]),
        ("itself a volume", |plan| plan.volumes = vec!["/job/".into()]),
        ("the work directory", |plan| plan.executors[0].workdir = Some("/job".into())),
        ("a stream file", |plan| plan.executors[0].stdout = Some("/job/out".into())),
        ("an output", |plan| plan.outputs = vec![output("/job/o", None)]),
        ("a pattern", |plan| plan.outputs = vec![output("/job/*", Some("/job"))]),
        ("another input in it", |plan| plan.inputs[1].path = "/job/in".into()),
        ("a place that hides the image", |plan| plan.inputs[0].path = "/usr".into()),
    ];
    for (what, change) in changes {
        house.plan = free.clone();
        change(&mut house.plan);
        assert_eq!(house.in_place(), None, "{what}");
    }
}

#[test]
fn rule_9_9_nothing_is_shared_where_there_is_no_place_for_links() {
    let mut house = house();
    house.plan.inputs = vec![house.input("/job", "open/job")];
    let Location::Host(from) = Location::parse(house.around.path().join("open/job").to_str().unwrap()).unwrap() else {
        panic!("a bare path is one of the host")
    };
    let sharing = Sharing::of(&house.plan, None);
    assert_eq!(sharing.in_place(0, &Host::new(&house.plan.storage, None), &from), None);
    assert_eq!(sharing.link(0), None);
}

#[test]
fn what_comes_from_a_storage_may_be_shared_when_it_is_kept() {
    let mut house = house();
    house.plan.storage.file_bind_rw.clear();
    house.plan.inputs = vec![Input { path: "/in".into(), source: Source::Url("s3://b/k".into()), kind: None }];
    assert!(!may_share(&house.plan));
    house.plan.storage.cache = Some(Cache { dir: "/cache".into(), max_bytes: 1 });
    assert!(may_share(&house.plan));
    house.plan.inputs[0].source = Source::Content("text".into());
    assert!(!may_share(&house.plan));
}
