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
        let there = in_place_of(&self.plan)?;
        Some(Path::new(&there).strip_prefix(self.around.path()).unwrap().to_str().unwrap().to_owned())
    }

    /// An input asked for at the path that it has on the host.
    fn own(&self, name: &str) -> Input {
        self.input(self.around.path().join(name).to_str().unwrap(), name)
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
    // Something that no task may use lies in it.
    house.plan.inputs = vec![house.own("open/job")];
    assert_eq!(house.in_place(), None);
    house.plan.storage.file_forbidden.clear();
    for (name, there) in [
        ("open/job", Some("open")),
        ("open", Some("open")),
        ("open/job/deep", Some("open")),
        ("closed/leads-in", None),
        ("open/leads-out", None),
        ("closed/job", None),
        // A file is staged.
        ("open/file", None),
        ("open/missing", None),
        // Opened, but no root that tasks may use.
        ("other", None),
    ] {
        house.plan.inputs = vec![house.own(name)];
        assert_eq!(house.in_place().as_deref(), there, "{name}");
        assert!(may_share(&house.plan), "containers wait until it is known");
    }
    house.plan.inputs = vec![house.input("/elsewhere", "open/job")];
    assert_eq!(house.in_place(), None, "a link put on the way there would be followed");
    // A root in it that is not opened.
    house.plan.storage.file_roots.push(house.around.path().join("open/job").to_str().unwrap().to_owned());
    house.plan.inputs = vec![house.own("open/job")];
    assert_eq!(house.in_place(), None);
    house.plan.storage.file_roots.pop();
    house.plan.storage.file_bind_rw.clear();
    house.plan.inputs = vec![house.own("open/job")];
    assert_eq!(house.in_place(), None);
    assert!(!may_share(&house.plan));
}

#[test]
fn rule_9_9_a_directory_that_the_tasks_own_paths_touch_is_copied() {
    let mut house = house();
    house.plan.storage.file_forbidden.clear();
    house.plan.inputs = vec![house.own("open/job"), house.input("/jobs", "open/file")];
    assert_eq!(house.in_place().as_deref(), Some("open"));
    let free = house.plan.clone();
    let inside = |name: &str| house.around.path().join("open").join(name).to_str().unwrap().to_owned();
    let (job, in_job) = (inside("job"), inside("job/in"));
    let change = |change: &dyn Fn(&mut Plan)| {
        let mut plan = free.clone();
        change(&mut plan);
        plan
    };
    let touched = [
        ("a volume in it", change(&|plan| plan.volumes = vec![in_job.clone()])),
        ("itself a volume", change(&|plan| plan.volumes = vec![job.clone()])),
        ("the work directory", change(&|plan| plan.executors[0].workdir = Some(job.clone()))),
        ("a stream file", change(&|plan| plan.executors[0].stdout = Some(in_job.clone()))),
        ("an output", change(&|plan| plan.outputs = vec![output(&in_job, None)])),
        ("a pattern", change(&|plan| plan.outputs = vec![output(&format!("{job}/*"), Some(&job))])),
        ("another input in it", change(&|plan| plan.inputs[1].path = in_job.clone())),
    ];
    for (what, plan) in touched {
        assert_eq!(in_place_of(&plan), None, "{what}");
    }
}

fn in_place_of(plan: &Plan) -> Option<String> {
    let Source::Url(url) = &plan.inputs[0].source else { panic!("it has a URL") };
    let Location::Host(from) = Location::parse(url).unwrap() else { panic!("{url}") };
    let path = normal(&plan.inputs[0].path).unwrap();
    Sharing::of(plan, Some(Path::new("/links"))).in_place(0, &path, &Host::new(&plan.storage, None), &from)
}

#[test]
fn rule_9_9_nothing_is_shared_where_there_is_no_place_for_links() {
    let mut house = house();
    house.plan.inputs = vec![house.own("open/job")];
    house.plan.storage.file_forbidden.clear();
    let Location::Host(from) = Location::parse(house.around.path().join("open/job").to_str().unwrap()).unwrap() else {
        panic!("a bare path is one of the host")
    };
    let sharing = Sharing::of(&house.plan, None);
    let path = house.plan.inputs[0].path.clone();
    assert_eq!(sharing.in_place(0, &path, &Host::new(&house.plan.storage, None), &from), None);
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
