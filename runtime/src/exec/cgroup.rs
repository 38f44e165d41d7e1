//! The container's control group: what it has used, as the kernel counts it. Both versions, read-only.

use std::fs;
use std::path::{Path, PathBuf};

use super::usage::Cpu;

/// Nanoseconds in a microsecond.
const MICRO: u64 = 1_000;

/// Where the figures of one control group lie. Each may be missing: a kernel without that controller, or a
/// container that does not see its own group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Group {
    memory: Option<Controller>,
    cpu: Option<Controller>,
}

/// A directory of one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Controller {
    /// Version 1: a hierarchy for each controller.
    One(PathBuf),
    /// Version 2: one for all.
    Two(PathBuf),
}

impl Group {
    /// The group this process is in. Only meant for process 1 of a container: any other shares its group with who
    /// knows whom.
    pub(super) fn own() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::found(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"), &|path| path.exists())
    }

    /// Finds it from the kernel's two tables, see cgroups(7) and proc(5).
    fn found(membership: &str, mounts: &str, exists: &dyn Fn(&Path) -> bool) -> Self {
        let mounts: Vec<Mounted<'_>> = mounts.lines().filter_map(Mounted::read).collect();
        let controller = |name: &str, one: &str, two: &str| {
            let group = |wanted: Option<&str>| {
                let path = own_path(membership, wanted)?;
                let mounted = mounts.iter().find(|mount| match wanted {
                    Some(name) => mount.version == 1 && mount.options.split(',').any(|option| option == name),
                    None => mount.version == 2,
                })?;
                mounted.place_of(path)
            };
            let first = group(Some(name)).filter(|place| exists(&place.join(one)) && !is_root(place, exists));
            let second = || group(None).filter(|place| exists(&place.join(two)));
            first.map(Controller::One).or_else(|| second().map(Controller::Two))
        };
        Self {
            // At the root of version 2, which is the whole host, neither of these files is there.
            memory: controller("memory", "memory.usage_in_bytes", "memory.current"),
            cpu: controller("cpuacct", "cpuacct.usage_user", "cgroup.type"),
        }
    }

    /// Bytes in use now, pages of files included.
    pub(super) fn memory(&self) -> Option<u64> {
        match self.memory.as_ref()? {
            Controller::One(place) => number(&place.join("memory.usage_in_bytes")),
            Controller::Two(place) => number(&place.join("memory.current")),
        }
    }

    /// The most bytes that were ever in use; kernels before 5.19 do not say it in version 2.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        match self.memory.as_ref()? {
            Controller::One(place) => number(&place.join("memory.max_usage_in_bytes")),
            Controller::Two(place) => number(&place.join("memory.peak")),
        }
    }

    /// How many processes the kernel has killed here for want of memory.
    pub(super) fn killed_for_memory(&self) -> Option<u64> {
        let (Controller::One(place) | Controller::Two(place)) = self.memory.as_ref()?;
        // The same line in a file of either version; the other one's is not there.
        let told = ["memory.oom_control", "memory.events"].map(|name| fs::read_to_string(place.join(name)).ok());
        told.into_iter().flatten().find_map(|text| of_key(&text, "oom_kill"))
    }

    /// Processor time since the group was made.
    pub(super) fn cpu(&self) -> Option<Cpu> {
        match self.cpu.as_ref()? {
            Controller::One(place) => {
                let user_ns = number(&place.join("cpuacct.usage_user"))?;
                Some(Cpu { user_ns, system_ns: number(&place.join("cpuacct.usage_sys"))? })
            }
            Controller::Two(place) => cpu_stat(&fs::read_to_string(place.join("cpu.stat")).ok()?),
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn cpu_stat(text: &str) -> Option<Cpu> {
    let nanos = |key: &str| of_key(text, key)?.checked_mul(MICRO);
    Some(Cpu { user_ns: nanos("user_usec")?, system_ns: nanos("system_usec")? })
}

/// The number behind a key.
fn of_key(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?.trim().parse().ok()
}

/// Only the group at the root of a hierarchy has this file: it stands for the whole host.
fn is_root(place: &Path, exists: &dyn Fn(&Path) -> bool) -> bool {
    exists(&place.join("release_agent"))
}

/// The path of our group in the hierarchy of a controller of version 1, or in that of version 2.
fn own_path<'a>(membership: &'a str, controller: Option<&str>) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        match controller {
            Some(name) => names.split(',').any(|one| one == name).then_some(path),
            None => (number == "0" && names.is_empty()).then_some(path),
        }
    })
}

/// One line of the table of mounts.
struct Mounted<'a> {
    version: u8,
    /// Which part of the hierarchy is seen.
    root: &'a str,
    /// Where.
    point: &'a str,
    options: &'a str,
}

impl<'a> Mounted<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let version = match right.next()? {
            "cgroup" => 1,
            "cgroup2" => 2,
            _ => return None,
        };
        Some(Self { version, root, point, options: right.nth(1).unwrap_or_default() })
    }

    /// Where a group of this hierarchy is seen.
    fn place_of(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(self.root).ok()?;
        Some(Path::new(self.point).join(below))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DOCKER_ONE: (&str, &str) = (
        "4:memory:/docker/8f\n3:cpu,cpuacct:/docker/8f\n0::/docker/8f\n",
        "81 80 0:46 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
         83 81 0:30 /docker/8f /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n\
         85 81 0:32 /docker/8f /sys/fs/cgroup/memory ro master:9 - cgroup cgroup rw,memory\n",
    );
    const DOCKER_TWO: (&str, &str) =
        ("0::/\n", "1 2 0:27 / / rw - overlay overlay rw\n30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n");

    #[test]
    fn rule_15_7_the_containers_own_group_is_found() {
        let one = Group::found(DOCKER_ONE.0, DOCKER_ONE.1, &|path| !path.ends_with("release_agent"));
        assert_eq!(one.memory, Some(Controller::One("/sys/fs/cgroup/memory".into())));
        assert_eq!(one.cpu, Some(Controller::One("/sys/fs/cgroup/cpu,cpuacct".into())));

        let two = Group::found(DOCKER_TWO.0, DOCKER_TWO.1, &|_| true);
        assert_eq!(two.memory, Some(Controller::Two("/sys/fs/cgroup".into())));
        assert_eq!(two.cpu, two.memory);

        let nested = Group::found("0::/pod/c\n", "30 23 0:26 /pod /mnt ro - cgroup2 cgroup rw\n", &|_| true);
        assert_eq!(nested.memory, Some(Controller::Two("/mnt/c".into())));
    }

    #[test]
    fn a_group_that_is_the_hosts_or_not_seen_says_nothing() {
        let none = Group::default();
        let host = "85 81 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(Group::found("4:memory:/\n", host, &|_| true), none);
        assert_eq!(Group::found(DOCKER_TWO.0, DOCKER_TWO.1, &|_| false), none);
        assert_eq!(Group::found("0::/other\n", "30 23 0:26 /pod /mnt ro - cgroup2 cgroup rw\n", &|_| true), none);
        assert_eq!(Group::found("", "", &|_| true), none);
        assert_eq!((none.memory(), none.peak_memory(), none.cpu()), (None, None, None));
    }

    #[test]
    fn figures_are_read_from_both_versions() {
        let place = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
        write("memory.usage_in_bytes", "7\n");
        write("memory.max_usage_in_bytes", "9\n");
        write("cpuacct.usage_user", "3000000\n");
        write("cpuacct.usage_sys", "2000000\n");
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        write("memory.current", "17\n");
        write("memory.peak", "19\n");
        write("cpu.stat", "usage_usec 50\nuser_usec 30\nsystem_usec 20\nnr_periods 0\n");
        let of = |controller: Controller| Group { memory: Some(controller.clone()), cpu: Some(controller) };
        let one = of(Controller::One(place.path().into()));
        assert_eq!((one.memory(), one.peak_memory()), (Some(7), Some(9)));
        assert_eq!(one.cpu(), Some(Cpu { user_ns: 3_000_000, system_ns: 2_000_000 }));
        assert_eq!(one.killed_for_memory(), Some(2));
        fs::remove_file(place.path().join("memory.oom_control")).unwrap();
        write("memory.events", "low 0\noom 1\noom_kill 3\noom_group_kill 0\n");
        let two = of(Controller::Two(place.path().into()));
        assert_eq!(two.killed_for_memory(), Some(3));
        assert_eq!((two.memory(), two.peak_memory()), (Some(17), Some(19)));
        assert_eq!(two.cpu(), Some(Cpu { user_ns: 30_000, system_ns: 20_000 }));
    }
}
