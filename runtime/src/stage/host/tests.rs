#![allow(clippy::unwrap_used)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::*;
use crate::report::FaultClass;
use crate::storage::settings::Ownership;
use crate::storage::trouble::StopOnDrop;

/// A directory that tasks may use, and one that they may not.
struct House {
    _around: tempfile::TempDir,
    shared: PathBuf,
    source: PathBuf,
}

fn house() -> House {
    let around = tempfile::tempdir().unwrap();
    let (shared, source) = (around.path().join("shared"), around.path().join("source"));
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(&source, "new").unwrap();
    House { shared, source, _around: around }
}

impl House {
    fn host(&self, ownership: Ownership, container_user: Option<&str>) -> Host {
        let file_roots = vec![self.shared.to_str().unwrap().to_owned()];
        Host::new(&Storage { file_roots, ownership, ..Storage::default() }, container_user)
    }

    fn write(&self, host: &Host, to: &str) -> Result<Written, Trouble> {
        let stop = StopOnDrop::default();
        host.write(&open_itself(&self.source).unwrap(), &self.shared.join(to), "part", &stop.flag())
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.shared.join(name)).unwrap().permissions().mode() & 0o7777
    }

    fn owner(&self, name: &str) -> (u32, u32) {
        let about = std::fs::metadata(self.shared.join(name)).unwrap();
        (about.uid(), about.gid())
    }
}

fn me() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

#[test]
fn what_nothing_is_said_about_can_be_read_by_all() {
    let house = house();
    std::fs::set_permissions(&house.source, std::fs::Permissions::from_mode(0o600)).unwrap();
    let host = house.host(Ownership::default(), None);
    house.write(&host, "a/b/file").unwrap();
    assert_eq!((house.mode("a"), house.mode("a/b"), house.mode("a/b/file")), (0o755, 0o755, 0o644));
    assert_eq!(house.owner("a/b/file"), me());
    // Who may read it may run it, if anyone may.
    std::fs::set_permissions(&house.source, std::fs::Permissions::from_mode(0o700)).unwrap();
    house.write(&host, "program").unwrap();
    assert_eq!(house.mode("program"), 0o755);
}

#[test]
fn modes_are_as_configured_and_what_was_there_keeps_its_own() {
    let house = house();
    std::fs::create_dir(house.shared.join("there")).unwrap();
    std::fs::set_permissions(house.shared.join("there"), std::fs::Permissions::from_mode(0o711)).unwrap();
    let ownership = Ownership { mode: Some(0o640), directory_mode: Some(0o750), ..Ownership::default() };
    let host = house.host(ownership, None);
    std::fs::set_permissions(&house.source, std::fs::Permissions::from_mode(0o644)).unwrap();
    house.write(&host, "there/new/file").unwrap();
    assert_eq!((house.mode("there"), house.mode("there/new"), house.mode("there/new/file")), (0o711, 0o750, 0o640));
    std::fs::set_permissions(&house.source, std::fs::Permissions::from_mode(0o755)).unwrap();
    house.write(&host, "there/new/file").unwrap();
    assert_eq!(house.mode("there/new/file"), 0o750);
}

#[test]
fn an_owner_that_is_configured_has_to_be() {
    let house = house();
    let own = Ownership { owner: Some(me()), ..Ownership::default() };
    house.write(&house.host(own, Some("1:2")), "mine").unwrap();
    assert_eq!(house.owner("mine"), me());
    let other = Ownership { owner: Some((12_345, 23_456)), ..Ownership::default() };
    let written = house.write(&house.host(other, None), "d/others");
    if rustix::process::geteuid().is_root() {
        written.unwrap();
        assert_eq!((house.owner("d"), house.owner("d/others")), ((12_345, 23_456), (12_345, 23_456)));
    } else {
        assert_eq!(written.unwrap_err().class, FaultClass::Misconfigured);
        assert!(!house.shared.join("d/others").exists());
    }
}

#[test]
fn without_one_the_tasks_user_is_the_owner_where_it_is_a_number_and_that_can_be() {
    let root = rustix::process::geteuid().is_root();
    let of = |user, group| Some(Owner { user, group, demanded: false }).filter(|_| root);
    for (container_user, expected) in [
        (None, None),
        (Some("1234"), of(1_234, None)),
        (Some("1234:5678"), of(1_234, Some(5_678))),
        (Some("1234:staff"), of(1_234, None)),
        (Some("ada"), None),
        (Some("-1"), None),
    ] {
        assert_eq!(owner(None, container_user), expected, "{container_user:?}");
        let demanded = Owner { user: 7, group: Some(8), demanded: true };
        assert_eq!(owner(Some((7, 8)), container_user), Some(demanded), "{container_user:?}");
    }
    // A server that is not root delivers all the same.
    let house = house();
    house.write(&house.host(Ownership::default(), Some("1234:5678")), "file").unwrap();
    assert_eq!(house.owner("file"), if root { (1_234, 5_678) } else { me() });
}

#[test]
fn rule_9_10_a_file_that_is_delivered_to_itself_stays_whole() {
    let house = house();
    let path = house.shared.join("same");
    std::fs::write(&path, "all of it").unwrap();
    let stop = StopOnDrop::default();
    let host = house.host(Ownership::default(), None);
    let written = host.write(&open_itself(&path).unwrap(), &path, "part", &stop.flag()).unwrap();
    assert_eq!(written.size_bytes, 9);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "all of it");
}

#[test]
fn rule_10_4_what_is_cut_short_leaves_what_was_there() {
    let house = house();
    std::fs::write(house.shared.join("file"), "old").unwrap();
    let stop = StopOnDrop::default();
    let flag = stop.flag();
    drop(stop);
    let host = house.host(Ownership::default(), None);
    let to = house.shared.join("file");
    assert!(host.write(&open_itself(&house.source).unwrap(), &to, "part", &flag).is_err());
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "old");
    assert_eq!(std::fs::read_dir(&house.shared).unwrap().count(), 1, "nothing half written is left");
    house.write(&host, "file").unwrap();
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "new");
}
