#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;
use crate::entry::Entry;
use crate::step::STEP_VERSION;

/// An image's file system and a tree, both real directories.
struct House {
    around: tempfile::TempDir,
    image: Tree,
    tree: Tree,
    step: StepFile,
    notes: Notes,
}

fn house() -> House {
    let around = tempfile::tempdir().unwrap();
    let open = |name: &str| {
        let path = around.path().join(name);
        std::fs::create_dir(&path).unwrap();
        Tree::open(&path).unwrap()
    };
    House {
        image: open("image"),
        tree: open("tree"),
        around,
        step: StepFile {
            version: STEP_VERSION,
            step: 0,
            command: vec![],
            env: Default::default(),
            workdir: None,
            stdin: None,
            stdout: None,
            stderr: None,
            mounted: vec!["/tmp".into(), "/opt/mounted".into()],
            lay_in: vec![],
            offer: vec![],
            harvest: vec![],
            log_cap_bytes: 0,
            stop_grace_ms: 0,
            in_turn: false,
        },
        notes: Notes::default(),
    }
}

impl House {
    fn write(&self, path: &str, text: &str) {
        let path = self.around.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.around.path().join(path)).ok()
    }

    fn remove(&self, path: &str) {
        std::fs::remove_file(self.around.path().join(path)).unwrap();
    }

    fn exists(&self, path: &str) -> bool {
        self.around.path().join(path).exists()
    }

    /// Lays in, does what the command does, harvests; answers what went wrong.
    fn run(&mut self, command: impl FnOnce(&Self)) -> Vec<String> {
        let (image, tree, step) = (self.image.clone(), self.tree.clone(), self.step.clone());
        let mut notes = Notes::default();
        let mut paths = Paths { image: &image, tree: &tree, step: &step, notes: &mut notes, laid_in: Vec::new() };
        paths.lay_in(&|| false).unwrap();
        let since = self.now();
        command(self);
        let problems = paths.harvest(since);
        self.notes.append(notes);
        problems
    }

    /// The file system's own time, later than everything before: its clock ticks, and ticks are coarse.
    fn now(&self) -> Changed {
        let probe = || {
            self.write("probe", "");
            let fd = std::fs::File::open(self.around.path().join("probe")).unwrap();
            Entry::new(fd.into()).unwrap().changed()
        };
        let before = probe();
        loop {
            let now = probe();
            if now > before {
                return now;
            }
        }
    }
}

#[test]
fn rule_11_1_what_is_laid_in_replaces_and_what_is_mounted_is_left_alone() {
    let mut house = house();
    house.step.lay_in = vec!["/opt".into(), "/root/new/out".into()];
    house.write("tree/opt/in", "tree");
    house.write("tree/opt/d/in", "tree");
    house.write("tree/opt/mounted/in", "tree");
    house.write("image/opt/in", "image");
    house.write("image/opt/own", "image");
    assert!(house.run(|_| ()).is_empty());
    assert_eq!(house.read("image/opt/in").unwrap(), "tree");
    assert_eq!(house.read("image/opt/d/in").unwrap(), "tree");
    assert_eq!(house.read("image/opt/own").unwrap(), "image");
    assert!(!house.exists("image/opt/mounted"));
    assert!(house.exists("image/root/new") && !house.exists("image/root/new/out"));
}

#[test]
fn the_root_itself_is_laid_in_child_by_child() {
    let mut house = house();
    house.step.lay_in = vec!["/".into()];
    house.write("tree/a.txt", "a");
    house.write("tree/tmp/b.txt", "b");
    assert!(house.run(|_| ()).is_empty());
    assert!(house.exists("image/a.txt") && !house.exists("image/tmp"));
}

#[test]
fn rule_11_1_an_output_is_taken_whole_and_what_the_command_removed_is_removed() {
    let mut house = house();
    house.step.lay_in = vec!["/opt/out".into()];
    house.step.harvest = vec![Harvest::Whole("/opt/out".into()), Harvest::Whole("/missing".into())];
    house.write("tree/opt/out/kept", "kept");
    house.write("tree/opt/out/gone", "gone");
    house.write("tree/opt/out/changed", "old");
    house.write("image/opt/out/own", "own");
    let problems = house.run(|house| {
        house.remove("image/opt/out/gone");
        house.write("image/opt/out/changed", "new");
        house.write("image/opt/out/d/made", "made");
        symlink("d/made", house.around.path().join("image/opt/out/link")).unwrap();
        symlink("/etc/outside", house.around.path().join("image/opt/out/dangling")).unwrap();
        // The stream of this very step: in the tree, and never in the image.
        house.write("tree/opt/out/stdout", "stream");
    });
    assert!(problems.is_empty(), "{problems:?}");
    let of = |name: &str| house.read(&format!("tree/opt/out/{name}"));
    assert_eq!(of("kept").as_deref(), Some("kept"));
    assert_eq!(of("gone"), None);
    assert_eq!(of("changed").as_deref(), Some("new"));
    assert_eq!(of("own").as_deref(), Some("own"));
    assert_eq!(of("d/made").as_deref(), Some("made"));
    assert_eq!(of("link").as_deref(), Some("made"));
    assert_eq!(of("stdout").as_deref(), Some("stream"));
    assert!(!house.exists("tree/missing"));
    assert!(std::mem::take(&mut house.notes).into_lines().concat().contains("dangling"));
}

#[test]
fn rule_11_1_of_a_workdir_only_what_changed_is_taken() {
    let mut house = house();
    house.step.harvest = vec![Harvest::Changes("/root".into())];
    house.write("image/root/own", "own");
    house.write("image/root/big/own", "own");
    house.write("image/root/edited", "old");
    let problems = house.run(|house| {
        house.write("image/root/edited", "new");
        house.write("image/root/sub/made", "made");
    });
    assert!(problems.is_empty());
    assert_eq!(house.read("tree/root/edited").unwrap(), "new");
    assert_eq!(house.read("tree/root/sub/made").unwrap(), "made");
    assert!(!house.exists("tree/root/own") && !house.exists("tree/root/big"));
}

#[test]
fn patterns_are_harvested() {
    let mut house = house();
    house.step.harvest = vec![Harvest::Matches("/*.txt".into())];
    let problems = house.run(|house| {
        house.write("image/a.txt", "a");
        house.write("image/b.bin", "b");
        house.write("image/.c.txt", "c");
    });
    assert!(problems.is_empty());
    assert!(house.exists("tree/a.txt") && !house.exists("tree/b.bin") && !house.exists("tree/.c.txt"));
}

#[test]
fn a_file_that_is_both_places_at_once_is_left_alone() {
    let mut house = house();
    house.step.harvest = vec![Harvest::Whole("/opt/out".into())];
    house.write("tree/opt/out/in", "in");
    std::fs::create_dir_all(house.around.path().join("image/opt/out")).unwrap();
    let (from, to) = ("tree/opt/out/in", "image/opt/out/in");
    std::fs::hard_link(house.around.path().join(from), house.around.path().join(to)).unwrap();
    assert!(house.run(|_| ()).is_empty());
    assert_eq!(house.read("tree/opt/out/in").unwrap(), "in");
}
